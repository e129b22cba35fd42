"""Predictions merged into a copy of labels, by the real sleap-io: what a user labelled stays as it was."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sleap_io as sio

from sleap_rtc.client.merging import name_input, predictions_by_input, prepare_merge
from sleap_rtc.errors import ConflictError, PackageError, SleapRTCError
from tests.client.labels_on_videos import LABELLED, PREDICTED, SKELETON, make_labels

pytestmark = pytest.mark.xdist_group("labels")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Labels on two videos, each with frames by a user and one that is a prediction alone."""
    return make_labels(tmp_path / "labels.slp", tmp_path / "a.mp4", tmp_path / "b.mp4")


def predict(path: Path, *videos: str, frames: tuple[int, ...] = (0, 3, 5), nodes: tuple[str, ...] = ()) -> Path:
    """Predictions as a worker's sleap-nn would leave them: its own paths, perhaps its nodes in another order."""
    skeleton = sio.Skeleton(nodes=list(nodes or ("tail", "head", "mid")))
    track = sio.Track(name="animal")
    found = []
    for number, name in enumerate(videos):
        video = sio.Video(filename=name, open_backend=False)
        for index in frames:
            points = np.array([[30.0 + each, 10.0 * number + index] for each in range(3)])
            points[1] = np.nan if index == 5 else points[1]
            instance = sio.PredictedInstance.from_numpy(
                points, skeleton=skeleton, point_scores=np.array([0.3, 0.1, 0.2]), score=0.7, track=track
            )
            found.append(sio.LabeledFrame(video=video, frame_idx=index, instances=[instance]))
    sio.Labels(found).save(str(path), verbose=False)
    return path


def by_users(labels: Any) -> dict[tuple[str, int], bytes]:
    """The very bytes of all that users labelled."""
    return {
        (Path(frame.video.filename).name, frame.frame_idx): b"".join(
            each.points[key].tobytes() for each in frame.user_instances for key in ("xy", "visible", "complete")
        )
        for frame in labels
        if frame.user_instances
    }


def at(labels: Any, video: int, index: int) -> Any:
    return labels.find(labels.videos[video], index)[0]


