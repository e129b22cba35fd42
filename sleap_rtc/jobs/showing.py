"""Shows the preflight helper the files of one job at a time, by links to them in the one folder that its sandbox sees.

The helper is started long before the jobs that it checks, and a program in a sandbox sees what it was given when it was
started. So it is given a folder, read-only, in which files come and go: hard links, for packages are large and a link
takes no room. What is no regular file or folder is left out, and no link is followed.
"""

import errno
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .folder import is_plain, is_real_folder

_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP})
"""What file systems answer that cannot link this file to that folder."""


class Showcase:
    """The folder that is seen. The methods block.

    Args:
        folder: it; nothing else may be kept in it.
        jobs: the folder of jobs, at whose place it is seen.
    """

    def __init__(self, folder: Path, jobs: Path) -> None:
        self.folder = folder
        self._jobs = jobs

    def set_up(self) -> None:
        """Make the folder, without what a worker that died has left there.

        Raises:
            OSError: if the disk refuses.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.clear()

    def show(self, paths: Iterable[Path]) -> None:
        """Let files be seen, and everything below folders.

        Args:
            paths: where they are, below the folder of jobs.

        Raises:
            OSError: if the disk refuses. Some of it may be seen then.
            ValueError: if they are elsewhere.
        """
        for path in paths:
            target = self.folder / path.relative_to(self._jobs)
            if is_real_folder(path):
                _show_folder(path, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                _show_file(path, target)

    def clear(self) -> None:
        """Let nothing be seen any more.

        Raises:
            OSError: if something cannot be removed.
        """
        for entry in self.folder.iterdir():
            shutil.rmtree(entry)


def _show_folder(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _show_folder(Path(entry.path), target / entry.name)
            else:
                _show_file(Path(entry.path), target / entry.name)


def _show_file(source: Path, target: Path) -> None:
    if not is_plain(source):
        return
    with suppress(FileExistsError):
        try:
            target.hardlink_to(source)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            shutil.copyfile(source, target, follow_symlinks=False)
