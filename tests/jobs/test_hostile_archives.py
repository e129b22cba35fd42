"""Zip files made by hand, header by header: refused with nothing left behind, or exactly what `zipfile` reads."""

import io
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from sleap_rtc.errors import PackageError, StorageError
from sleap_rtc.jobs import archive
from sleap_rtc.jobs.archive import MAX_RATIO, unpack_zip
from sleap_rtc.protocol.files import is_clutter

SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
LOCAL, CENTRAL, END = struct.Struct("<4sHHHHHIIIHH"), struct.Struct("<4sHHHHHHIIIHHHHHII"), struct.Struct("<4sHHHHIIH")
Header = dict[str, int | bytes]


@dataclass
class Member:
    """One member, honest but for what `local`, `central` and `more` change."""

    name: bytes
    data: bytes
    deflated: bool = True
    descriptor: bool = False
    mode: int = 0o100644
    local: Header = field(default_factory=dict)
    central: Header = field(default_factory=dict)
    junk: bytes = b""

    def headers(self) -> tuple[Header, Header, bytes]:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = packer.compress(self.data) + packer.flush() if self.deflated else self.data
        honest: Header = {
            "name": self.name, "flags": 0x800 | 8 * self.descriptor, "method": 8 * self.deflated, "extra": b"",
            "crc": zlib.crc32(self.data), "packed": len(body), "size": len(self.data),
        }  # fmt: skip
        local = honest | ({"crc": 0, "packed": 0, "size": 0} if self.descriptor else {}) | self.local
        return local, honest | {"mode": self.mode, "comment": b""} | self.central, body


def built(members: list[Member], ending: Header | None = None, before: bytes = b"") -> bytes:
    """The bytes of a zip file; `ending` changes its last record."""
    out, directory = bytearray(before), bytearray()
    for member in members:
        local, central, body = member.headers()
        at = len(out)
        name, extra = bytes(local["name"]), bytes(local["extra"])
        out += LOCAL.pack(
            b"PK\3\4", 20, local["flags"], local["method"], 0, 0, local["crc"], local["packed"], local["size"],
            len(name), len(extra),
        ) + name + extra + body  # fmt: skip
        if member.descriptor:
            out += struct.pack("<4sIII", b"PK\7\x08", zlib.crc32(member.data), len(body), len(member.data))
        out += member.junk
        directory += _central(central, at)
    end: Header = {"disk": 0, "count": len(members), "length": len(directory), "offset": len(out), "comment": b""}
    end |= ending or {}
    comment = bytes(end["comment"])
    return bytes(out + directory) + END.pack(
        b"PK\5\6", end["disk"], 0, end["count"], end["count"], end["length"], end["offset"], len(comment)
    ) + comment  # fmt: skip


def _central(central: Header, at: int) -> bytes:
    name, extra, comment = (bytes(central[key]) for key in ("name", "extra", "comment"))
    return CENTRAL.pack(
        b"PK\1\2", 0x0314, 20, central["flags"], central["method"], 0, 0, central["crc"], central["packed"],
        central["size"], len(name), len(extra), len(comment), 0, 0, int(central["mode"]) << 16 & 0xFFFFFFFF,
        central.get("at", at),
    ) + name + extra + comment  # fmt: skip


def zip64(*values: int) -> bytes:
    return struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values)


