"""What an earlier attempt left of a run: the next one goes on from there, and one model comes home.

sleap-nn continues the count of epochs from a checkpoint, but it takes another name where the run's folder has a
``best.ckpt``, begins ``training_log.csv`` anew, and writes a ``best.ckpt`` only when a later epoch is better. So the
run's folder is moved to ``work/before/`` first, the best model is put back once sleap-nn has chosen its folder, and in
the end the two folders are made one. Each step leaves a state that the next attempt can begin with.

The job wrote all of this: only plain files in real folders are touched, and no link is followed.
"""

import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sleap_rtc.errors import StorageError

from .files import remove_tree, storage_error, write_atomically
from .folder import JobFolder, is_plain, is_real_folder

_LAST, _BEST, _LOG = "last.ckpt", "best.ckpt", "training_log.csv"
_MAX_LOG = 64 * 1024 * 1024


class Remains:
    """The folder of a run, and what an earlier attempt left of it.

    Args:
        folder: the job's.
        run: the run's name.
    """

    def __init__(self, folder: JobFolder, run: str) -> None:
        self._folder, self._run = folder, run
        self._models = folder.models / run
        self._before = folder.before / run

    def take(self) -> Path | None:
        """Make room for the next attempt.

        Returns:
            The checkpoint to go on from; None if there is none: then nothing is left of the run.

        Raises:
            StorageError: if the disk refuses.
        """
        self.merge()
        if not self._is_real(self._folder.models):
            return None
        try:
            if is_real_folder(self._models):
                for name in (_LAST, _BEST):
                    # a checkpoint is a zip archive: one that a power cut tore has no end
                    if is_plain(self._models / name) and zipfile.is_zipfile(self._models / name):
                        self._move_away()
                        return self._before / name
            _clear(self._models)
        except OSError as error:
            raise storage_error(self._models, error) from error
        return None

    def _move_away(self) -> None:
        if not is_real_folder(self._folder.before):
            _clear(self._folder.before)
            self._folder.before.mkdir(mode=0o700)
        _clear(self._before)
        self._models.rename(self._before)

    def put_back(self) -> None:
        """Give the run its best model so far, unless it has a better one already. Called while the job runs."""
        if os.open not in os.supports_dir_fd:
            return
        with suppress(OSError), ExitStack() as stack:
            # by descriptors: what the job does to its folders meanwhile leads nowhere else
            work = stack.enter_context(_opened(self._folder.work, os.O_DIRECTORY))
            before = stack.enter_context(_opened(self._folder.before.name, os.O_DIRECTORY, work))
            old = stack.enter_context(_opened(self._run, os.O_DIRECTORY, before))
            source = os.fdopen(os.open(_BEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=old), "rb")
            stack.enter_context(source)
            models = stack.enter_context(_opened(self._folder.models.name, os.O_DIRECTORY, work))
            with suppress(FileExistsError):
                os.mkdir(self._run, 0o700, dir_fd=models)
            run = stack.enter_context(_opened(self._run, os.O_DIRECTORY, models))
            fresh = f".{_BEST}-{secrets.token_hex(6)}"
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=run), "wb") as target:
                shutil.copyfileobj(source, target)
            try:
                # a link fails where sleap-nn has saved a better one meanwhile
                os.link(fresh, _BEST, src_dir_fd=run, dst_dir_fd=run)
            finally:
                os.unlink(fresh, dir_fd=run)

    def merge(self) -> None:
        """Make one folder of what the attempts wrote; nothing of the job may run.

        Raises:
            StorageError: if the disk refuses.
        """
        if not self._is_real(self._folder.before, self._before) or not _has_checkpoint(self._before):
            return
        try:
            self._merge()
        except OSError as error:
            raise storage_error(self._models, error) from error

    def _merge(self) -> None:
        with suppress(FileExistsError):
            self._folder.models.mkdir(mode=0o700)
        if not is_real_folder(self._folder.models):
            return
        if not is_real_folder(self._models) or not _has_checkpoint(self._models):
            _clear(self._models)
            self._before.rename(self._models)
            return
        self._merge_logs()
        for name in (_LAST, _BEST):
            if is_plain(self._before / name) and not is_plain(self._models / name):
                (self._before / name).replace(self._models / name)
        _clear(self._before)

    def _merge_logs(self) -> None:
        old, new = _rows(self._before / _LOG), _rows(self._models / _LOG)
        if not old or (new and new[0] != old[0]):
            return
        first = _epoch(new[1]) if len(new) > 1 else None
        kept = old if first is None else [old[0], *(row for row in old[1:] if (_epoch(row) or 0) < first)]
        with suppress(StorageError):  # a log is not worth the model
            write_atomically(self._models / _LOG, b"".join([*kept, *new[1:]]))

    def _is_real(self, *folders: Path) -> bool:
        return all(map(is_real_folder, (self._folder.work, *folders)))


@contextmanager
def _opened(path: Path | str, flags: int, below: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=below)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _has_checkpoint(folder: Path) -> bool:
    return any(is_plain(folder / name) for name in (_LAST, _BEST))


def _clear(path: Path) -> None:
    if is_real_folder(path):
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _rows(log: Path) -> list[bytes]:
    """The lines of a log, the header first; none if it is no plain file, or too large for one."""
    if not is_plain(log) or log.stat().st_size > _MAX_LOG:
        return []
    return log.read_bytes().splitlines(keepends=True)


def _epoch(row: bytes) -> int | None:
    number = row.partition(b",")[0].strip()
    return int(number) if number.isdigit() and len(number) < 10 else None
