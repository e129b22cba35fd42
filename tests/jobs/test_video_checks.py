"""Labels that refer to videos: which of them a job may read, once they have the names that sleap-nn will see."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.jobs.hdf5_links import datasets_of
from sleap_rtc.jobs.label_checks import Opened
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.jobs.video_checks import Granted, video_problems

pytestmark = pytest.mark.xdist_group("preflight")
MP4 = b"\x00\x00\x00\x18ftypmp42"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    (tmp_path / "inputs").mkdir()
    return tmp_path / "inputs"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A mount, with a folder that the submitter does not know by that name."""
    (tmp_path / "lab" / "day1").mkdir(parents=True)
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "lab" / "day1" / name).write_bytes(MP4)
    return tmp_path / "lab"


def labels_on(inputs: Path, *names: str | list[str], unused: str | None = None) -> Opened:
    """Labels with one frame on each video."""
    sio = pytest.importorskip("sleap_io")

    def video(name: str | list[str]) -> Any:
        several = {"type": "ImageVideo", "filename": name[0], "filenames": name} if isinstance(name, list) else {}
        metadata = {"type": "MediaVideo", "shape": [9, 64, 64, 1]} | several
        return sio.Video(filename=name, backend_metadata=metadata, open_backend=False)

    videos = [video(name) for name in names]
    skeleton = sio.Skeleton(nodes=["a"])
    instance = sio.Instance.from_numpy([[1.0, 1.0]], skeleton=skeleton)
    frames = [sio.LabeledFrame(video=each, frame_idx=0, instances=[instance]) for each in videos]
    if unused is not None:
        videos.append(video(unused))
    path = inputs / "labels.slp"
    sio.Labels(frames, videos=videos).save(str(path), verbose=False)
    labels = sio.load_slp(str(path), open_videos=False, lazy=True)
    return Opened(path, "labels.slp", labels, datasets_of(path, "labels.slp"))


def problems(opened: Opened, lab: Path, arguments: Sequence[str] = ()) -> list[str]:
    granted = Granted(opened.path.parent, Mounts({"lab": lab}), datasets_of)
    return list(video_problems(opened, granted, arguments))


@pytest.mark.parametrize(
    "said",
    [
        ("--video-paths", "{lab}/day1/a.mp4", "--video-paths", "{lab}/day1/b.mp4"),
        ("--video-path-map", "/old/a.mp4", "{lab}/day1/a.mp4", "--video-path-map", "/old/b.mp4", "{lab}/day1/b.mp4"),
        ("--prefix-map", "/old", "{lab}/day1"),
    ],
)
def test_each_of_the_three_ways_leads_to_the_mount(inputs: Path, lab: Path, said: Sequence[str]) -> None:
    opened = labels_on(inputs, "/old/a.mp4", "/old/b.mp4", unused=None)
    before: Any = opened.labels.videos[0].backend_metadata["shape"]
    assert problems(opened, lab, [word.format(lab=lab) for word in said]) == []
    assert [video.filename for video in opened.labels.videos] == [f"{lab}/day1/a.mp4", f"{lab}/day1/b.mp4"]
    # the size of the images is still known to the other checks
    assert opened.labels.videos[0].backend_metadata["shape"] == before


def test_what_is_lacking_is_named_with_what_to_do(inputs: Path, lab: Path) -> None:
    opened = labels_on(inputs, "/old/a.mp4", "/old/b.mp4", unused="/old/c.mp4")
    found = problems(opened, lab, ("--video-path-map", "/old/a.mp4", f"{lab}/day1/a.mp4"))
    (sentence,) = found
    assert "the video 'b.mp4', but not its images" in sentence
    assert "--embed-frames or --send-videos" in sentence


def test_a_count_that_does_not_fit_is_told_with_both_numbers(inputs: Path, lab: Path) -> None:
    (sentence,) = problems(labels_on(inputs, "/old/a.mp4", "/old/b.mp4"), lab, ("--video-paths", f"{lab}/day1/a.mp4"))
    assert sentence.startswith("'labels.slp' has 2 videos, and --video-paths gives 1")


