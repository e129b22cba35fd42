"""The worker's key: made at first start, the root of its id, shown to nobody."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sleap_rtc.config.paths import home, write_private
from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.ids import worker_id_from_key


@dataclass(frozen=True)
class Identity:
    """An installation's Ed25519 key pair (RFC 8032)."""

    private_key: Ed25519PrivateKey

    @property
    def public_key(self) -> bytes:
        """The raw public key, 32 bytes."""
        return self.private_key.public_key().public_bytes_raw()

    @property
    def worker_id(self) -> str:
        """The id made of the public key."""
        return worker_id_from_key(self.public_key)

    def sign(self, data: bytes) -> bytes:
        """Sign `data`: 64 bytes."""
        return self.private_key.sign(data)


def load_identity(folder: Path | None = None) -> Identity:
    """Read this installation's key, making it the first time.

    Args:
        folder: where it lies; ``identity/`` in our home by default.

    Raises:
        ConfigError: if the file is damaged, or readable by others.
    """
    path = (folder or home() / "identity") / "worker.key"
    try:
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(
                f"The worker's key {path} can be read by others: run 'chmod 600 {path}', then start again."
            )
        return Identity(Ed25519PrivateKey.from_private_bytes(path.read_bytes()))
    except FileNotFoundError:
        identity = Identity(Ed25519PrivateKey.generate())
        write_private(path, identity.private_key.private_bytes_raw())
        return identity
    except ValueError as error:
        raise ConfigError(
            f"The worker's key {path} is damaged. Restore it from a backup, or remove it and be a new worker."
        ) from error
