"""What a submitter may name on the worker's machine, and what no name leads to."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.config.paths import home
from sleap_rtc.config.schema import Mount, read_mount
from sleap_rtc.errors import ConfigError
from sleap_rtc.jobs.mounts import Mounts, check_mounts
from sleap_rtc.jobs.video_places import check_places, video_arguments
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.training import TrainOptions, Videos, VideoTarget

from .conftest import (
    FakeRunner,
    all_events,
    names_in,
    new_board,
    noted,
    of_type,
    running,
    submit,
    training_config,
    write_package,
)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder of the lab's videos, and beside it what is nobody's business."""
    folder = tmp_path / "lab"
    (folder / "day 1").mkdir(parents=True)
    (folder / "day 1" / "a.mp4").write_bytes(b"video")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (folder / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "out").symlink_to(tmp_path)
    (folder / "again").symlink_to(folder / "day 1")
    os.mkfifo(folder / "pipe.mp4")
    return folder


@pytest.fixture
def mounts(lab: Path) -> Mounts:
    return check_mounts([Mount("lab", lab)])


def test_a_file_is_named_by_label_or_by_its_path(mounts: Mounts, lab: Path) -> None:
    video = lab / "day 1" / "a.mp4"
    assert mounts.find("lab:/day 1/a.mp4") == video
    assert mounts.find(str(video)) == video
    assert mounts.find("lab:/", folder=True) == lab
    assert mounts.find("lab:/day 1", folder=True) == lab / "day 1"
    assert mounts.holds(video)
    assert mounts.shown(str(video)) == "lab:/day 1/a.mp4"


