import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sleap_rtc.errors import PackageError, StorageError
from sleap_rtc.jobs.archive import unpack_zip


def packed(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def member(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[[bytes], Path]:
    def run(data: bytes) -> Path:
        source = tmp_path / "package.zip"
        source.write_bytes(data)
        unpack_zip(source, tmp_path / "target")
        return tmp_path / "target"

    return run


@pytest.fixture
def refuse(tmp_path: Path, unpack: Callable[[bytes], Path]) -> Callable[[bytes, str], None]:
    """Nothing must be left of an archive that is refused."""

    def run(data: bytes, why: str | None = None) -> None:
        with pytest.raises(PackageError, match=why):
            unpack(data)
        assert [path.name for path in tmp_path.iterdir()] == ["package.zip"]

    return run


Refuse = Callable[..., None]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_plain_archive_is_unpacked_whole(unpack: Callable[[bytes], Path], method: int) -> None:
    data = os.urandom(700_000)
    target = unpack(packed(("labels.pkg.slp", data), ("a/b/c.yaml", b"x: 1"), ("empty", b""), method=method))
    assert (target / "labels.pkg.slp").read_bytes() == data
    assert (target / "a/b/c.yaml").read_bytes() == b"x: 1"
    assert (target / "empty").read_bytes() == b""


def test_a_streamed_archive_with_data_descriptors_is_unpacked(unpack: Callable[[bytes], Path]) -> None:
    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    buffer = Unseekable()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.yaml", b"a: 1")
        archive.writestr("b.yaml", b"b: 1")
    assert (unpack(buffer.getvalue()) / "b.yaml").read_bytes() == b"b: 1"


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "a/../../x", "a\\b", "C:x", "a\nb", "a.", "a ", "con", "aux.yaml", "a//b", "./a", "a:b"],
)
def test_names_that_are_tricks_are_refused(refuse: Refuse, name: str) -> None:
    refuse(packed((name, b"x")))


@pytest.mark.parametrize("names", [("a", "A"), ("\u00e9", "e\u0301"), ("a", "a/b"), ("stra\u00dfe", "STRASSE")])
def test_names_that_collide_are_refused(refuse: Refuse, names: tuple[str, str]) -> None:
    refuse(packed(*((name, b"x") for name in names)), "collides")


def test_a_file_named_as_a_folder_is_refused(refuse: Refuse) -> None:
    refuse(packed((member("A/", stat.S_IFDIR | 0o755), b""), ("a", b"x")), "same name")


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFREG | stat.S_ISUID | 0o755])
def test_links_pipes_and_special_modes_are_refused(refuse: Refuse, mode: int) -> None:
    refuse(packed((member("a", mode), b"/etc/passwd")), "plain files")


def test_other_compressions_are_refused(refuse: Refuse) -> None:
    refuse(packed(("a", b"x" * 100), method=zipfile.ZIP_BZIP2), "stored and deflated")


def test_encrypted_members_are_refused(refuse: Refuse) -> None:
    data = bytearray(packed(("a", b"x")))
    data[6] |= 1
    data[data.rfind(b"PK\1\2") + 8] |= 1
    refuse(bytes(data), "encrypted")


def test_a_bomb_is_refused(refuse: Refuse) -> None:
    refuse(packed(("a", bytes(10_000_000))), "200 times")


def test_too_many_entries_are_refused(refuse: Refuse) -> None:
    refuse(packed(*((f"f{i}", b"") for i in range(20_001))), "more than 20000")


def test_overlapping_members_are_refused(refuse: Refuse) -> None:
    data = bytearray(packed(("a", os.urandom(100)), ("b", os.urandom(100)), method=zipfile.ZIP_STORED))
    central = data.rfind(b"PK\1\2")
    # the second member's bytes are said to begin within the first one
    data[central + 42 : central + 46] = struct.pack("<I", 0)
    refuse(bytes(data))


