"""Files to send: listed, hashed in one pass, then read in any order."""

import errno
import os
import stat
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from sleap_rtc.errors import PackageError, TransferError
from sleap_rtc.protocol.files import check_tree
from sleap_rtc.protocol.text import one_line

BLOCK = 1024 * 1024
UNREADABLE = (OSError, EOFError, UnicodeDecodeError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a file, or a member of a damaged zip, may raise."""
_MAX_OPEN = 8

_read_at: Callable[[int, int, int], bytes] | None = getattr(os, "pread", None)


class Source(ABC):
    """A tree of files that can be listed and read. All methods block; callers use a thread, or several."""

    @abstractmethod
    def files(self) -> Sequence[tuple[str, int]]:
        """Return each file's path and size in bytes, in the order they are sent; what was listed first stays.

        Raises:
            PackageError: if the tree breaks a path rule, or a file cannot be read.
        """

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """Open a listed file for one pass from its start.

        Raises:
            TransferError: if it cannot be read any more, or changed since it was listed.
        """

    @abstractmethod
    def unchanged(self, path: str) -> bool:
        """Whether a listed file still is what it was when it was listed, as far as its size and times tell."""

    @abstractmethod
    def read(self, path: str, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes of a listed file, from byte `offset` on. Any order, any thread.

        Raises:
            TransferError: if it has no such bytes, or vanished or changed since it was listed.
        """

    def local(self, path: str) -> Path | None:
        """Where a listed file lies on this disk as a file of its own; None where it does not."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Give back what is held open, when nothing more will be read. Idempotent."""


class Stamp(NamedTuple):
    """What tells that a file is still the same: its bytes, when it was written (ns), and which file it is."""

    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The stamp of a file with this status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; never wait for the other end of a pipe.

    Raises:
        OSError: if it cannot be opened, or is a folder, pipe or device.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return open(descriptor, "rb")  # noqa: PTH123 - a descriptor has no path


def beyond(path: str) -> TransferError:
    """Bytes were asked for that a file never had."""
    return TransferError(f"{path} was asked for beyond its end. Send the package again.")


def changed(path: str, container: str = "") -> TransferError:
    """A file, or the zip that holds it, is not what it was."""
    return TransferError(
        f"{path} cannot be sent: {container or 'it'} changed meanwhile. "
        "Wait until nothing writes to it, then send the package again."
    )


def unreadable(path: str, error: BaseException) -> TransferError:
    """A file that could be listed cannot be read."""
    reason = getattr(error, "strerror", None) or error
    return TransferError(f"{path} cannot be read any more: {reason}. Send the package again.")


class KeptFile:
    """An open file that threads read at once, closed when nobody holds it any more; its maker holds it first.

    Args:
        file: the file; nobody relies on its position.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._moving = threading.Lock()
        self._holders = 1

    def hold(self) -> Self:
        """Keep it open until `release`.

        Raises:
            OSError: if it is closed already.
        """
        with self._lock:
            if not self._holders:
                raise OSError(errno.EBADF, "it was closed")
            self._holders += 1
        return self

    def release(self) -> None:
        """Hold it no more."""
        with self._lock:
            self._holders -= 1
            if not self._holders:
                self._file.close()

    def stamp(self) -> Stamp:
        """What the file is now."""
        return Stamp.of(os.fstat(self._file.fileno()))

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from byte `offset` on; fewer only where the file ends."""
        parts = []
        while size and (part := self._read(offset, size)):
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read(self, offset: int, size: int) -> bytes:
        if _read_at is not None:
            return _read_at(self._file.fileno(), size, offset)
        with self._moving:
            os.lseek(self._file.fileno(), offset, os.SEEK_SET)
            return os.read(self._file.fileno(), size)


class OpenFiles:
    """The files read last, kept open.

    Args:
        most: how many are kept; more are open only while more are being read.
    """

    def __init__(self, most: int = _MAX_OPEN) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, KeptFile] = OrderedDict()

    @contextmanager
    def using(self, path: Path) -> Iterator[KeptFile]:
        """Hold the file at `path` open while the body runs.

        Raises:
            OSError: if it cannot be opened.
        """
        with self._lock:
            if path not in self._kept:
                self._kept[path] = KeptFile(open_regular(path))
            self._kept.move_to_end(path)
            kept = self._kept[path].hold()
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)[1].release()
        try:
            yield kept
        finally:
            kept.release()

    def close(self) -> None:
        """Close them all, those in use when their readers are done."""
        with self._lock:
            while self._kept:
                self._kept.popitem()[1].release()