def test_a_mount_that_is_itself_a_link_is_its_owners_choice(tmp_path: Path, lab: Path) -> None:
    (tmp_path / "shortcut").symlink_to(lab)
    mounts = check_mounts([Mount("lab", tmp_path / "shortcut")])
    assert mounts.find(str(tmp_path / "shortcut" / "day 1" / "a.mp4")) == lab / "day 1" / "a.mp4"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lab:/link.mp4", "a link"),
        ("lab:/out/secret.mp4", "a link"),
        ("lab:/again/a.mp4", "a link"),
        ("lab:/../secret.mp4", "no path below a mount"),
        ("lab:/day 1/../../secret.mp4", "no path below a mount"),
        ("lab:/day 1/a.mp4\x00", "no path below a mount"),
        ("lab:/pipe.mp4", "no regular file"),
        ("lab:/day 1", "is a folder|no regular file"),
        ("lab:/day 1/a.mp4/b", "does not exist"),
        ("lab:/b.mp4", "does not exist"),
        ("lab:/" + "x" * 4000, "cannot be read"),
        ("lab:/" + "x/" * 100, "no path below a mount"),
        ("other:/a.mp4", "no mount 'other': it has lab"),
        ("/etc/passwd", "under no mount of this worker: it has lab"),
        ("a.mp4", "under no mount"),
        ("C:/a.mp4", "under no mount"),
        ("http://x.example/a.mp4", "no mount 'http'"),
    ],
)
def test_no_name_leads_out_of_a_mount(mounts: Mounts, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        mounts.find(text)


def test_an_absolute_path_may_not_climb_out(mounts: Mounts, lab: Path) -> None:
    with pytest.raises(ConfigError, match="no path below a mount"):
        mounts.find(f"{lab}/../secret.mp4")
    assert not mounts.holds(lab / "link.mp4")
    assert not mounts.holds(lab / "day 1" / ".." / "day 1" / "a.mp4")
    assert not mounts.holds(lab.parent / "secret.mp4")
    assert not mounts.holds(Path("day 1/a.mp4"))


def test_a_worker_without_mounts_says_so() -> None:
    with pytest.raises(ConfigError, match=r"it has none .*--mount.*--send-videos"):
        Mounts().find("/data/a.mp4")


@pytest.mark.parametrize("kind", ["packages", "programs", "libraries", "environment"])
def test_jobs_may_not_write_where_the_worker_finds_its_programs(
    kind: str, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = lab / "tools" / "more"
    tools.mkdir(parents=True)
    match kind:
        case "packages":
            monkeypatch.syspath_prepend(str(tools))
        case "programs":
            monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
        case "libraries":
            monkeypatch.setenv("LD_LIBRARY_PATH", str(tools), prepend=os.pathsep)
        case "environment":
            monkeypatch.setattr(sys, "prefix", str(tools))
    with pytest.raises(ConfigError, match="programs of this worker lie"):
        check_mounts([Mount("lab", lab, rw=True)])
    assert check_mounts([Mount("lab", lab), Mount("days", lab / "day 1", rw=True)]).writable == {"days"}


def test_mounts_give_no_keys_away(tmp_path: Path, lab: Path) -> None:
    ours = tmp_path / "jobs"
    ours.mkdir()
    (home() / "below").mkdir()
    for path in (Path("/"), Path.home(), home(), home() / "below", ours, tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match=r"home folder|overlaps|no folder"):
            check_mounts([Mount("lab", path)], [ours])
    assert check_mounts([Mount("lab", lab)], [ours]).roots == {"lab": lab}
    for label in ("C", "a b", "a:b", "", "x" * 65):
        with pytest.raises(ConfigError, match="label"):
            check_mounts([Mount(label, lab)])
    with pytest.raises(ConfigError, match="label"):
        check_mounts([Mount("lab", lab), Mount("lab", lab / "day 1")])


def test_a_mount_as_it_is_typed() -> None:
    assert read_mount("lab=/data/lab", "--mount") == Mount("lab", Path("/data/lab"))
    assert read_mount("lab=/data/lab:rw", "--mount") == Mount("lab", Path("/data/lab"), rw=True)
    for text in ("/data/lab", "lab=data", "=/data", "lab="):
        with pytest.raises(ConfigError, match="--mount"):
            read_mount(text, "--mount")


def arguments(kind: str, *targets: VideoTarget, inputs: Path, mounts: Mounts) -> tuple[str, ...]:
    return video_arguments(Videos.model_validate({"kind": kind, "targets": targets}), inputs, mounts)


def test_each_way_to_say_it_is_sleap_nns_own(tmp_path: Path, mounts: Mounts, lab: Path) -> None:
    inputs = tmp_path / "inputs"
    (inputs / "videos").mkdir(parents=True)
    sent = inputs / "videos" / "b.mp4"
    sent.write_bytes(b"video")
    there, here = "lab:/day 1/a.mp4", VideoTarget(old="C:\\b.mp4", new="videos/b.mp4", in_package=True)
    video = str(lab / "day 1" / "a.mp4")
    assert arguments("paths", VideoTarget(new=there), here, inputs=inputs, mounts=mounts) == (
        "--video-paths", video, "--video-paths", str(sent),
    )  # fmt: skip
    assert arguments("map", VideoTarget(old="a", new=there), here, inputs=inputs, mounts=mounts) == (
        "--video-path-map", "a", video, "--video-path-map", "C:/b.mp4", str(sent),
    )  # fmt: skip
    assert arguments("prefix", VideoTarget(old="/x", new="lab:/day 1"), inputs=inputs, mounts=mounts) == (
        "--prefix-map", "/x", str(lab / "day 1"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "target", "words"),
    [
        ("map", VideoTarget(old="a", new="lab:/b.mp4"), "'lab:/b.mp4' on this worker does not exist"),
        ("paths", VideoTarget(new="/etc/shadow"), "'/etc/shadow' is under no mount"),
        ("prefix", VideoTarget(old="a", new="lab:/day 1/a.mp4"), "is no folder"),
        ("map", VideoTarget(new="lab:/day 1/a.mp4"), "lacks what the labels call"),
        ("map", VideoTarget(old="${oc.env:HOME}", new="lab:/day 1/a.mp4"), "sleap-nn would replace"),
        ("map", VideoTarget(old="a\nb", new="lab:/day 1/a.mp4"), "control characters"),
        ("map", VideoTarget(old="a", new="videos/a.mp4", in_package=True), "not in the package"),
        ("map", VideoTarget(old="a", new="../secret.mp4", in_package=True), "not in the package"),
        ("prefix", VideoTarget(old="a", new="..", in_package=True), "not in the package"),
    ],
)
def test_a_place_that_is_not_there_is_named(
    tmp_path: Path, mounts: Mounts, kind: str, target: VideoTarget, words: str
) -> None:
    (tmp_path / "inputs").mkdir()
    with pytest.raises(ConfigError) as error:
        arguments(kind, target, inputs=tmp_path / "inputs", mounts=mounts)
    assert words in error.value.sentence


def on_worker(*targets: VideoTarget) -> TrainOptions:
    return TrainOptions(videos=Videos(kind="map", targets=targets))


async def test_sleap_nn_is_told_and_told_again_when_the_job_goes_on(
    root: Path, fake: FakeRunner, ledger: Path, tmp_path: Path, mounts: Mounts, lab: Path
) -> None:
    package = write_package(tmp_path / "package", {"one": training_config(run_name="one")})
    options = on_worker(VideoTarget(old="/old/a.mp4", new="lab:/day 1/a.mp4"))
    board = new_board(root, fake("good"), mounts=mounts)
    async with running(board):
        folder = await submit(board, package, options=options)
        events = await all_events(board, folder)
    assert of_type(events, "state")[-1].state is JobState.DONE
    told = ["--video-path-map", "/old/a.mp4", str(lab / "day 1" / "a.mp4")]
    assert json.loads(ledger.with_suffix(".arguments").read_text()) == told
    folder.set_aside(1)
    assert list(folder.video_arguments()) == told


async def test_a_job_whose_video_is_not_there_leaves_nothing_behind(
    root: Path, fake: FakeRunner, tmp_path: Path, mounts: Mounts
) -> None:
    package = write_package(tmp_path / "package", {"one": training_config()})
    with pytest.raises(ConfigError, match=r"'lab:/b.mp4' on this worker does not exist"):
        await submit(
            new_board(root, fake("good"), mounts=mounts),
            package,
            options=on_worker(VideoTarget(old="a", new="lab:/b.mp4")),
        )
    assert names_in(root) == []


def test_a_folder_that_cannot_be_listed_can_be_gone_through(
    mounts: Mounts, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refused = os.open, []

    def open_(name: Path | str, flags: int, *rest: Any, **more: Any) -> int:
        # root may list anything, so that the system would not refuse it here
        if name == "day 1" and not flags & os.O_PATH:
            refused.append(name)
            raise PermissionError(13, "Permission denied")
        return real(name, flags, *rest, **more)

    monkeypatch.setattr(os, "open", open_)
    assert mounts.holds(lab / "day 1" / "a.mp4")
    assert not mounts.holds(lab / "day 1" / "b.mp4")
    assert refused


def swap_a_link_in(lab: Path, tmp_path: Path) -> None:
    (lab / "day 1" / "a.mp4").unlink()
    (lab / "day 1" / "a.mp4").symlink_to(tmp_path / "secret.mp4")


def swap_a_folder_for_a_link(lab: Path, tmp_path: Path) -> None:
    (lab / "day 1").rename(tmp_path / "elsewhere")
    (lab / "day 1").symlink_to(tmp_path / "elsewhere")


def swap_the_mount_for_a_link(lab: Path, tmp_path: Path) -> None:
    lab.rename(tmp_path / "elsewhere")
    lab.symlink_to(tmp_path / "elsewhere")


def swap_a_pipe_in(lab: Path, tmp_path: Path) -> None:
    (lab / "day 1" / "a.mp4").unlink()
    os.mkfifo(lab / "day 1" / "a.mp4")


def remove_it(lab: Path, tmp_path: Path) -> None:
    (lab / "day 1" / "a.mp4").unlink()


@pytest.mark.parametrize(
    ("kind", "swap", "why"),
    [
        ("map", swap_a_link_in, "is a link, or lies behind one"),
        ("paths", swap_a_link_in, "is a link, or lies behind one"),
        ("map", swap_a_folder_for_a_link, "is a link, or lies behind one"),
        ("prefix", swap_a_folder_for_a_link, "is a link, or lies behind one"),
        ("map", swap_the_mount_for_a_link, "is a link, or lies behind one"),
        ("prefix", swap_the_mount_for_a_link, "is a link, or lies behind one"),
        ("paths", swap_a_pipe_in, "is no regular file"),
        ("map", remove_it, "does not exist"),
    ],
)
def test_what_takes_a_videos_place_while_the_job_waits_is_not_read(
    tmp_path: Path, mounts: Mounts, lab: Path, kind: str, swap: Callable[[Path, Path], None], why: str
) -> None:
    (tmp_path / "inputs").mkdir()
    said = "lab:/day 1" if kind == "prefix" else "lab:/day 1/a.mp4"
    video = VideoTarget(old="" if kind == "paths" else "/old", new=said)
    found = arguments(kind, video, inputs=tmp_path / "inputs", mounts=mounts)
    check_places(found, tmp_path / "inputs")
    swap(lab, tmp_path)
    with pytest.raises(ConfigError, match=why):
        check_places(found, tmp_path / "inputs")


async def test_a_link_that_is_swapped_in_while_a_job_waits_fails_it_before_anything_is_trained(
    root: Path, fake: FakeRunner, ledger: Path, tmp_path: Path, mounts: Mounts, lab: Path
) -> None:
    package = write_package(tmp_path / "package", {"one": training_config(run_name="one")})
    board = new_board(root, fake("good"), mounts=mounts)
    video = VideoTarget(old="/old/a.mp4", new="lab:/day 1/a.mp4")
    folder = await submit(board, package, options=on_worker(video))
    swap_a_folder_for_a_link(lab, tmp_path)
    async with running(board):
        ended = of_type(await all_events(board, folder), "state")[-1]
        await board.idle()
    assert ended.state is JobState.FAILED
    assert "now is a link, or lies behind one" in ended.error.sentence
    assert noted(ledger) == []
    assert folder.results() == []