def test_a_wrong_prefix_is_told_with_the_place_it_leads_to(inputs: Path, lab: Path) -> None:
    (sentence,) = problems(labels_on(inputs, "/old/day2/a.mp4"), lab, ("--prefix-map", "/old", str(lab)))
    assert "'a.mp4' of 'labels.slp' would be read from 'lab:/day2/a.mp4', which is no file" in sentence


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/etc/shadow", ()),
        ("/old/../../../etc/passwd", ("--prefix-map", "/old", "{lab}/day1")),
        ("/old/../../secret", ("--prefix-map", "/old", "{lab}/day1")),
        ("/old", ("--prefix-map", "/old", "/etc/passwd")),
        ("/old/x", ("--prefix-map", "/ol", "{lab}")),
        ("../../../../../../etc/passwd", ()),
        ("..", ()),
    ],
)
def test_no_name_reads_what_is_not_the_jobs(inputs: Path, lab: Path, name: str, said: Sequence[str]) -> None:
    (lab.parent / "secret").write_bytes(MP4)
    found = problems(labels_on(inputs, name), lab, [word.format(lab=lab) for word in said])
    assert len(found) == 1


@pytest.mark.parametrize("name", ["http://169.254.169.254/a.mp4", "concat:/etc/passwd|/etc/shadow", "s3://x/a.mp4"])
def test_an_address_is_no_video_wherever_it_is_said_to_be(inputs: Path, lab: Path, name: str) -> None:
    for said in ((), ("--video-paths", f"{lab}/day1/a.mp4")):
        (sentence,) = problems(labels_on(inputs, name), lab, said)
        assert "is an address and no file" in sentence


def test_images_one_by_one_are_looked_at_one_by_one(inputs: Path, lab: Path) -> None:
    for name in ("1.png", "2.png"):
        (lab / name).write_bytes(b"\x89PNG")
    assert problems(labels_on(inputs, ["/old/1.png", "/old/2.png"]), lab, ("--prefix-map", "/old", str(lab))) == []
    found = problems(labels_on(inputs, ["/old/1.png", "/old/3.png"]), lab, ("--prefix-map", "/old", str(lab)))
    assert "'lab:/3.png'" in found[0]


def test_a_video_beside_the_labels_is_found_by_its_bare_name(inputs: Path, lab: Path) -> None:
    (inputs / "a.mp4").write_bytes(MP4)
    assert problems(labels_on(inputs, "a.mp4"), lab) == []
    assert len(problems(labels_on(inputs, "b.mp4"), lab)) == 1


@pytest.mark.parametrize(
    "text", ["#EXTM3U\nfile:///etc/passwd\n", "ffconcat version 1.0\nfile '/etc/passwd'\n", "<MPD>"]
)
def test_a_list_of_other_files_is_no_video(inputs: Path, lab: Path, text: str) -> None:
    (inputs / "a.mp4").write_text(text)
    opened = labels_on(inputs, "/old/a.mp4")
    (sentence,) = problems(opened, lab, ("--video-path-map", "/old/a.mp4", str(inputs / "a.mp4")))
    assert "a list of other files" in sentence


def test_an_hdf5_video_stands_alone(inputs: Path, lab: Path) -> None:
    h5py = pytest.importorskip("h5py")
    for name, link in (("good.h5", None), ("bad.h5", h5py.ExternalLink("/etc/passwd", "/x"))):
        with h5py.File(lab / name, "w") as file:
            file["images"] = link if link is not None else [1]
    said = ("--prefix-map", "/old", str(lab))
    assert problems(labels_on(inputs, "/old/good.h5"), lab, said) == []
    assert "refers to other files" in problems(labels_on(inputs, "/old/bad.h5"), lab, said)[0]