class FilesSource(Source):
    """Files from anywhere on this disk.

    Args:
        files: where each path of the tree is read from.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._stamps: dict[str, Stamp] | None = None
        self._open = OpenFiles()

    def files(self) -> Sequence[tuple[str, int]]:
        """See `Source`."""
        return [(path, stamp.size) for path, stamp in self._listed().items()]

    def _listed(self) -> dict[str, Stamp]:
        if self._stamps is None:
            check_tree(self._files)
            self._stamps = {path: self._look(path, file) for path, file in self._files.items()}
        return self._stamps

    def _look(self, path: str, file: Path) -> Stamp:
        try:
            status = file.stat()
        except OSError as error:
            raise PackageError(f"{path} cannot be read: {error.strerror}. Check that it is there.") from error
        if not stat.S_ISREG(status.st_mode):
            raise PackageError(f"{path} is no regular file. Put a copy of its content there, or leave it out.")
        return Stamp.of(status)

    def _stamp(self, path: str) -> Stamp:
        try:
            return self._listed()[path]
        except KeyError:
            raise TransferError(f"{path} is not among the files that are sent.") from None

    def open(self, path: str) -> BinaryIO:
        """See `Source`."""
        stamp = self._stamp(path)
        try:
            file = open_regular(self._files[path])
        except OSError as error:
            raise unreadable(path, error) from error
        if Stamp.of(os.fstat(file.fileno())) != stamp:
            file.close()
            raise changed(path)
        return file

    def unchanged(self, path: str) -> bool:
        """See `Source`."""
        try:
            return Stamp.of(self._files[path].stat()) == self._stamp(path)
        except OSError:
            return False

    def read(self, path: str, offset: int, size: int) -> bytes:
        """See `Source`."""
        stamp = self._stamp(path)
        if not 0 <= offset <= offset + size <= stamp.size:
            raise beyond(path)
        try:
            with self._open.using(self._files[path]) as kept:
                data = kept.read(offset, size)
                # asked after the bytes were read: what is written from now on is not in them
                same = kept.stamp() == stamp == Stamp.of(self._files[path].stat())
        except OSError as error:
            raise unreadable(path, error) from error
        if not same or len(data) != size:
            raise changed(path)
        return data

    def local(self, path: str) -> Path | None:
        """See `Source`."""
        return self._files.get(path)

    def close(self) -> None:
        """See `Source`."""
        self._open.close()


def folder_source(root: Path) -> FilesSource:
    """Return all regular files below `root`, in order of their paths; hidden ones stay at home.

    A link to a file is followed where that would be sent as well. A package may come from somebody else, and one that
    leads elsewhere would take along what its user never put there.

    Raises:
        PackageError: if a part of it cannot be read, is a link to a folder, or one to a file elsewhere, or hidden.
    """
    found = {}
    real = root.resolve()
    for folder, below, names in os.walk(root, onerror=_refuse_to_skip):
        below[:] = [name for name in below if not name.startswith(".")]
        if link := next((name for name in below if (Path(folder) / name).is_symlink()), None):
            raise PackageError(f"{_named(link)} in the package is a link to a folder. Put the folder itself there.")
        for name in names:
            path = Path(folder) / name
            if name.startswith(".") or not path.is_file():
                continue
            if path.is_symlink() and not _belongs(path.resolve(), real):
                raise PackageError(
                    f"{_named(name)} in the package is a link to {_named(str(path.readlink()))}, which is hidden, or "
                    "outside of the package. Put the file itself there, name it beside the package (--labels, "
                    "--config), or remove the link."
                )
            found[path.relative_to(root).as_posix()] = path
    return FilesSource(dict(sorted(found.items())))


def _belongs(file: Path, root: Path) -> bool:
    return file.is_relative_to(root) and not any(part.startswith(".") for part in file.relative_to(root).parts)


def _named(name: str) -> str:
    return one_line(name, limit=120)


def _refuse_to_skip(error: OSError) -> None:
    raise PackageError(f"{error.filename} cannot be read: {error.strerror}. Check its permissions.") from error
