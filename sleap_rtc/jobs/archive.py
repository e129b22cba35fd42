"""Zip files from strangers, unpacked under rules that leave no trick open.

The members are inflated here and counted while they grow: `zipfile` reads the directory for us, but it stops silently
at a member's declared size, and before Python 3.11.8 it does not notice members that overlap.
"""

import os
import secrets
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sleap_rtc.errors import PackageError, StorageError
from sleap_rtc.protocol.files import MAX_ENTRIES, check_path, check_tree, folded, is_clutter
from sleap_rtc.protocol.text import one_line

from .files import storage_error

MAX_RATIO = 200
"""How many times larger a member may be than its compressed bytes."""
RESERVED_SHARE = 30
"""The share of the disk, one part in so many, that no archive may fill."""
MAX_DIRECTORY = 32 * 1024 * 1024
"""Largest central directory read, in bytes."""

_END = struct.Struct("<4sHHHHIIH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_REFUSED_FLAGS = 0x1 | 0x20 | 0x40 | 0x2000  # encrypted, patched, strongly encrypted, masked headers
_DESCRIPTOR = 0x8
_BLOCK = 256 * 1024


def is_zip(path: Path) -> bool:
    """Tell whether the file at `path` is a zip file, whatever its name."""
    return path.is_file() and zipfile.is_zipfile(path)


def unpack_zip(path: Path, target: Path) -> None:
    """Unpack the zip file at `path` into the new folder `target`, whole or not at all.

    Raises:
        PackageError: if the file is no zip file or breaks a rule; nothing is left behind.
        StorageError: if the members do not fit on the disk.
    """
    try:
        with path.open("rb") as source:
            _check_directory_size(source)
            with zipfile.ZipFile(source) as archive:
                members = _checked_members(archive, source)
                _check_space(members, target.parent)
                _write_all(source, members, target)
    except OSError as error:
        raise storage_error(target, error) from error
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError) as error:
        raise PackageError(f"The package is damaged or no zip file: {one_line(str(error), limit=200)}.") from error


def _check_directory_size(source: BinaryIO) -> None:
    # before zipfile builds an object for every entry
    size = source.seek(0, os.SEEK_END)
    start = max(0, size - _END.size - 0xFFFF - _LOCATOR.size)
    source.seek(start)
    tail = source.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise zipfile.BadZipFile("its end is missing")
    _, disk, _, _, entries, length, offset, _ = _END.unpack_from(tail, at)
    if disk:
        raise zipfile.BadZipFile("it is one part of several")
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size :].startswith(b"PK\6\7"):
        # whatever the fields above say, zipfile takes the record right before the locator where there is one
        source.seek(max(0, start + at - _LOCATOR.size - _END64.size))
        signature, *_, entries, length, offset = _END64.unpack(source.read(_END64.size))
        if signature != b"PK\6\6":
            raise zipfile.BadZipFile("its zip64 end is missing")
    elif entries == 0xFFFF or 0xFFFFFFFF in (length, offset):
        raise zipfile.BadZipFile("its zip64 end is missing")
    if entries > MAX_ENTRIES or length > MAX_DIRECTORY:
        raise PackageError(f"The package has more than {MAX_ENTRIES} files.")


def _checked_members(archive: zipfile.ZipFile, source: BinaryIO) -> list[tuple[zipfile.ZipInfo, int]]:
    """The files of the archive with the offsets of their data, once every rule has been checked."""
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise PackageError(f"The package has more than {MAX_ENTRIES} files.")
    if not infos:
        raise PackageError("The package is empty: it needs a labels file (.pkg.slp) and at least one training config.")
    for info in infos:
        _check_member(info)
    files = [info for info in infos if not info.is_dir() and not is_clutter(info.filename)]
    check_tree(info.filename for info in files)
    _check_folders(infos)
    spans = sorted(
        ((info.header_offset, _data_offset(info, source), info) for info in infos), key=lambda span: span[:2]
    )
    ends = [start for start, _, _ in spans[1:]] + [archive.start_dir]
    for (_, data, info), end in zip(spans, ends, strict=True):
        if data + info.compress_size > end:
            raise _refused(info, "it overlaps another part of the archive")
    return [(info, data) for _, data, info in spans if not info.is_dir() and not is_clutter(info.filename)]


def _check_member(info: zipfile.ZipInfo) -> None:
    if info.orig_filename != info.filename:
        raise _refused(info, "its name is not what it seems")
    check_path(info.filename.removesuffix("/"))
    if info.flag_bits & _REFUSED_FLAGS:
        raise _refused(info, "it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(info, "only stored and deflated files are taken")
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR) or mode & 0o7000:
        raise _refused(info, "only plain files and folders are taken")
    if info.is_dir() != (stat.S_IFMT(mode) == stat.S_IFDIR) and stat.S_IFMT(mode):
        raise _refused(info, "its name and its kind disagree")
    if info.file_size > MAX_RATIO * max(info.compress_size, 1) or (info.is_dir() and info.file_size):
        raise _refused(info, f"it would grow more than {MAX_RATIO} times")


