"""The secret that the members of a room share and the service never sees: its form, its public name, its keys.

A secret is always generated, never chosen, so that nobody can try secrets against a proof that was recorded. Its text
carries its epoch, which is the second in which it was made: whoever holds two of a room knows the newer one without
asking anybody.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.base62 import CHECKSUM_LENGTH, base62, checksum, from_base62
from sleap_rtc.protocol.hello import SecretName

PREFIX = "slrs_"
KEY_BYTES = 32
MAX_EPOCH = 2**32 - 1

_EPOCH_BYTES = 4
_BODY_LENGTH = 49
"""Digits of base62 that 36 bytes need."""
_TAIL = re.compile(rf"[0-9A-Za-z]{{{_BODY_LENGTH + CHECKSUM_LENGTH}}}")


@dataclass(frozen=True)
class RoomSecret:
    """A secret of a room.

    Attributes:
        key: 32 random bytes.
        epoch: when it was made, in seconds since 1970 (u32); always more than that of the one it replaced.
    """

    key: bytes = field(repr=False)
    epoch: int

    @classmethod
    def make(cls, randomness: bytes, epoch: int) -> "RoomSecret":
        """Make a secret of 32 random bytes.

        Raises:
            ValueError: if there are more or fewer, or the epoch is none that a secret can have.
        """
        if len(randomness) != KEY_BYTES or not 0 < epoch <= MAX_EPOCH:
            raise ValueError(f"a room secret needs {KEY_BYTES} random bytes and an epoch of 1 to {MAX_EPOCH}")
        return cls(randomness, epoch)

    @classmethod
    def parse(cls, text: str) -> "RoomSecret":
        """Read a secret that somebody pasted.

        Raises:
            ConfigError: if it is not one that sleap-rtc made, cut short or mistyped. The sentence does not quote it.
        """
        line = text.strip()
        tail = line.removeprefix(PREFIX)
        if tail == line:
            raise _refused("a room secret begins with slrs_ and this does not")
        if not _TAIL.fullmatch(tail) or checksum(line[:-CHECKSUM_LENGTH]) != line[-CHECKSUM_LENGTH:]:
            raise _refused("a character is missing, changed or too many")
        number = from_base62(tail[:_BODY_LENGTH])
        epoch, key = number >> 8 * KEY_BYTES, (number % 2 ** (8 * KEY_BYTES)).to_bytes(KEY_BYTES, "big")
        if not 0 < epoch <= MAX_EPOCH or key == NO_SECRET.key:
            raise _refused("sleap-rtc never makes one like this")
        return cls(key, epoch)

    @property
    def text(self) -> str:
        """The line that people hand on: ``slrs_``, base62 of epoch and key, and a checksum."""
        number = int.from_bytes(self.epoch.to_bytes(_EPOCH_BYTES, "big") + self.key, "big")
        body = PREFIX + base62(number, _BODY_LENGTH)
        return body + checksum(body)

    def name_in(self, room: str) -> SecretName:
        """What tells the members of `room` which secret is meant; it tells others nothing."""
        digest = hmac.digest(_salt(room), b"secret id" + self.key, "sha256")
        return SecretName(epoch=self.epoch, id=digest[:8].hex())

    def proof_key(self, room: str, role: str) -> bytes:
        """The key of one role's proof in `room`: HKDF-SHA256 of the secret, 32 bytes.

        Args:
            room: the room's id.
            role: ``client`` or ``worker``.
        """
        pseudorandom_key = hmac.digest(_salt(room), self.key, "sha256")
        return HKDFExpand(algorithm=SHA256(), length=32, info=role.encode() + b" proof").derive(pseudorandom_key)


NO_SECRET = RoomSecret(bytes(KEY_BYTES), 0)
"""What a room without a secret has in its place."""


def newest_common(own: Iterable[RoomSecret], theirs: Iterable[SecretName], room: str) -> RoomSecret | None:
    """Choose the secret for a link.

    Args:
        own: the secrets known here.
        theirs: the names of those that the other side knows.
        room: the room's id.

    Returns:
        The newest that both know; `NO_SECRET` if neither knows any; None if there is none in common.
    """
    known, named = sorted(own, key=lambda secret: secret.epoch, reverse=True), frozenset(theirs)
    if not known and not named:
        return NO_SECRET
    return next((secret for secret in known if secret.name_in(room) in named), None)


def with_epoch(own: Iterable[RoomSecret], epoch: int) -> RoomSecret | None:
    """The secret of `own` that the other side chose by its epoch; None if it may not choose that.

    Epoch 0 stands for no secret, and may be chosen only where there is none.
    """
    known = {secret.epoch: secret for secret in own} or {0: NO_SECRET}
    return known.get(epoch)


def _salt(room: str) -> bytes:
    return hashlib.sha256(b"sleap-rtc room" + room.encode()).digest()


def _refused(reason: str) -> ConfigError:
    return ConfigError(
        f"That is no room secret: {reason}. Secrets are made by sleap-rtc and never chosen. Copy the whole line, or "
        "make one: sleap-rtc room create-secret ROOM"
    )
