"""What a service keeps secret: the key under which it hashes tokens, and what it shares with its TURN servers."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

from signaling_server.secrets_given import MIN_LENGTH, others_may_read
from signaling_server.settings import ENVIRONMENT_PREFIX, Settings
from signaling_server.turn_settings import load_secret
from sleap_rtc.errors import ConfigError, StorageError


def load_pepper(settings: Settings) -> bytes:
    """The key tokens are hashed under: from the settings, else from a 0600 file beside the database, made if absent.

    Raises:
        ConfigError: if there is neither, or others may read the file.
        StorageError: if the file cannot be made or read.
    """
    if settings.pepper is not None:
        return settings.pepper.get_secret_value().encode()
    if make_url(settings.database_url).database in (None, "", ":memory:"):
        return secrets.token_bytes(MIN_LENGTH)
    path = settings.pepper_file
    if path is None:
        raise ConfigError(
            f"The service needs a pepper for this database: set {ENVIRONMENT_PREFIX}PEPPER to at least "
            f"{MIN_LENGTH} random characters, and keep it: without it no token works any more."
        )
    try:
        return _read_or_make(path)
    except OSError as error:
        raise StorageError(
            f"The service's pepper file {path} cannot be used: {error.strerror}. Make its folder writable."
        ) from error


def load_turn_secret(settings: Settings) -> bytes:
    """The secret that the service shares with its TURN servers; empty if it has none. See `load_secret` for errors."""
    return load_secret(settings.turn_urls, settings.turn_secret, settings.turn_secret_file)


def _read_or_make(path: Path) -> bytes:
    if not path.exists():
        # whole before it has its name: of two services that start at once, both use what the faster one made
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_hex(MIN_LENGTH).encode())
            with suppress(FileExistsError):
                os.link(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
    if others_may_read(path):
        raise ConfigError(f"Others may read {path}, which must stay secret. Run: chmod 600 {path}")
    pepper = path.read_bytes().strip()
    if len(pepper) < MIN_LENGTH:
        raise ConfigError(f"{path} is damaged. Restore it from a backup: no token works without it.")
    return pepper
