"""Files to send: a folder or a zip, read without ever unpacking it."""

import asyncio
import hashlib
import os
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from sleap_rtc.errors import PackageError, TransferError
from sleap_rtc.protocol.files import FileEntry, Manifest, check_tree, is_clutter
from sleap_rtc.protocol.text import printable

BLOCK = 1024 * 1024
UNREADABLE = (OSError, EOFError, UnicodeDecodeError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a file, or a member of a damaged zip, may raise."""


class Source(ABC):
    """A tree of files that can be listed and read. All methods block; callers use a thread."""

    @abstractmethod
    def files(self) -> Sequence[tuple[str, int]]:
        """Return each file's path and size in bytes, in the order they are sent.

        Raises:
            PackageError: if the tree breaks a path rule.
        """

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """Open a listed file for reading; it is seekable.

        Raises:
            TransferError: if it cannot be read any more.
        """


class FilesSource(Source):
    """Files from anywhere on this disk.

    Args:
        files: where each path of the tree is read from.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def files(self) -> Sequence[tuple[str, int]]:
        """See `Source`."""
        check_tree(self._files)
        return [(path, file.stat().st_size) for path, file in self._files.items()]

    def open(self, path: str) -> BinaryIO:
        """See `Source`."""
        try:
            file = self._files[path].open("rb")
        except OSError as error:
            raise TransferError(f"{path} cannot be read any more: {error.strerror}. Send the package again.") from error
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise TransferError(f"{path} is no regular file any more. Send the package again.")
        return file


def folder_source(root: Path) -> FilesSource:
    """Return all regular files below `root`, in order of their paths; hidden ones stay at home.

    Raises:
        PackageError: if a part of it cannot be read, or is a link to a folder.
    """
    found = {}
    for folder, below, names in os.walk(root, onerror=_refuse_to_skip):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in below:
            if (Path(folder) / name).is_symlink():
                raise PackageError(f"{name} in the package is a link to a folder. Put the folder itself there.")
        for name in names:
            path = Path(folder) / name
            if not name.startswith(".") and path.is_file():
                found[path.relative_to(root).as_posix()] = path
    return FilesSource(dict(sorted(found.items())))


def _refuse_to_skip(error: OSError) -> None:
    raise PackageError(f"{error.filename} cannot be read: {error.strerror}. Check its permissions.") from error


class ZipSource(Source):
    """A zip's members.

    Args:
        path: the archive.

    Raises:
        PackageError: if it is damaged, encrypted, or uses a compression other than stored and deflate.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = [info for info in archive.infolist() if not info.is_dir()]
        except UNREADABLE as error:
            raise PackageError(f"{path} is a damaged zip: {error}. Export the training package again.") from error
        self._members = {info.filename: info for info in members if not is_clutter(info.filename)}
        for info in members:
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise PackageError(
                    f"{printable(info.filename, limit=120)} in {path.name} is encrypted or compressed in an unusual "
                    "way. Make the zip again without a password, or give the unpacked folder."
                )

    def files(self) -> Sequence[tuple[str, int]]:
        """See `Source`."""
        check_tree(self._members)
        return [(name, info.file_size) for name, info in self._members.items()]

    def open(self, path: str) -> BinaryIO:
        """See `Source`."""
        try:
            with zipfile.ZipFile(self._path) as archive:
                # ZipExtFile keeps the archive's file open until it is closed itself
                return cast(BinaryIO, archive.open(self._members[path]))
        except (KeyError, *UNREADABLE) as error:
            raise TransferError(f"{path} cannot be read from {self._path.name} any more: {error}.") from error


async def make_manifest(source: Source, on_bytes: Callable[[int], None] = lambda size: None) -> Manifest:
    """List and hash a source's files, off the event loop.

    Args:
        source: what to hash.
        on_bytes: told the number of bytes hashed, now and then.

    Raises:
        PackageError: if the tree breaks a path rule, or a file changes meanwhile.
    """
    files = await asyncio.to_thread(source.files)
    return Manifest(files=tuple([await _entry(source, path, size, on_bytes) for path, size in files]))


async def _entry(source: Source, path: str, size: int, on_bytes: Callable[[int], None]) -> FileEntry:
    digest = hashlib.sha256()
    counted = 0

    def hash_some() -> int:
        some = file.read(16 * BLOCK)
        digest.update(some)
        return len(some)

    file = await asyncio.to_thread(source.open, path)
    try:
        while read := await asyncio.to_thread(hash_some):
            counted += read
            on_bytes(read)
    except UNREADABLE as error:
        raise PackageError(f"{path} cannot be read: {error}. Export the training package again.") from error
    finally:
        file.close()
    if counted != size:
        raise PackageError(f"{path} changed while it was read. Wait until nothing writes to it, then try again.")
    return FileEntry(path=path, size=size, sha256=digest.hexdigest())