def test_members_that_reach_into_the_directory_are_refused(refuse: Refuse) -> None:
    data = bytearray(packed(("a", os.urandom(100)), method=zipfile.ZIP_STORED))
    for at in (18, 22):
        data[at : at + 4] = struct.pack("<I", 120)
    central = data.rfind(b"PK\1\2")
    for at in (20, 24):
        data[central + at : central + at + 4] = struct.pack("<I", 120)
    refuse(bytes(data), "overlaps")


def test_a_member_larger_than_it_says_is_refused(refuse: Refuse) -> None:
    data = bytearray(packed(("a", os.urandom(1000))))
    central = data.rfind(b"PK\1\2")
    for at in (22, central + 24):
        data[at : at + 4] = struct.pack("<I", 999)
    refuse(bytes(data), "larger than it says")


def test_a_wrong_checksum_is_refused(refuse: Refuse) -> None:
    data = bytearray(packed(("a", b"hello world"), method=zipfile.ZIP_STORED))
    data[data.find(b"hello")] ^= 1
    refuse(bytes(data), "checksum")


def test_two_names_for_one_member_are_refused(refuse: Refuse) -> None:
    data = packed(("aaaa", b"x")).replace(b"aaaa", b"bbbb", 1)
    refuse(data, "two names")


def test_headers_that_disagree_are_refused(refuse: Refuse) -> None:
    data = bytearray(packed(("a", b"hello world")))
    data[14] ^= 1  # the local header's checksum
    refuse(bytes(data), "disagree")


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"not a zip at all" * 10, packed(("a", b"x"))[:-30]],
    ids=["empty", "short", "text", "cut"],
)
def test_what_is_no_zip_is_refused(refuse: Refuse, data: bytes) -> None:
    refuse(data, "damaged or no zip")


def test_an_existing_target_is_left_alone(tmp_path: Path, unpack: Callable[[bytes], Path]) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine").touch()
    with pytest.raises(StorageError, match="not empty"):
        unpack(packed(("a", b"x")))
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["mine"]


def with_zip64_end(data: bytes, entries: int) -> bytes:
    """The archive with a zip64 record of so many entries, which the plain end record says nothing of."""
    at = data.rfind(b"PK\5\6")
    length, offset = struct.unpack_from("<II", data, at + 12)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, length, offset)
    return data[:at] + record + struct.pack("<4sIQI", b"PK\6\7", 0, at, 1) + data[at:]


def test_entries_that_only_the_zip64_record_tells_are_counted(refuse: Refuse) -> None:
    refuse(with_zip64_end(packed(("a", b"x")), 20_001), "more than 20000")


def test_a_zip64_archive_is_unpacked(unpack: Callable[[bytes], Path]) -> None:
    assert (unpack(with_zip64_end(packed(("a", b"x")), 1)) / "a").read_bytes() == b"x"


def test_an_empty_archive_is_refused(refuse: Refuse) -> None:
    refuse(packed(), "is empty")


@pytest.mark.parametrize("shift", [-40, -1, 1, 40, 2**31])
def test_a_directory_that_is_elsewhere_is_refused(refuse: Refuse, shift: int) -> None:
    data = bytearray(packed(("a", b"x" * 50), ("b", b"y" * 50), method=zipfile.ZIP_STORED))
    at = data.rfind(b"PK\5\6")
    (offset,) = struct.unpack_from("<I", data, at + 16)
    struct.pack_into("<I", data, at + 16, offset + shift)
    refuse(bytes(data), None)


def test_a_full_disk_is_told(tmp_path: Path, unpack: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sleap_rtc.jobs.archive.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        unpack(packed(("a", b"x")))
    assert [path.name for path in tmp_path.iterdir()] == ["package.zip"]


def test_what_a_desktop_leaves_in_a_zip_is_passed_over(unpack: Callable[[bytes], Path]) -> None:
    target = unpack(packed(("a", b"x"), ("__MACOSX/._a", b"y"), (".DS_Store", b"z"), ("sub/.hidden", b"z")))
    assert [path.name for path in target.iterdir()] == ["a"]
