"""Copies what is kept of a model, between folders of which a job may be changing one at that moment.

Whatever it does to them, only its own plain files are read, and nothing is written elsewhere: each folder is opened
below the one before it, no link is followed, and what has been opened is what is used.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

from .folder import is_plain, is_real_folder

CHECKPOINTS = ("best.ckpt", "last.ckpt")
KEPT = (*CHECKPOINTS, "initial_config.yaml", "training_config.yaml", "training_log.csv")
"""The files that make up a model."""
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
# a pipe in the place of a file must not be waited for
_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def copy_model(source: Path, target: Path, *, below: Path) -> None:
    """Copy the files of a model that can be copied.

    Args:
        source: the folder that has them.
        target: the folder to copy them to; made where it or the one around it is missing.
        below: the folder of the job, which both lie in and the job cannot change.
    """
    if os.open not in os.supports_dir_fd:
        _copy_by_path(source, target, below)
        return
    with suppress(OSError), _walked(below, source, make=False) as old, _walked(below, target, make=True) as new:
        for name in KEPT:
            # a full disk: the original may well be spared
            with suppress(OSError):
                _copy(name, old, new)


def _copy_by_path(source: Path, target: Path, below: Path) -> None:
    """The same on Windows, where no job is in a sandbox and links take rights that few have."""
    around = [folder for path in (source, target) for folder in path.parents if folder.is_relative_to(below)]
    if not is_real_folder(source) or any(
        folder.exists() and not is_real_folder(folder) for folder in (*around, target)
    ):
        return
    with suppress(OSError):
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in filter(lambda name: is_plain(source / name), KEPT):
            fresh = target / f".{name}-{secrets.token_hex(6)}"
            shutil.copyfile(source / name, fresh)
            fresh.replace(target / name)


@contextmanager
def _walked(below: Path, folder: Path, *, make: bool) -> Iterator[int]:
    with ExitStack() as stack:
        at = os.open(below, _FOLDER)
        stack.callback(os.close, at)
        *above, around, last = folder.relative_to(below).parts
        for name in (*above, around, last):
            if make and name in (around, last):
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=at)
            at = os.open(name, _FOLDER, dir_fd=at)
            stack.callback(os.close, at)
        yield at


def _copy(name: str, old: int, new: int) -> None:
    with os.fdopen(os.open(name, _FILE, dir_fd=old), "rb") as source:
        if not S_ISREG(os.fstat(source.fileno()).st_mode):
            return
        fresh = f".{name}-{secrets.token_hex(6)}"
        try:
            written = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=new)
            with os.fdopen(written, "wb") as target:
                shutil.copyfileobj(source, target)
            # a rename replaces a link, where a copy would write through it
            os.replace(fresh, name, src_dir_fd=new, dst_dir_fd=new)
        except OSError:
            with suppress(OSError):
                os.unlink(fresh, dir_fd=new)
