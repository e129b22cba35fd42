"""The helper process that reads labels for a command: what it says, and what a file cannot make of it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import sleap_io as sio

from sleap_rtc.client.embedding import embedded
from sleap_rtc.client.labels_asking import Helper, look
from sleap_rtc.client.labels_messages import LabelsFile, LabelsLook
from sleap_rtc.config.paths import home
from sleap_rtc.errors import PackageError
from tests.client.labels_on_videos import LABELLED, make_labels

pytestmark = pytest.mark.xdist_group("labels")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels on two videos: one by its absolute path, one beside the labels under a name of another machine."""
    folder = tmp_path_factory.mktemp("project")
    videos = folder / "day1" / "a.mp4", folder / "b.mp4"
    return make_labels(folder / "labels.slp", *videos, called=(str(videos[0]), "D:\\data\\b.mp4"))


async def look_at(*paths: Path) -> tuple[LabelsLook, ...]:
    return await look([LabelsFile(path=str(path), beside=str(path.parent)) for path in paths])


async def test_it_says_which_videos_labels_need_and_which_are_here(project: Path, tmp_path: Path) -> None:
    (project.parent / "b.mp4").rename(project.parent / "gone.mp4")
    without = (await look_at(project))[0].videos[1]
    (project.parent / "gone.mp4").rename(project.parent / "b.mp4")
    first, second = (await look_at(project))[0].videos
    assert (first.names, first.found) == ((str(project.parent / "day1" / "a.mp4"),),) * 2
    assert (second.names, second.found) == (("D:/data/b.mp4",), (str(project.parent / "b.mp4"),))
    assert without.found == (None,)
    assert (first.frames, first.trained, first.needed) == (len(LABELLED) + 1, len(LABELLED), True)
    # sleap-io calls them so, too: what is said about a video must find it
    assert [video.filename for video in sio.load_slp(str(project), open_videos=False).videos] == [
        first.names[0], second.names[0],
    ]  # fmt: skip


async def test_labels_with_their_images_need_nothing(real_labels: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels.slp").write_bytes(real_labels)
    (found,) = await look_at(tmp_path / "labels.slp")
    assert found.problem is None
    assert [(video.embedded, video.frames) for video in found.videos] == [(True, 12)]
    assert found.needed == ()


async def test_a_file_that_is_none_is_a_few_words(tmp_path: Path) -> None:
    import h5py

    torn, linked, empty, odd = (tmp_path / f"{name}.slp" for name in ("torn", "linked", "empty", "odd"))
    torn.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(3000))
    with h5py.File(linked, "w") as file:
        file["videos_json"] = h5py.ExternalLink("/etc/passwd", "/x")
    empty.touch()
    with h5py.File(odd, "w") as file:
        file["videos_json"] = [b"[" * 100_000]
    found = await look_at(torn, linked, empty, odd, tmp_path / "missing.slp")
    assert all(each.problem and not each.videos for each in found)
    assert "refers to other files" in (found[1].problem or "")


@pytest.mark.parametrize("code", ["import time; time.sleep(600)", "import os; os.abort()", "print('{}')", "print(1)"])
async def test_a_helper_that_hangs_or_dies_is_a_sentence(tmp_path: Path, code: str) -> None:
    helper = Helper(command=(sys.executable, "-c", code), looking=0.2 if "sleep" in code else 60)
    with pytest.raises(PackageError, match=r"cannot be looked at: .*save it again"):
        await look([LabelsFile(path="labels.slp", beside=str(tmp_path))], helper)


async def test_embedding_gives_the_same_training_frames(project: Path) -> None:
    places = [(str(project.parent / "day1" / "a.mp4"),), (str(project.parent / "b.mp4"),)]
    told: list[tuple[int, int]] = []
    copy = await embedded(project, places, on_frames=lambda done, total: told.append((done, total)))
    whole, ours = sio.load_slp(str(project)), sio.load_slp(str(copy))
    before, after = ([frame for frame in labels if frame.has_user_instances] for labels in (whole, ours))
    assert len(before) == len(after) == told[-1][1] == 2 * len(LABELLED)
    for old, new in zip(before, after, strict=True):
        assert (new.frame_idx, whole.videos.index(old.video)) == (old.frame_idx, ours.videos.index(new.video))
        np.testing.assert_array_equal(new.image, old.image)
        np.testing.assert_array_equal(new.numpy(), old.numpy())
    (found,) = await look_at(copy)
    assert found.needed == ()


async def test_the_same_labels_and_videos_are_the_same_bytes(project: Path) -> None:
    places = [(str(project.parent / "day1" / "a.mp4"),), (str(project.parent / "b.mp4"),)]
    copy = await embedded(project, places)
    first, written = copy.read_bytes(), copy.stat().st_ino
    nobody = Helper(command=(sys.executable, "-c", ""))
    # not made again: nobody was there to make it
    assert (await embedded(project, places, helper=nobody)).stat().st_ino == written
    copy.unlink()
    assert (await embedded(project, places)).read_bytes() == first
    assert [path.name for path in (home() / "embedded").iterdir()] == [copy.name]
    # other frames are another file
    assert await embedded(project, places, every=True) != copy


async def test_a_video_that_cannot_be_read_is_named(project: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes((project.parent / "b.mp4").read_bytes()[:200])
    with pytest.raises(PackageError) as error:
        await embedded(project, [(str(project.parent / "day1" / "a.mp4"),), (str(broken),)])
    assert "broken.mp4' cannot be" in error.value.sentence
    assert "--send-videos" in error.value.sentence
    assert list((home() / "embedded").iterdir()) == []


async def test_a_video_with_predictions_alone_need_not_be_here(project: Path, tmp_path: Path) -> None:
    labels = sio.load_slp(str(project), open_videos=False)
    for frame in labels:
        if frame.video is labels.videos[1]:
            frame.instances = [each for each in frame.instances if isinstance(each, sio.PredictedInstance)]
    labels.save(str(tmp_path / "half.slp"), verbose=False)
    (found,) = await look_at(tmp_path / "half.slp")
    assert [video.trained for video in found.videos] == [len(LABELLED), 0]
    copy = await embedded(tmp_path / "half.slp", [(str(project.parent / "day1" / "a.mp4"),), None])
    (found,) = await look_at(copy)
    assert [video.embedded for video in found.videos] == [True, True]
