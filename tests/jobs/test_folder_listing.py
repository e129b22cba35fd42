"""Looking into folders of a mount: what is told, how much, how long, and what no text leads to."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sleap_rtc.config.schema import Mount
from sleap_rtc.errors import ConfigError, NotFoundError
from sleap_rtc.jobs.folder_listing import Look
from sleap_rtc.jobs.mounts import Mounts, check_mounts
from sleap_rtc.protocol.mounts import MAX_ENTRIES, EntryKind, FolderListing

SECRET = "secret.mp4"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mount, and beside it what is nobody's business, with every way from the one to the other."""
    outside = tmp_path_factory.mktemp("outside")
    folder = outside / "lab"
    (folder / "day 1" / "raw").mkdir(parents=True)
    (folder / "day 1" / "a.mp4").write_bytes(b"video")
    os.utime(folder / "day 1" / "a.mp4", (1_700_000_000, 1_700_000_000.5))
    (outside / SECRET).write_bytes(b"secret")
    (outside / "private").mkdir()
    (outside / "private" / SECRET).write_bytes(b"secret")
    (folder / "link.mp4").symlink_to(outside / SECRET)
    (folder / "out").symlink_to(outside)
    (folder / "day 1" / "up").symlink_to("../..")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture(scope="module")
def mounts(lab: Path) -> Mounts:
    return check_mounts([Mount("lab", lab), Mount("other", lab / "day 1", rw=True)])


def look(mounts: Mounts, place: str, clock: Callable[[], float] = lambda: 0.0) -> FolderListing:
    found = Look(mounts, place, clock=clock)
    found.run()
    return found.listing


def names(listing: FolderListing) -> list[str]:
    return [entry.name for entry in listing.entries]


def test_files_and_folders_are_told_and_nothing_else(mounts: Mounts) -> None:
    assert names(look(mounts, "lab:/")) == ["day 1"]
    day = look(mounts, "lab:/day 1")
    assert [(each.name, each.kind, each.size) for each in day.entries] == [
        ("a.mp4", EntryKind.FILE, 5),
        ("raw", EntryKind.FOLDER, 0),
    ]
    assert day.entries[0].modified == 1_700_000_000_500
    assert not day.more
    assert look(mounts, "lab:/day 1/raw") == FolderListing()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("lab:/..", "no path below a mount"),
        ("lab:/day 1/../..", "no path below a mount"),
        ("lab:/day 1\x00", "no path below a mount"),
        ("lab:/out", "is a link"),
        ("lab:/out/private", "is a link"),
        ("lab:/day 1/up", "is a link"),
        ("lab:/day 1/a.mp4", "is no folder"),
        ("lab:/pipe", "is no folder"),
        ("lab:/nothing", "does not exist"),
        ("lab:day 1", "no place below a mount"),
        ("/etc", "no place below a mount"),
        ("", "no place below a mount"),
        ("home:/", "has no mount 'home': it has lab, other"),
    ],
)
def test_a_place_that_is_none_is_a_sentence(mounts: Mounts, place: str, words: str) -> None:
    with pytest.raises((ConfigError, NotFoundError), match=words) as refused:
        look(mounts, place)
    assert refused.value.sentence.isprintable()


def test_where_a_mount_is_cannot_be_found_out(mounts: Mounts, lab: Path) -> None:
    """Its own path is refused in the very words that refuse any other one."""

    def refusal(path: Path) -> str:
        with pytest.raises(ConfigError) as refused:
            look(mounts, str(path))
        return refused.value.sentence.replace(str(path), "")

    assert refusal(lab) == refusal(lab / "day 1") == refusal(Path("/nowhere"))
    assert mounts.labels == [("lab", False), ("other", True)]


PARTS = st.one_of(
    st.sampled_from(["..", ".", "", "day 1", "raw", "out", "up", "private", "link.mp4", "~", "lab:", "\\..", "..\\"]),
    st.text(max_size=5),
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["lab:/", "other:/", "lab:", "", "/", "LAB:/", "lab:/./"]), st.lists(PARTS, max_size=6))
@example("lab:/", ["out", "private"])
@example("other:/", ["up", "private"])
def test_no_text_leads_out_of_a_mount(mounts: Mounts, label: str, parts: list[str]) -> None:
    try:
        listing = look(mounts, label + "/".join(parts))
    except (ConfigError, NotFoundError):
        return
    assert set(names(listing)) <= {"day 1", "a.mp4", "raw"}


@pytest.fixture
def swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mount in which ``bait`` becomes a link to ``outside``, beside the mount, as soon as it was looked at."""
    folder = tmp_path / "lab"
    folder.mkdir()
    honest = os.stat

    def looked_at(path: Any, **how: Any) -> os.stat_result:
        found = honest(path, **how)
        if path == "bait":
            (folder / "bait").rename(tmp_path / "eaten")
            (folder / "bait").symlink_to("../outside")
        return found

    monkeypatch.setattr(os, "stat", looked_at)
    yield folder
    assert (folder / "bait").is_symlink()


def test_a_folder_that_becomes_a_link_while_it_is_opened_is_not_followed(swap: Path) -> None:
    (swap / "bait").mkdir()
    (swap.parent / "outside").mkdir()
    with pytest.raises(NotFoundError):
        look(Mounts({"lab": swap}), "lab:/bait")


def test_a_file_that_becomes_a_link_while_it_is_opened_is_not_followed(swap: Path) -> None:
    (swap / "bait").write_bytes(b"")
    (swap.parent / "outside").write_bytes(b"secret")
    assert not Mounts({"lab": swap}).holds(swap / "bait")


def test_a_thousand_entries_are_told_and_that_there_are_more(tmp_path: Path) -> None:
    for number in range(MAX_ENTRIES):
        (tmp_path / f"{number:04}").touch()
    mounts = Mounts({"lab": tmp_path})
    whole = look(mounts, "lab:/")
    assert (len(whole.entries), whole.more) == (MAX_ENTRIES, False)
    (tmp_path / "0000 first").touch()
    part = look(mounts, "lab:/")
    assert (len(part.entries), part.more, names(part)[:2]) == (MAX_ENTRIES, True, ["0000", "0000 first"])
    assert FolderListing.from_bytes(part.model_dump_json().encode()) == part


def test_what_was_found_in_time_is_told(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:04}").touch()
    ticks = count()
    part = look(Mounts({"lab": tmp_path}), "lab:/", clock=lambda: next(ticks) / 2)
    assert part.more
    assert 0 < len(part.entries) < 20


def test_a_name_that_is_no_text_is_told_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff\x1b[2J")).touch()
    listing = look(Mounts({"lab": tmp_path}), "lab:/")
    assert names(listing) == ["a\\udcff\x1b[2J"]
    assert FolderListing.from_bytes(listing.model_dump_json().encode()) == listing
