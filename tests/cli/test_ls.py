"""``sleap-rtc ls``: what a client sees of a worker's folders."""

import json
import os
from pathlib import Path

import pytest

from sleap_rtc.cli.ls import _show_folder, _show_mounts, _written_out
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.protocol.mounts import EntryKind, FolderEntry, FolderListing, MountInfo
from tests.cli.room_lab import room_lab
from tests.cli.shell import Shell

FILE, FOLDER = EntryKind.FILE, EntryKind.FOLDER


def test_mounts_are_shown_as_they_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    _show_mounts("gpu", [MountInfo(label="lab"), MountInfo(label="scratch", rw=True)])
    assert capsys.readouterr().out.splitlines() == [
        "mount      jobs may", "lab:/      read", "scratch:/  read and write",
    ]  # fmt: skip
    _show_mounts("gpu", [])
    assert "gpu has no mounts" in capsys.readouterr().err


def test_a_folder_is_a_table_in_which_no_name_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["a.mp4", "b\x1b]52;c;cm0=\x07\r\nc", "gp4\u202e4pm.exe", "名前 \x9b2J"]
    entries = [FolderEntry(name=name, kind=FILE, size=12_345, modified=2**53 - 1) for name in names]
    _show_folder(FolderListing(entries=(*entries, FolderEntry(name="raw", kind=FOLDER)), more=True))
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 6
    assert all(line.isprintable() for line in lines)
    assert [line.split("  ")[-1].strip() for line in lines[1:5]] == [
        "a.mp4", r"b\x1b]52;c;cm0=\x07\r\nc", r"gp4\u202e4pm.exe", r"名前 \x9b2J",
    ]  # fmt: skip
    assert "12.3 kB" in lines[1]
    assert "the first 5 by name" in err


def test_an_empty_folder_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    _show_folder(FolderListing())
    assert capsys.readouterr() == ("", "There is nothing in this folder.\n")


def test_a_label_alone_is_the_mount_itself() -> None:
    assert [_written_out(text) for text in ("lab", "lab:", "lab:/", "lab:/a b", "/etc", "lab:a")] == [
        "lab:/", "lab:/", "lab:/", "lab:/a b", "/etc", "lab:a",
    ]  # fmt: skip


def test_a_session_string_needs_no_room(shell: Shell) -> None:
    typed = shell.now("ls", "sleap-session:abc", "--room", "lab")
    assert (typed.code, "leave --room out" in typed.err) == (2, True)


def test_a_worker_by_its_name_needs_a_room(shell: Shell) -> None:
    typed = shell.now("ls", "gpu")
    assert (typed.code, "Name it with --room" in typed.err) == (2, True)


async def test_a_members_look_into_a_workers_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "day 1"
    folder.mkdir(parents=True)
    (folder / "a.mp4").write_bytes(b"video")
    (folder / "key").symlink_to(tmp_path)
    os.utime(folder / "a.mp4", (1_700_000_000, 1_700_000_000))
    async with room_lab(tmp_path) as lab, lab.worker("gpu", mounts=Mounts({"lab": folder.parent})):
        listed = await lab.run("ls", "gpu", "lab:/day 1", "--room", "lab", "--json")
        refused = await lab.run("ls", "gpu", "lab:/day 1/key", "--room", "lab")
    assert listed.code == 0, listed.err
    entry = {"name": "a.mp4", "kind": "file", "size": 5, "modified": 1_700_000_000_000}
    assert json.loads(listed.out) == {"entries": [entry], "more": False}
    assert (refused.code, "is a link" in refused.err, str(folder) in refused.err) == (2, True, False)
