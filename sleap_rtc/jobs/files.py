"""Writing a file so that it is there whole or not at all, also after a power cut."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from sleap_rtc.config.durable import sync_folder
from sleap_rtc.errors import StorageError


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace the file at `path` by `data`; with `durable` it is on disk when this returns.

    Raises:
        StorageError: if the disk is full or refuses.
    """
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    try:
        try:
            _write(fresh, data, durable)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error


def create_exclusively(path: Path, data: bytes) -> bool:
    """Create the file at `path` with its content at once; False if it was there before."""
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    try:
        _write(fresh, data, durable=True)
        # a link fails where the name exists, also on a shared file system; a rename would replace
        os.link(fresh, path)
    except FileExistsError:
        return False
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def storage_error(path: Path, error: OSError) -> StorageError:
    """Say in a sentence why a file cannot be written."""
    return StorageError(f"Cannot write '{path}': {error.strerror or error}. Check the disk's space and permissions.")


def _write(path: Path, data: bytes, durable: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as sink:
        sink.write(data)
        if durable:
            sink.flush()
            os.fsync(sink.fileno())


def remove_tree(folder: Path) -> None:
    """Remove a folder and all below it, however a job has made it: nested deep, or closed to us. Nothing may run there.

    What cannot be removed stays, and no error is raised; a link is left alone.
    """
    # neither the folder nor the one around it may lead elsewhere
    if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
        return
    with suppress(OSError):
        folder.chmod(0o700)
    prefix, moved, left = f".{secrets.token_hex(6)}", 0, [folder]
    while left:
        current = left.pop()
        for entry in _entries_of(current):
            with suppress(OSError):
                inner = Path(entry.path)
                if not entry.is_dir(follow_symlinks=False):
                    inner.unlink()
                    continue
                inner.chmod(0o700)
                if current is not folder:
                    # up to the top: neither recursion nor a path reaches as deep as folders can be nested
                    inner, moved = inner.rename(folder / f"{prefix}-{moved}"), moved + 1
                left.append(inner)
        if current is not folder:
            with suppress(OSError):
                current.rmdir()
    with suppress(OSError):
        folder.rmdir()


def _entries_of(folder: Path) -> list["os.DirEntry[str]"]:
    with suppress(OSError), os.scandir(folder) as entries:
        return list(entries)
    return []
