"""Paths and manifests that nobody has thought of: whatever is generated, it is refused, or it is what it says."""

import json
import os
import re
import shutil
import tempfile
import unicodedata
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sleap_rtc.errors import PackageError, ProtocolError
from sleap_rtc.protocol.codec import MAX_CONTAINERS
from sleap_rtc.protocol.files import (
    MAX_ENTRIES,
    MAX_FILE_SIZE,
    MAX_MANIFEST,
    MAX_PARTS,
    Manifest,
    check_path,
    check_tree,
    colliding,
    folded,
)

SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
HASH = "0" * 64
DEVICES = ("con", "PRN", "aux", "NUL", "com1", "Lpt9", "COM\u00b9", "conin$")
ODD = st.sampled_from([
    "..", ".", "", " ", "...", "a.", "a ", ". ", "~", "-rf", "C:", "c:x", "\\", "a\\..\\b", "a:stream", "\u2024\u2024",
    "\uff0f", "\u2215", "a\u2028b", "a\u0085b", "\x00", "a\nb", "\x1b]52;c;aGk=\x07", "\ud800", "x" * 255, "x" * 256,
    "\u00e9" * 127, "\u00e9" * 128, "\U0001f600" * 64, "\u202egpj.exe", *DEVICES, "con .txt", "nul.tar.gz", "aux .",
    "stra\u00dfe", "STRASSE", "\ufb01n", "fin", "\u212a", "k", "\u01c5", "\u0345\u03b1", "\u1fb3", "e\u0301", "\u00e9",
    "desktop.ini", ".git", "config", "labels.pkg.slp", "\u0130", "i\u0307", "*", "?", '"', "|", "<", "$(id)", "`id`",
])  # fmt: skip
NAMES = st.one_of(
    ODD,
    st.text(max_size=12),
    st.text(alphabet="aAbB.\u00df\u0130\u0131\u0301\u00e9\u00c9\u03c3\u03c2 ", min_size=1, max_size=4),
    st.builds(lambda name, times: name * times, st.text(min_size=1, max_size=2), st.integers(1, 300)),
)
PATHS = st.one_of(
    st.lists(NAMES, max_size=5).map("/".join),
    st.lists(NAMES, min_size=1, max_size=2).map(lambda names: "/" + "/".join(names)),
    st.builds(lambda name, depth: "/".join([name] * depth), NAMES, st.integers(MAX_PARTS - 1, MAX_PARTS + 1)),
    st.text(max_size=40),
)


def accepted(path: str) -> bool:
    try:
        return check_path(path) == path
    except PackageError as error:
        assert_harmless(error.sentence)
        return False


def assert_harmless(sentence: str) -> None:
    """No name in it begins a line of its own, or reaches a terminal."""
    assert len(sentence.splitlines()) == 1
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in sentence)


@SETTINGS
@given(PATHS)
@example("a/" * (MAX_PARTS - 1) + "b")
@example("con .txt")
@example("\u00e9" * 127)
def test_what_is_accepted_lands_strictly_inside_and_is_what_it_says(path: str) -> None:
    if not accepted(path):
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        place = root / path
        place.parent.mkdir(parents=True)
        place.write_bytes(b"x")
        found = [Path(at, name).relative_to(root).as_posix() for at, _, names in os.walk(root) for name in names]
        assert found == [path]
        assert os.listdir(folder) == ["root"]  # noqa: PTH208 - names alone
        assert root in place.resolve().parents


@SETTINGS
@given(PATHS)
@example("a/NUL .x")
@example("com1")
def test_what_is_accepted_is_a_plain_relative_path_on_windows_too(path: str) -> None:
    if not accepted(path):
        return
    there = PureWindowsPath(path)
    assert (there.drive, there.root) == ("", "")
    assert list(there.parts) == path.split("/")
    for name in there.parts:
        assert name == name.rstrip(". ")
        assert not re.search(r'[\x00-\x1f<>:"|?*\\]', name)
        assert name.partition(".")[0].rstrip(" ").upper() not in {device.upper() for device in DEVICES}


@SETTINGS
@given(PATHS)
def test_no_accepted_name_moves_the_cursor_or_hides_what_follows(path: str) -> None:
    if accepted(path):
        assert len(f"{path}!".splitlines()) == 1
        assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in path)


@SETTINGS
@given(st.text(max_size=30))
def test_however_a_name_is_spelled_it_has_one_folded_form(text: str) -> None:
    spellings = {text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text), folded(text)}
    assert len({folded(spelling) for spelling in spellings}) == 1


def collides(one: str, other: str) -> bool:
    """The rule, said in the plainest way."""
    first, second = folded(one).split("/"), folded(other).split("/")
    shortest = min(len(first), len(second))
    return first[:shortest] == second[:shortest]


