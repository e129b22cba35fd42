"""Writing a file so that it is there whole or not at all, also after a power cut."""

import os
import secrets
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
