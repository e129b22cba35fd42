"""The way down into a folder of this machine, which no name, link or swap leads out of.

Each step begins at the folder that was opened before, and follows no link. Where the system cannot do that (Windows),
the path as a whole must be its own real path.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_LINK = "is a link, or lies behind one, which is not followed"
_MISSING = "does not exist"
_NO_FOLDER = "is no folder"
BY_DESCRIPTOR = os.open in os.supports_dir_fd and os.scandir in os.supports_fd


class NotThereError(Exception):
    """There is no such file or folder.

    Attributes:
        why: the end of a sentence that begins with the name.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def is_file_below(root: Path, path: Path) -> bool:
    """Whether `path`, an absolute one below `root`, is a regular file with no link on the way. Blocks."""
    return why_not(root, path) is None


def why_not(root: Path, path: Path, *, folder: bool = False) -> str | None:
    """Why `path`, an absolute one below `root`, is no file, or folder, that is reached without a link. Blocks.

    Returns:
        The end of a sentence that begins with the name; None if it is one.
    """
    parts = path.relative_to(root).parts
    try:
        if folder:
            with folder_below(root, parts):
                return None
        check_file(root, parts)
    except NotThereError as error:
        return error.why
    return None


def check_file(root: Path, parts: Sequence[str]) -> None:
    """See that these names lead from `root` to a regular file. Blocks.

    Raises:
        NotThereError: if they do not.
    """
    with _reasons():
        if not parts:
            raise NotThereError("is a folder")
        if not BY_DESCRIPTOR:
            if not _checked(root, parts).is_file():
                raise NotThereError(_MISSING)
            return
        with _folder(root, parts[:-1]) as above:
            _check_file_in(above, parts[-1])


@contextmanager
def folder_below(root: Path, parts: Sequence[str]) -> Iterator[int | Path]:
    """Hold the folder that these names lead to from `root`: its descriptor, or its path where there are none. Blocks.

    Raises:
        NotThereError: if they do not lead to a folder.
    """
    with _reasons(if_no_folder=_NO_FOLDER):
        if BY_DESCRIPTOR:
            with _folder(root, parts) as folder:
                listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
                try:
                    yield listed
                finally:
                    os.close(listed)
        else:
            path = _checked(root, parts)
            if not path.is_dir():
                raise NotThereError(_NO_FOLDER if path.exists() else _MISSING)
            yield path


@contextmanager
def _reasons(if_no_folder: str = _MISSING) -> Iterator[None]:
    try:
        yield
    except NotADirectoryError as error:
        raise NotThereError(if_no_folder) from error
    except (FileNotFoundError, ValueError) as error:
        raise NotThereError(_MISSING) from error
    except OSError as error:
        raise NotThereError(f"cannot be read: {os.strerror(error.errno or 0)}") from error


@contextmanager
def _folder(root: Path, parts: Sequence[str]) -> Iterator[int]:
    at = _enter(root)
    try:
        for part in parts:
            _check_step(part, at)
            below = _enter(part, at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def _enter(name: Path | str, folder: int | None = None) -> int:
    flags = os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(name, os.O_RDONLY | flags, dir_fd=folder)
    except PermissionError:
        # it may be gone through and not listed; not at first, for this wakes no network disk that is mounted when used
        return os.open(name, getattr(os, "O_PATH", os.O_RDONLY) | flags, dir_fd=folder)


def _check_step(part: str, folder: int) -> int:
    """The mode of what is called so in a folder; it is no link, and not the folder above."""
    if part == "..":
        raise NotThereError(_MISSING)
    mode = os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        raise NotThereError(_LINK)
    return mode


def _check_file_in(folder: int, name: str) -> None:
    regular = stat.S_ISREG(_check_step(name, folder))
    if regular:
        # it may have become another thing since it was looked at
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)
    if not regular:
        raise NotThereError("is no regular file")


def _checked(root: Path, parts: Sequence[str]) -> Path:
    if ".." in parts:
        raise NotThereError(_MISSING)
    path = root.joinpath(*parts)
    if path.resolve() != path:
        raise NotThereError(_LINK)
    return path