ALLOWED = st.sampled_from(
    ["a", "A", "b", "a!b", "a-b", "e\u0301", "\u00e9", "\u00c9", "stra\u00dfe", "STRASSE", "\ufb01", "fi"]
)


@SETTINGS
@given(st.lists(st.lists(ALLOWED, min_size=1, max_size=3).map("/".join), min_size=2, max_size=8))
@example(["a/b", "a-b", "A"])
@example(["a", "a!b", "a/b"])
@example(["stra\u00dfe/x", "STRASSE"])
def test_a_tree_is_refused_exactly_when_two_of_its_files_are_one_somewhere(paths: list[str]) -> None:
    clash = any(collides(one, other) for at, one in enumerate(paths) for other in paths[:at])
    if clash:
        with pytest.raises(PackageError, match="collides"):
            check_tree(paths)
    else:
        check_tree(paths)
    rest = list(paths)
    for path in colliding(paths):
        rest.remove(path)
    assert rest
    check_tree(rest)


def test_a_manifest_cannot_make_a_receiver_create_more_folders_than_files() -> None:
    deep = "/".join("abcdefghij")
    check_tree(f"{n}/{deep}" for n in range(2000))
    with pytest.raises(PackageError, match=f"more than {MAX_ENTRIES} folders"):
        check_tree(f"{n}/{deep}" for n in range(2001))


# manifests


def entry(path: str = "a", size: object = 1, sha256: object = HASH, **more: object) -> dict[str, object]:
    return {"path": path, "size": size, "sha256": sha256} | more


VALUES = st.one_of(
    st.none(), st.booleans(), st.floats(), st.text(max_size=5), st.integers(-(2**70), 2**70), st.lists(st.none()),
    st.sampled_from([2**63, -(2**63), -1, 0, 16 * 1024, 16 * 1024 + 1, MAX_FILE_SIZE, MAX_FILE_SIZE + 1, "1", "x"]),
)  # fmt: skip
ENTRIES = st.builds(
    lambda path, changed, more: entry(path) | changed | more,
    PATHS,
    st.dictionaries(st.sampled_from(["path", "size", "sha256", "chunks"]), VALUES, max_size=2),
    st.dictionaries(st.text(max_size=3), VALUES, max_size=1),
)


@SETTINGS
@given(st.lists(ENTRIES, max_size=4), st.integers(0, 3))
def test_a_manifest_is_refused_or_exactly_what_its_bytes_say(entries: list[dict[str, Any]], repeats: int) -> None:
    entries += entries[:repeats]
    data = json.dumps({"files": entries, "later": True}).encode()
    try:
        manifest = Manifest.from_bytes(data)
    except (ProtocolError, PackageError) as error:
        assert_harmless(error.sentence)
        return
    assert [{key: said.get(key) for key in ("path", "size", "sha256", "chunks")} for said in entries] == [
        file.model_dump() for file in manifest
    ]
    assert all(type(said["size"]) is int and 0 <= said["size"] <= MAX_FILE_SIZE for said in entries)
    check_tree(file.path for file in manifest)


@SETTINGS
@given(st.data())
def test_no_mutilated_manifest_does_more_than_be_refused(data: st.DataObject) -> None:
    text = bytearray(json.dumps({"files": [entry("a/b"), entry("c", 20_000, chunks=HASH)]}).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        manifest = Manifest.from_bytes(bytes(text))
    except (ProtocolError, PackageError):
        return
    check_tree(file.path for file in manifest)


@pytest.mark.parametrize(
    "files",
    [
        [1] * (MAX_ENTRIES + 1),
        [None] * 2_000_000,
        [{}] * MAX_CONTAINERS,
        ["a"] * 1_000_000,
        [entry(f"f{n}") for n in range(MAX_ENTRIES + 1)],
    ],
    ids=["numbers", "nothing", "empty", "texts", "files"],
)
def test_what_holds_more_than_20000_entries_is_refused_before_any_of_them_is_looked_at(
    files: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []
    monkeypatch.setattr(Manifest, "model_validate", looked.append)
    data = json.dumps({"files": files}, separators=(",", ":")).encode()
    assert len(data) < MAX_MANIFEST
    with pytest.raises((PackageError, ProtocolError), match="more than"):
        Manifest.from_bytes(data)
    assert looked == []


def test_the_largest_allowed_path_can_be_made(tmp_path: Path) -> None:
    path = "/".join(["\u00e9" * 16] * (MAX_PARTS - 1))  # 1,022 bytes
    check_path(path)
    (tmp_path / path).mkdir(parents=True)
    shutil.rmtree(tmp_path / path.partition("/")[0])
