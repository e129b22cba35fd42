"""The bytes around the files of a zip that compresses nothing: APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3.

All follows from names, sizes and checksums, so the same files always make the same zip: times are those of 1 January
1980, permissions 0644, names UTF-8. Fields that cannot hold a size or an offset give way to ZIP64's.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

LARGE = 0xFFFFFFFF
"""The least size or offset that does not fit into a field of 32 bits, where this number says to look elsewhere."""
MANY = 0xFFFF
"""The least number of files that does not fit into its field, likewise."""
_ELSEWHERE = 0xFFFFFFFF
_MANY_ELSEWHERE = 0xFFFF
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")
_EXTRA = struct.Struct("<2H")
_ZIP64 = 1
_UTF8 = 0x800
_DATE = 0x21
_UNIX = 3 << 8
_MODE = 0o100644 << 16
_PLAIN_VERSION, _ZIP64_VERSION = 20, 45


class Member(NamedTuple):
    """A file in a zip.

    Attributes:
        path: what it is called.
        size: its bytes.
        crc: their CRC-32.
        offset: where its local header begins.
    """

    path: str
    size: int
    crc: int
    offset: int


def local_size(path: str, size: int) -> int:
    """Bytes of the header before a file's own."""
    return _LOCAL.size + len(path.encode()) + len(_extra((size, size) if size >= LARGE else ()))


def local_header(member: Member) -> bytes:
    """What stands before a file's own bytes."""
    large = member.size >= LARGE
    extra = _extra((member.size, member.size) if large else ())
    name, size = member.path.encode(), _field(member.size)
    version = _ZIP64_VERSION if large else _PLAIN_VERSION
    fields = version, _UTF8, 0, 0, _DATE, member.crc, size, size, len(name), len(extra)
    return _LOCAL.pack(b"PK\3\4", *fields) + name + extra


def central_size(member: Member) -> int:
    """Bytes of a file's entry in the directory."""
    return _CENTRAL.size + len(member.path.encode()) + len(_central_extra(member))


def central_header(member: Member) -> bytes:
    """A file's entry in the directory, which stands behind all files."""
    extra, name, size = _central_extra(member), member.path.encode(), _field(member.size)
    version = _ZIP64_VERSION if extra else _PLAIN_VERSION
    fields = _UNIX | version, version, _UTF8, 0, 0, _DATE, member.crc, size, size, len(name), len(extra), 0, 0, 0
    return _CENTRAL.pack(b"PK\1\2", *fields, _MODE, _field(member.offset)) + name + extra


def end_of(members: Sequence[Member], start: int, size: int) -> bytes:
    """What ends a zip.

    Args:
        members: all its files.
        start: where the directory begins.
        size: the directory's bytes.
    """
    count = len(members)
    told = count if count < MANY else _MANY_ELSEWHERE
    end = _END.pack(b"PK\5\6", 0, 0, told, told, _field(size), _field(start), 0)
    if count < MANY and size < LARGE and start < LARGE:
        return end
    version = _ZIP64_VERSION
    record = _END64.pack(b"PK\6\6", _END64.size - 12, _UNIX | version, version, 0, 0, count, count, size, start)
    return record + _LOCATOR.pack(b"PK\6\7", 0, start + size, 1) + end


def _central_extra(member: Member) -> bytes:
    sizes = (member.size, member.size) if member.size >= LARGE else ()
    return _extra((*sizes, member.offset) if member.offset >= LARGE else sizes)


def _field(value: int) -> int:
    return value if value < LARGE else _ELSEWHERE


def _extra(values: Sequence[int]) -> bytes:
    return _EXTRA.pack(_ZIP64, 8 * len(values)) + struct.pack(f"<{len(values)}Q", *values) if values else b""