UNICODE_PATH = struct.pack("<HHBI", 0x7075, 5 + 8, 1, zlib.crc32(b"a")) + b"../../up"
NAMES = st.one_of(
    st.sampled_from([
        b"a", b"A", b"a/b", b"a/", b"b.yaml", b"../x", b"/etc/passwd", b"a\\b", b"a\0b", b"", b"/", b"con", b"x/../y",
        b"\xff\xfe", "\u00e9".encode(), "e\u0301".encode(), b"__MACOSX/a", b".hidden", b"d/.x", b"C:x", b"n" * 300,
        b"/".join([b"d"] * 40),
    ]),
    st.binary(max_size=6),
    st.text(max_size=6).map(lambda text: text.encode("utf-8", "surrogatepass")),
)  # fmt: skip
SIZES = st.one_of(st.integers(0, 200), st.sampled_from([2**16, 2**31, 2**32 - 2, 2**32 - 1]))
FIELDS: dict[str, st.SearchStrategy[int | bytes]] = {
    "name": NAMES,
    "flags": st.sampled_from([0, 1, 8, 0x20, 0x40, 0x800, 0x808, 0x2000, 0xFFFF]),
    "method": st.sampled_from([0, 8, 9, 12, 14, 99]),
    "crc": st.integers(0, 2**32 - 1),
    "packed": SIZES,
    "size": SIZES,
    "extra": st.one_of(
        st.binary(max_size=12),
        st.sampled_from([zip64(5), zip64(1, 1), zip64(2**63, 2**63, 2**63), zip64(5, 5, 0, 0), UNICODE_PATH]),
    ),
}
CENTRAL_FIELDS = FIELDS | {"mode": st.integers(0, 0xFFFF), "at": SIZES, "comment": st.binary(max_size=5)}


def changes(fields: dict[str, st.SearchStrategy[int | bytes]], most: int) -> st.SearchStrategy[Header]:
    return st.lists(
        st.sampled_from(sorted(fields)).flatmap(lambda name: st.tuples(st.just(name), fields[name])), max_size=most
    ).map(dict)


CONTENTS = st.one_of(st.binary(max_size=40), st.sampled_from([bytes(5000), b"PK\3\4" * 20, b"PK\1\2PK\5\6"]))


@st.composite
def archives(draw: st.DrawFn) -> list[Member]:
    """Honest members, of which some tell a lie or two: what has too many is refused for the first of them."""
    made = [
        Member(b"d%d/f%d" % (at % 2, at), draw(CONTENTS), draw(st.booleans()), draw(st.booleans()))
        for at in range(draw(st.integers(0, 4)))
    ]
    for member in made:
        match draw(st.sampled_from(["honest", "honest", "honest", "name", "local", "central", "both", "junk"])):
            case "name":
                member.name = draw(NAMES)
            case "local":
                member.local = draw(changes(FIELDS, 2))
            case "central":
                member.central = draw(changes(CENTRAL_FIELDS, 2))
            case "both":
                member.local = member.central = draw(changes(FIELDS, 1))
            case "junk":
                member.junk = b"zz"
    return made


ENDINGS = changes(
    {
        "disk": st.sampled_from([0, 1, 0xFFFF]),
        "count": st.integers(0, 0xFFFF),
        "length": SIZES,
        "offset": SIZES,
        "comment": st.sampled_from([b"hello", b"PK\5\6", b"PK\5\6" + bytes(18), b"PK\6\7" + bytes(16)]),
    },
    1,
)


