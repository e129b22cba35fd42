"""Output folders as a hostile job leaves them: only plain files of its runs go home, and not without end."""

import json
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sleap_rtc.errors import StorageError
from sleap_rtc.jobs import folder as folder_module
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.files import check_tree
from sleap_rtc.transfer.offering import make_offering
from sleap_rtc.transfer.source import FilesSource


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    """A job that is done, with the models of one run."""
    made = JobFolder(tmp_path / "j_12345678")
    (made.models / "run").mkdir(parents=True)
    made.control.mkdir()
    body = {"type": "run_ended", "outcome": "done", "folder": "run"}
    made.events.write_text(json.dumps({"seq": 1, "t": 0, "run": "run", "body": body}) + "\n")
    (made.control / "state.json").write_text('{"state": "done", "t": 0}')
    (made.models / "run" / "best.ckpt").write_text("model")
    return made


def sent(folder: JobFolder) -> list[str]:
    return [file.path for file in folder.results()]


def test_plain_files_go_home(folder: JobFolder) -> None:
    (folder.models / "run/deep/er").mkdir(parents=True)
    (folder.models / "run/deep/er/a.csv").touch()
    assert sent(folder) == ["run/best.ckpt", "run/deep/er/a.csv"]


def a_link_to_a_file(run: Path) -> None:
    (run / "x").symlink_to("/etc/passwd")


def a_link_to_a_folder(run: Path) -> None:
    (run / "x").symlink_to("/etc")


def a_link_within(run: Path) -> None:
    (run / "x").symlink_to("best.ckpt")


def a_link_to_nothing(run: Path) -> None:
    (run / "x").symlink_to("nothing")


def a_link_to_itself(run: Path) -> None:
    (run / "x").symlink_to("x")


def a_link_to_the_folder_above(run: Path) -> None:
    (run / "x").symlink_to("..")


def another_name_of_a_file(run: Path) -> None:
    (run.parents[2] / "control" / "secret").write_text("secret")
    (run / "x").hardlink_to(run.parents[2] / "control" / "secret")


def a_pipe(run: Path) -> None:
    os.mkfifo(run / "x")


def a_socket(run: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(run)  # a socket's path is short
        try:
            made.bind("x")
        finally:
            os.chdir(here)


def a_device(run: Path) -> None:
    with suppress(PermissionError):
        os.mknod(run / "x", stat.S_IFCHR | 0o666, os.makedev(1, 5))


def names_that_are_tricks(run: Path) -> None:
    for name in (b"a\nb", b"a\x1b[2J", b"\xff\xfe", b"a\\b", b"C:x", b"con", b"x.", b"x ", b"\xe2\x80\xa8", b"a*"):
        Path(os.fsdecode(os.fsencode(run) + b"/" + name)).touch()
        inside = Path(os.fsdecode(os.fsencode(run) + b"/d" + name))
        inside.mkdir()
        if inside.name != "dcon":  # an honest name
            (inside / "a").touch()


def folders_too_deep(run: Path) -> None:
    deep = run.joinpath(*"d" * 40)
    deep.mkdir(parents=True)
    (deep / "a").touch()


@pytest.mark.parametrize(
    "write",
    [
        a_link_to_a_file, a_link_to_a_folder, a_link_within, a_link_to_nothing, a_link_to_itself,
        a_link_to_the_folder_above, another_name_of_a_file, a_pipe, a_socket, a_device, names_that_are_tricks,
        folders_too_deep,
    ],
    ids=lambda write: str(write.__name__),
)  # fmt: skip
def test_what_is_no_plain_file_with_a_plain_name_stays(folder: JobFolder, write: Callable[[Path], None]) -> None:
    write(folder.models / "run")
    assert sent(folder) == ["run/best.ckpt"]


@pytest.mark.parametrize("part", ["work", "work/models", "work/models/run"])
def test_nothing_behind_a_link_goes_home(folder: JobFolder, part: str, tmp_path: Path) -> None:
    place = folder.path / part
    place.rename(tmp_path / "elsewhere")
    assert sent(folder) == []
    place.symlink_to(tmp_path / "elsewhere")
    assert sent(folder) == []


def test_what_lies_beside_the_runs_stays(folder: JobFolder) -> None:
    (folder.models / "secret").touch()
    (folder.models / "other").mkdir()
    (folder.models / "other" / "best.ckpt").touch()
    assert sent(folder) == ["run/best.ckpt"]


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["a", "A"], ["A"]),
        (["\u00e9", "e\u0301"], ["e\u0301"]),
        (["d/a", "D"], ["D"]),
        (["d/a", "D/a", "D/b"], ["D/a", "D/b"]),
    ],
)
def test_of_names_that_are_one_elsewhere_one_goes_home(folder: JobFolder, names: list[str], kept: list[str]) -> None:
    for name in names:
        path = folder.models / "run" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert sent(folder) == sorted(["run/best.ckpt", *(f"run/{name}" for name in kept)])
    check_tree(sent(folder))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits, small enough for a test."""
    monkeypatch.setattr(folder_module, "MAX_ENTRIES", 10)
    monkeypatch.setattr(folder_module, "_MOST_LOOKED_AT", 50)


@pytest.mark.usefixtures("few")
def test_a_job_with_more_files_than_can_be_sent_says_so(folder: JobFolder) -> None:
    for number in range(9):
        (folder.models / "run" / f"{number}").touch()
    assert len(sent(folder)) == 10
    (folder.models / "run" / "9").touch()
    with pytest.raises(StorageError, match="more than 10 files"):
        folder.results()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", ["pipes", "names", "folders"])
def test_what_stays_is_not_looked_at_without_end(folder: JobFolder, kind: str) -> None:
    for number in range(60):
        path = folder.models / "run" / (f"{number}." if kind == "names" else str(number))
        {"pipes": os.mkfifo, "names": Path.touch, "folders": Path.mkdir}[kind](path)  # type: ignore[operator]
    with pytest.raises(StorageError, match="more than"):
        folder.results()


async def test_what_a_job_left_can_always_be_offered(folder: JobFolder) -> None:
    for write in (a_link_to_a_file, names_that_are_tricks):
        write(folder.models / "run")
    for name in ("a", "A", "\u00e9", "e\u0301"):
        (folder.models / "run" / name).touch()
    source = FilesSource({file.path: file.source for file in folder.results()})
    offering = await make_offering(source)
    source.close()
    assert [file.path for file in offering.manifest] == sent(folder)