def _check_folders(infos: list[zipfile.ZipInfo]) -> None:
    files = {folded(info.filename) for info in infos if not info.is_dir()}
    for info in infos:
        if info.is_dir() and folded(info.filename.removesuffix("/")) in files:
            raise _refused(info, "a file has the same name")


def _data_offset(info: zipfile.ZipInfo, source: BinaryIO) -> int:
    if info.header_offset < 0:
        raise _refused(info, "it begins before the archive")
    source.seek(info.header_offset)
    fields = _LOCAL.unpack(source.read(_LOCAL.size))
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
    name = source.read(name_length)
    if signature != b"PK\3\4" or (flags, method) != (info.flag_bits, info.compress_type):
        raise _refused(info, "its two headers disagree")
    if name.decode("utf-8" if flags & 0x800 else "cp437") != info.orig_filename:
        raise _refused(info, "it has two names")
    if not flags & _DESCRIPTOR:
        sizes = ((packed, info.compress_size), (size, info.file_size))
        if crc != info.CRC or any(local not in (central, 0xFFFFFFFF) for local, central in sizes):
            raise _refused(info, "its two headers disagree")
    return info.header_offset + _LOCAL.size + int(name_length) + int(extra_length)


def _refused(info: zipfile.ZipInfo, why: str) -> PackageError:
    return PackageError(f"The file '{one_line(info.filename, limit=120)}' in the package is refused: {why}.")


def _check_space(members: list[tuple[zipfile.ZipInfo, int]], folder: Path) -> None:
    needed = sum(info.file_size for info, _ in members)
    disk = shutil.disk_usage(folder)
    # a small file may unpack to all that the disk has left, and a full disk would end the jobs of others
    if needed > disk.free - disk.total // RESERVED_SHARE:
        raise StorageError(f"The package needs {needed} bytes, more than this disk has left: free some space first.")


def _write_all(source: BinaryIO, members: list[tuple[zipfile.ZipInfo, int]], target: Path) -> None:
    fresh = target.with_name(f".{target.name}-{secrets.token_hex(8)}")
    fresh.mkdir(mode=0o700)
    try:
        with _opened(fresh) as root:
            for info, offset in members:
                _write(source, info, offset, root)
            os.fsync(root)
        fresh.rename(target)
    except BaseException:
        shutil.rmtree(fresh)
        raise


@contextmanager
def _opened(path: str | Path, parent: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(source: BinaryIO, info: zipfile.ZipInfo, offset: int, folder: int) -> None:
    _write_below(source, info, offset, folder, info.filename.split("/"))


def _write_below(source: BinaryIO, info: zipfile.ZipInfo, offset: int, folder: int, parts: list[str]) -> None:
    # every step is taken from a descriptor: nothing swapped into the path meanwhile is followed
    if len(parts) > 1:
        # an earlier member may have made it; the next open refuses anything that is no folder
        with suppress(FileExistsError):
            os.mkdir(parts[0], 0o700, dir_fd=folder)
        with _opened(parts[0], folder) as inner:
            _write_below(source, info, offset, inner, parts[1:])
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(parts[0], flags, 0o600, dir_fd=folder), "wb") as sink:
        crc = size = 0
        for block in _inflated(source, info, offset):
            size += len(block)
            if size > info.file_size:
                raise _refused(info, "it is larger than it says")
            crc = zlib.crc32(block, crc)
            sink.write(block)
        if (size, crc) != (info.file_size, info.CRC):
            raise _refused(info, "it is not what its checksum says")
        sink.flush()
        os.fsync(sink.fileno())


def _inflated(source: BinaryIO, info: zipfile.ZipInfo, offset: int) -> Iterator[bytes]:
    source.seek(offset)
    left = info.compress_size
    inflater = None if info.compress_type == zipfile.ZIP_STORED else zlib.decompressobj(-zlib.MAX_WBITS)
    while left:
        packed = source.read(min(left, _BLOCK))
        if not packed:
            raise _refused(info, "it is cut short")
        left -= len(packed)
        if inflater is None:
            yield packed
            continue
        while packed:
            yield inflater.decompress(packed, _BLOCK)
            packed = inflater.unconsumed_tail
    if inflater is not None:
        yield inflater.flush()
        if not inflater.eof or inflater.unused_data:
            raise _refused(info, "its compressed data does not end where it says")