def check_unpacked(data: bytes) -> bool:
    """Unpack `data`, and see that nothing but its members came of it; whether it was taken."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "deep", "in")
        folder.mkdir(parents=True)
        source = folder / "package.zip"
        source.write_bytes(data)
        try:
            unpack_zip(source, folder / "target")
        except (PackageError, StorageError):
            assert [path.name for path in Path(place).rglob("*")] == ["deep", "in", "package.zip"]
            return False
        found = {path.relative_to(folder / "target").as_posix(): path for path in (folder / "target").rglob("*")}
        assert not any(path.is_symlink() for path in found.values())
        with zipfile.ZipFile(io.BytesIO(data)) as said:
            wanted = {info.filename for info in said.infolist() if not info.is_dir() and not is_clutter(info.filename)}
            assert {name for name, path in found.items() if path.is_file()} == wanted
            for name in wanted:
                assert found[name].read_bytes() == said.read(name)
        assert sum(path.stat().st_size for path in found.values() if path.is_file()) <= MAX_RATIO * len(data)
        assert {path.name for path in folder.iterdir()} == {"package.zip", "target"}
        return True


@SETTINGS
@given(archives(), st.one_of(st.just({}), ENDINGS), st.sampled_from([b"", b"#!/bin/sh\n", b"PK\3\4" * 10]))
@example([Member(b"a", b"x", central={"extra": UNICODE_PATH})], {}, b"")
@example([Member(b"a", bytes(50), deflated=False, central={"at": 0}), Member(b"b", bytes(50), deflated=False)], {}, b"")
@example([Member(b"a", b"hello", descriptor=True)], {}, b"")
@example([Member(b"a", b"x", central={"size": 2**32 - 1, "extra": zip64(2**63)})], {}, b"")
def test_whatever_the_headers_say_an_archive_is_refused_or_is_what_zipfile_reads(
    made: list[Member], ending: Header, before: bytes
) -> None:
    event("taken" if check_unpacked(built(made, ending, before)) else "refused")


@SETTINGS
@given(st.data())
def test_no_mutilated_archive_does_more_than_be_refused(data: st.DataObject) -> None:
    honest = [
        Member(b"a.yaml", b"a: 1"),
        Member(b"d/b", bytes(300), deflated=False),
        Member(b"c", b"c", descriptor=True),
    ]
    text = bytearray(built(honest))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    event("taken" if check_unpacked(bytes(text)) else "refused")


def test_the_builder_makes_archives_that_are_taken() -> None:
    honest = [
        Member(b"a.yaml", b"a: 1"),
        Member(b"d/b", bytes(300), deflated=False),
        Member("d/\u00e9".encode(), b"c", descriptor=True),
        Member(b"d/", b"", deflated=False, mode=0o040755),
    ]
    assert check_unpacked(built(honest, {"comment": b"hello"}, b"#!/bin/sh\n"))


def quine_overlap(count: int) -> bytes:
    """Many members that share one body: a small file that would unpack to a disk full."""
    body = Member(b"f0", bytes(200_000))
    _, central, _ = body.headers()
    data = bytearray(built([body]))
    directory = b"".join(_central(central | {"name": b"f%d" % n}, 0) for n in range(count))
    start = data.find(b"PK\1\2")
    return bytes(data[:start]) + directory + END.pack(b"PK\5\6", 0, 0, count, count, len(directory), start, 0)


@pytest.mark.parametrize(
    "data",
    [
        quine_overlap(1000),
        built([Member(b"a", b"x")], {"count": 0xFFFF}),
        built([Member(b"a", b"x")], {"length": 2**31, "offset": 0}),
        built([Member(b"a", b"x", central={"packed": 2**31, "size": 2**31})]),
        built([Member(b"a", bytes(10**6), central={"packed": 10**4, "size": 10**6})]),
        built([Member(b"n%d" % n, b"", deflated=False, local={"extra": bytes(60_000)}) for n in range(50)]),
    ],
    ids=["shared body", "many said", "large directory", "beyond the end", "bomb", "padding"],
)
def test_what_an_archive_claims_is_never_written_or_read_first(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    real: Callable[..., object] = archive._inflated

    def counted(source: object, info: zipfile.ZipInfo, offset: int) -> object:
        for block in real(source, info, offset):  # type: ignore[attr-defined]
            written.append(len(block))
            yield block

    monkeypatch.setattr(archive, "_inflated", counted)
    assert not check_unpacked(data) or sum(written) <= MAX_RATIO * len(data)
    assert sum(written) <= len(data)


def test_no_archive_fills_what_a_disk_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    source = tmp_path / "package.zip"
    source.write_bytes(built([Member(b"a", os.urandom(1000), deflated=False)]))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(30_000, 28_001, 1999))
    with pytest.raises(StorageError, match="more than this disk has left"):
        unpack_zip(source, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["package.zip"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(30_000, 28_000, 2000))
    unpack_zip(source, tmp_path / "target")
