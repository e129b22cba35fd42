"""Paths and manifests from strangers."""

import hashlib
import json

import pytest

from sleap_rtc.errors import PackageError, ProtocolError
from sleap_rtc.protocol.files import MAX_ENTRIES, FileEntry, Manifest, check_path, check_tree

HASH = "0" * 64


@pytest.mark.parametrize("path", ["a.slp", "a/b/c.yaml", "with space.txt", "ünïcode/日本.slp", "-dash", "...x"])
def test_honest_paths_pass(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/passwd", "//x", "../x", "a/../../x", "a/..", ".", "./a", "a//b", "a/", "a\\b", "..\\x", "C:\\x",
        "C:x", "c:/x", "a\x00b", "a\nb", "a\x1b[31m", "a\x7f", "name.", "name ", "dir./x", "CON", "con.txt", "a/NUL",
        "LPT1",
        "com¹", "a:stream", "a*", 'a"b', "\ud800", "x" * 256, "/".join(["dddd"] * 300),
    ],
)  # fmt: skip
def test_every_trick_with_a_path_is_refused(path: str) -> None:
    with pytest.raises(PackageError):
        check_path(path)


@pytest.mark.parametrize(
    "paths",
    [
        ["a", "a"],
        ["a", "A"],
        ["é", "e\u0301"],
        ["ß", "ss"],
        ["a", "a/b"],
        ["a/b", "a"],
        ["a/b", "A"],
        ["a/b/c", "a/B"],
    ],
)
def test_names_that_are_one_name_somewhere_collide(paths: list[str]) -> None:
    with pytest.raises(PackageError, match="collides"):
        check_tree(paths)


def test_the_number_of_files_is_bounded() -> None:
    check_tree(f"f{n}" for n in range(MAX_ENTRIES))
    with pytest.raises(PackageError, match="more than"):
        check_tree(f"f{n}" for n in range(MAX_ENTRIES + 1))


def test_a_manifest_survives_the_way_and_its_digest_ignores_the_order() -> None:
    files = (FileEntry(path="b", size=2, sha256=HASH), FileEntry(path="a", size=1, sha256=HASH))
    manifest = Manifest(files=files)
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    assert Manifest(files=files[::-1]).digest == manifest.digest
    assert Manifest(files=files[:1]).digest != manifest.digest
    assert manifest.total_size == 3


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "a", "size": -1, "sha256": HASH},
        {"path": "a", "size": 2**63, "sha256": HASH},
        {"path": "a", "size": 1.5, "sha256": HASH},
        {"path": "a", "size": 1, "sha256": "x"},
        {"path": "a", "size": 1},
        {"path": "a", "size": 1, "sha256": None, "chunks": None},
        {"path": "a", "size": 1, "chunks": "x"},
        {"path": "a", "size": 16385, "sha256": HASH},
        {"path": "../a", "size": 1, "sha256": HASH},
        "a",
    ],
)
def test_a_manifest_that_lies_is_refused(entry: object) -> None:
    with pytest.raises((ProtocolError, PackageError)):
        Manifest.from_bytes(json.dumps({"files": [entry]}).encode())


def test_a_file_whose_sender_leaves_its_hash_out_is_named_by_its_chunk_list() -> None:
    """The digest covers what the sender says: other chunks, or a hash, are another manifest."""
    bare, hashed = FileEntry(path="b", size=20_000, chunks=HASH), FileEntry(path="a", size=1, sha256="1" * 64)
    manifest = Manifest(files=(bare, hashed))
    assert b"sha256" not in Manifest(files=(bare,)).to_bytes()
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    lines = f"{'1' * 64} 1 a\nchunks:{HASH} 20000 b\n"
    assert manifest.digest == Manifest(files=(hashed, bare)).digest == hashlib.sha256(lines.encode()).hexdigest()
    recut, said = bare.model_copy(update={"chunks": "2" * 64}), bare.model_copy(update={"sha256": HASH})
    assert len({Manifest(files=(each,)).digest for each in (bare, recut, said)}) == 3


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b'{"files": 3}', b"[" * 1000])
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Manifest.from_bytes(data)