def digest_of(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def refused(error: type[SleapRTCError], *arguments: Any) -> str:
    with pytest.raises(error) as caught:
        await prepare_merge(*arguments)
    return caught.value.sentence


async def test_users_labels_stay_byte_for_byte_and_predictions_come_beside_them(labels: Path, tmp_path: Path) -> None:
    before, untouched = sio.load_slp(str(labels), open_videos=False), digest_of(labels)
    merging = await prepare_merge(labels, [str(tmp_path / "b.mp4")], tmp_path / "out.slp")
    predictions = predict(tmp_path / "b.predictions.slp", "/worker/inputs/data/b.mp4")
    target, merged = await merging.run({0: predictions})
    assert (target, merged.frames, merged.kept) == (tmp_path / "out.slp", 2, 1)
    after = sio.load_slp(str(target), open_videos=False)
    assert by_users(after) == by_users(before)
    assert len(by_users(before)) == 2 * len(LABELLED)
    assert digest_of(labels) == untouched
    # frame 0 is a user's: nothing was added there; 3 had an older prediction, 5 nothing
    assert at(after, 1, 0).predicted_instances == []
    for index in (PREDICTED, 5):
        (guess,) = at(after, 1, index).instances
        assert guess.skeleton == after.skeletons[0]
        assert [node.name for node in guess.skeleton.nodes] == [node.name for node in SKELETON.nodes]
        assert guess.track.name == "animal"
        # tail, head, mid on the worker; head, mid, tail in the labels
        assert guess.numpy()[0] == pytest.approx([31.0, index] if index == PREDICTED else [np.nan] * 2, nan_ok=True)
        assert guess.numpy()[1] == pytest.approx([32.0, index])
        assert guess.numpy()[2] == pytest.approx([30.0, index])
        assert guess.points["score"] == pytest.approx([0.1, 0.2, 0.3])
    assert len(after.videos) == 2
    assert [Path(video.filename).name for video in after.videos] == ["a.mp4", "b.mp4"]
    assert len(at(after, 0, PREDICTED).instances) == 1  # the other video's is as it was
    assert len(after) == len(before) + 1


async def test_labels_that_were_looked_at_themselves_match_video_by_video(labels: Path, tmp_path: Path) -> None:
    merging = await prepare_merge(labels, [str(labels)], tmp_path / "out.slp")
    predictions = predict(tmp_path / "p.slp", "/w/labels.pkg.slp", "/w/labels2.pkg.slp", frames=(7,))
    target, merged = await merging.run({0: predictions})
    after = sio.load_slp(str(target), open_videos=False)
    assert merged.frames == 2
    assert [at(after, video, 7).instances[0].numpy()[0][1] for video in (0, 1)] == [7.0, 17.0]


async def test_images_in_the_labels_stay_in_the_copy(tmp_path: Path) -> None:
    package = tmp_path / "labels.pkg.slp"
    labels = make_labels(tmp_path / "one.slp", tmp_path / "a.mp4")
    sio.load_slp(str(labels)).save(str(package), embed="user", verbose=False)
    merging = await prepare_merge(package, [str(tmp_path / "a.mp4")], None)
    merging = type(merging)(merging.labels, tmp_path / merging.target, merging.videos)
    assert merging.target.name == "labels.merged.pkg.slp"
    target, _ = await merging.run({0: predict(tmp_path / "p.slp", "a.mp4")})
    before, after = sio.load_slp(str(package)), sio.load_slp(str(target))
    for index in LABELLED:
        assert (after.videos[0][index] == before.videos[0][index]).all()
    assert by_users(after) == {("labels.merged.pkg.slp", index): kept for (_, index), kept in by_users(before).items()}
    assert at(after, 0, 5).predicted_instances


async def test_another_skeleton_is_refused_and_leaves_nothing(labels: Path, tmp_path: Path) -> None:
    merging = await prepare_merge(labels, [str(tmp_path / "a.mp4")], tmp_path / "out.slp")
    predictions = predict(tmp_path / "p.slp", "a.mp4", nodes=("nose", "ear", "paw"))
    before = names_in(tmp_path)
    with pytest.raises(PackageError, match=r"\(nose, ear, paw\) is not that of the labels \(head, mid, tail\)"):
        await merging.run({0: predictions})
    assert names_in(tmp_path) == before


async def test_predictions_that_lead_elsewhere_are_refused(labels: Path, tmp_path: Path) -> None:
    import h5py

    merging = await prepare_merge(labels, [str(tmp_path / "a.mp4")], tmp_path / "out.slp")
    hostile = predict(tmp_path / "p.slp", "a.mp4")
    with h5py.File(hostile, "a") as file:
        file["more"] = h5py.ExternalLink("/etc/secret.h5", "/data")
    with pytest.raises(PackageError, match="not merged"):
        await merging.run({0: hostile})
    assert not (tmp_path / "out.slp").exists()


async def test_what_cannot_be_merged_is_said_before_anything_is_sent(labels: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(b"x")
    assert "Videos of the labels: " in await refused(SleapRTCError, labels, [str(other)], tmp_path / "out.slp")
    assert "no file" in await refused(SleapRTCError, tmp_path / "none.slp", ["a.mp4"], None)
    assert "does not end in .slp" in await refused(SleapRTCError, labels, [str(tmp_path / "a.mp4")], tmp_path / "out")
    assert "nothing is overwritten" in await refused(ConflictError, labels, [str(tmp_path / "a.mp4")], labels)
    (tmp_path / "torn.slp").write_bytes(b"torn")
    assert "cannot be read" in await refused(PackageError, tmp_path / "torn.slp", ["a.mp4"], tmp_path / "out.slp")


async def test_predictions_name_what_was_looked_at_as_it_is_called_here(tmp_path: Path) -> None:
    make_labels(tmp_path / "labels.slp", tmp_path / "a.mp4")
    predictions = predict(tmp_path / "p.slp", "/worker/j_1/inputs/data/a.mp4")
    untouched = mode_of(predictions)
    await name_input(predictions, tmp_path / "a.mp4")
    found = sio.load_slp(str(predictions))
    assert found.videos[0].filename == str(tmp_path / "a.mp4")
    assert found.videos[0][3].shape[:2] == (96, 96)
    assert len(found) == 3
    assert mode_of(predictions) == untouched
    # another input's name is not touched
    other = predict(tmp_path / "other.slp", "/worker/j_1/inputs/data/b.mp4")
    before = digest_of(other)
    await name_input(other, tmp_path / "a.mp4")
    assert digest_of(other) == before
    assert names_in(tmp_path) == ["a.mp4", "labels.slp", "other.slp", "p.slp"]


async def test_predictions_on_a_copy_with_images_name_the_videos_it_was_made_of(tmp_path: Path) -> None:
    labels = make_labels(tmp_path / "labels.slp", tmp_path / "a.mp4")
    copy, mine = tmp_path / "worker" / "labels.pkg.slp", tmp_path / "labels.pkg.slp"
    make_package(labels, copy)
    for name in ("p.slp", "q.slp"):
        sio.load_slp(str(copy)).save(str(tmp_path / name), restore_original_videos=False, verbose=False)
        assert sio.load_slp(str(tmp_path / name), open_videos=False).videos[0].filename == str(copy)
    await name_input(tmp_path / "p.slp", labels)
    assert sio.load_slp(str(tmp_path / "p.slp")).videos[0].filename == str(tmp_path / "a.mp4")
    # labels that held their images themselves were sent as they are
    make_package(labels, mine)
    await name_input(tmp_path / "q.slp", mine)
    (video,) = sio.load_slp(str(tmp_path / "q.slp")).videos
    assert video.filename == str(mine)
    assert video[0].shape[:2] == (96, 96)


def make_package(labels: Path, package: Path) -> None:
    package.parent.mkdir(exist_ok=True)
    sio.load_slp(str(labels)).save(str(package), embed=True, verbose=False)


def mode_of(path: Path) -> int:
    return path.stat().st_mode


async def test_a_file_that_is_no_predictions_stays_as_it_is(tmp_path: Path) -> None:
    torn = make_torn(tmp_path / "torn.slp")
    before = digest_of(torn)
    with pytest.raises(PackageError, match="cannot be changed"):
        await name_input(torn, tmp_path / "a.mp4")
    assert (digest_of(torn), names_in(tmp_path)) == (before, ["torn.slp"])


def make_torn(path: Path) -> Path:
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    return path


def test_a_name_that_was_taken_meanwhile_is_not_taken_for_another_input(tmp_path: Path) -> None:
    names = ["a.predictions.slp", "b.predictions.slp"]
    places = [tmp_path / "b.predictions.slp", tmp_path / "b.analysis.h5"]
    assert predictions_by_input(places, names) == {1: tmp_path / "b.predictions.slp"}
    with pytest.raises(PackageError, match="not merged"):
        predictions_by_input([tmp_path / "a-2.predictions.slp"], names)
