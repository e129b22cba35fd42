"""A zip's members to send, in any order, without unpacking it into a folder.

A deflated member can only be read from its start: small ones are inflated on demand, large ones kept, inflated.
"""

import errno
import io
import os
import shutil
import stat
import struct
import tempfile
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from sleap_rtc.config import paths
from sleap_rtc.errors import PackageError, StorageError, TransferError
from sleap_rtc.protocol.files import check_tree, is_clutter
from sleap_rtc.protocol.text import printable
from sleap_rtc.transfer.source import (
    BLOCK,
    UNREADABLE,
    KeptFile,
    OpenFiles,
    Source,
    Stamp,
    beyond,
    changed,
    open_regular,
    unreadable,
)

SMALL = 4 * 1024 * 1024
"""Deflated members up to this size are inflated into memory."""
SMALL_KEPT = 8
_LOCAL = struct.Struct("<4s22xHH")
"""A member's local header: its signature, and the lengths of the name and extra field that follow it."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ZipSource(Source):
    """A zip's members.

    Args:
        path: the archive.
        spool: the folder for large members that must be inflated; ``tmp`` in our own folder where it is None.

    Raises:
        PackageError: if it is damaged, encrypted, holds a link, or uses a compression other than stored and deflate.
    """

    def __init__(self, path: Path, spool: Path | None = None) -> None:
        self._path = path
        self._folder = spool
        try:
            with open_regular(path) as file, zipfile.ZipFile(file) as archive:
                self._stamp = Stamp.of(os.fstat(file.fileno()))
                members = [info for info in archive.infolist() if not info.is_dir()]
        except UNREADABLE as error:
            raise PackageError(f"{path} is a damaged zip: {error}. Export the training package again.") from error
        for info in members:
            _check_member(info, path)
        self._names = [info.filename for info in members if not is_clutter(info.filename)]
        self._members = {info.filename: info for info in members if not is_clutter(info.filename)}
        self._zip = OpenFiles(1)
        self._lock = threading.RLock()
        self._spooling = threading.Lock()
        self._archive: zipfile.ZipFile | None = None
        self._closed = False
        self._small: OrderedDict[str, bytes] = OrderedDict()
        self._spool: _Spool | None = None
        self._starts: dict[str, int] = {}

    def files(self) -> Sequence[tuple[str, int]]:
        """See `Source`."""
        check_tree(self._names)  # the dict would hide that two have the same
        return [(name, info.file_size) for name, info in self._members.items()]

    def open(self, path: str) -> BinaryIO:
        """See `Source`.

        Raises:
            StorageError: if there is no room to keep what is inflated.
        """
        info = self._member(path)
        spool = None
        try:
            with self._lock:
                if info.compress_type != zipfile.ZIP_STORED and info.file_size > SMALL and path not in self._starts:
                    spool = self._get_spool()
                    start = spool.reserve(info.file_size)
                member = cast(BinaryIO, self._get_archive(path).open(info))
            if spool is None:
                return member
            keep = partial(self._starts.__setitem__, path, start)
            return cast(BinaryIO, _Spooled(member, spool, start, info.file_size, keep))
        except UNREADABLE as error:
            raise unreadable(path, error) from error

    def unchanged(self, path: str) -> bool:
        """See `Source`."""
        try:
            return Stamp.of(self._path.stat()) == self._stamp
        except OSError:
            return False

    def read(self, path: str, offset: int, size: int) -> bytes:
        """See `Source`.

        Raises:
            StorageError: if there is no room to keep what is inflated.
        """
        info = self._member(path)
        if not 0 <= offset <= offset + size <= info.file_size:
            raise beyond(path)
        try:
            if info.compress_type == zipfile.ZIP_STORED:
                data = self._read_stored(info, offset, size)
            elif info.file_size <= SMALL:
                data = self._inflated(path)[offset : offset + size]
            else:
                data = self._read_spooled(path, offset, size)
            same = Stamp.of(self._path.stat()) == self._stamp
        except UNREADABLE as error:
            raise unreadable(path, error) from error
        if not same or len(data) != size:
            raise changed(path, self._path.name)
        return data

    def close(self) -> None:
        """See `Source`."""
        with self._lock:
            self._closed = True
            self._small.clear()
            if self._archive is not None and self._archive.fp is not None:
                self._archive.fp.close()
                self._archive.close()
            if self._spool is not None:
                self._spool.release()
            self._archive = self._spool = None
        self._zip.close()

    def _member(self, path: str) -> zipfile.ZipInfo:
        if path not in self._members:
            raise TransferError(f"{path} is not among the files that are sent.")
        return self._members[path]

    def _get_archive(self, path: str) -> zipfile.ZipFile:
        if self._closed:
            raise OSError(errno.EBADF, "the transfer has ended")
        if self._archive is None:
            file = open_regular(self._path)
            if Stamp.of(os.fstat(file.fileno())) != self._stamp:
                file.close()
                raise changed(path, self._path.name)
            self._archive = zipfile.ZipFile(file)
        return self._archive

    def _read_stored(self, info: zipfile.ZipInfo, offset: int, size: int) -> bytes:
        with self._zip.using(self._path) as kept:
            header = kept.read(info.header_offset, _LOCAL.size)
            if kept.stamp() != self._stamp or len(header) != _LOCAL.size:
                raise changed(info.filename, self._path.name)
            _, name, extra = _LOCAL.unpack(header)
            return kept.read(info.header_offset + _LOCAL.size + name + extra + offset, size)

    def _inflated(self, path: str) -> bytes:
        with self._lock:
            if path not in self._small:
                with self._get_archive(path).open(self._members[path]) as member:
                    self._small[path] = member.read()
            self._small.move_to_end(path)
            if len(self._small) > SMALL_KEPT:
                self._small.popitem(last=False)
            return self._small[path]

    def _read_spooled(self, path: str, offset: int, size: int) -> bytes:
        with self._spooling:
            if path not in self._starts:
                with self.open(path) as member:
                    while member.read(BLOCK):
                        pass
            if path not in self._starts:
                raise zipfile.BadZipFile("its end is missing")
        with self._lock:
            spool = self._get_spool().hold()
        try:
            return spool.read(self._starts[path] + offset, size)
        finally:
            spool.release()

    def _get_spool(self) -> "_Spool":
        """The open spool; call it with the lock."""
        if self._closed:
            raise OSError(errno.EBADF, "the transfer has ended")
        if self._spool is None:
            self._spool = _Spool(self._folder or paths.home() / "tmp", self._path.name)
        return self._spool


def _check_member(info: zipfile.ZipInfo, path: Path) -> None:
    name = printable(info.filename, limit=120)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PackageError(
            f"{name} in {path.name} is encrypted or compressed in an unusual way. "
            "Make the zip again without a password, or give the unpacked folder."
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        raise PackageError(f"{name} in {path.name} is a link. Make the zip again with the file itself in it.")


class _Spool(KeptFile):
    """Inflated members, one behind the other, in a file without a name: it is gone with this process, however it ends.

    Args:
        folder: where the disk has room for it; made, private, where missing.
        package: the zip's name, for sentences.
    """

    def __init__(self, folder: Path, package: str) -> None:
        self._folder = folder
        self._package = package
        self._end = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            super().__init__(cast(BinaryIO, tempfile.TemporaryFile(dir=folder, buffering=0)))  # noqa: SIM115 - kept
        except OSError as error:
            raise self._refusal(error) from error

    def reserve(self, size: int) -> int:
        """Return where `size` bytes may be written.

        Raises:
            StorageError: if the disk has no room for them.
        """
        try:
            # asked beforehand: a disk that is filled to its end stops others, too
            if shutil.disk_usage(self._folder).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._refusal(error) from error
        with self._lock:
            start, self._end = self._end, self._end + size
        return start

    def write(self, offset: int, data: bytes) -> None:
        """Write all of `data` at byte `offset`.

        Raises:
            StorageError: if the disk refuses.
        """
        view = memoryview(data)
        try:
            with self._moving:
                os.lseek(self._file.fileno(), offset, os.SEEK_SET)
                while view:
                    view = view[os.write(self._file.fileno(), view) :]
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> StorageError:
        what = "is full" if error.errno in _FULL else f"cannot be written: {error.strerror}"
        return StorageError(
            f"{self._package} is compressed and must be unpacked to be sent, but the disk of {self._folder} {what}. "
            "Free some space, set SLEAP_RTC_HOME to a folder on another disk, or give the unpacked folder."
        )


class _Spooled(io.RawIOBase):
    """A member of `size` bytes that is copied to the spool, from its byte `start` on, while it is read.

    `on_whole` is called when the copy is whole and its checksum right.
    """

    def __init__(self, member: BinaryIO, spool: _Spool, start: int, size: int, on_whole: Callable[[], None]) -> None:
        self._member = member
        self._spool = spool.hold()
        self._start = start
        self._size = size
        self._done = 0
        self._on_whole = on_whole

    def read(self, size: int = -1, /) -> bytes:
        if data := self._member.read(size):  # it compares the checksum before it returns the last bytes
            self._spool.write(self._start + self._done, data)
            self._done += len(data)
            if self._done == self._size:
                self._on_whole()
        return data

    def close(self) -> None:
        if not self.closed:
            self._member.close()
            self._spool.release()
        super().close()
