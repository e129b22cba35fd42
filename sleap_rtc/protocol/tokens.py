"""The form of every credential: a prefix that says its kind, 178 random bits, and a checksum against typing errors.

The checksum lets a client refuse a mistyped token without asking anyone; it proves nothing about who made it.
"""

import re
from typing import Literal, get_args

from sleap_rtc.errors import AuthenticationError
from sleap_rtc.protocol.base62 import CHECKSUM_LENGTH, base62, checksum

TokenKind = Literal["worker", "access", "refresh", "cookie", "invite", "enrolment", "session", "ticket"]

PREFIXES: dict[TokenKind, str] = {
    "worker": "slp_",
    "access": "slpu_",
    "refresh": "slpr_",
    "cookie": "slpc_",
    "enrolment": "slpe_",
    "invite": "slri_",
    "session": "slps_",
    "ticket": "slpt_",
}
"""The first characters of a token of each kind."""

DEVICE_CODE_PREFIX = "slpd_"
"""The first characters of what a command line that logs in asks with: no token, but as secret."""

BODY_LENGTH = 30
RANDOM_BYTES = 32
"""Random bytes `make_token` wants: more than the 178 bits it keeps, so that the remainder is even."""

MAX_GRACE_HOURS = 30 * 24
"""How long a token that was replaced can still work."""

_TAIL = re.compile(rf"[0-9A-Za-z]{{{BODY_LENGTH + CHECKSUM_LENGTH}}}")
# slrs_ is the room secret: never a token, never in a log either
_SECRETS = re.compile(
    r"(?<![0-9A-Za-z])(sl(?:p[urcestd]?|r[is])_)[0-9A-Za-z]{4,}"
    r"|(sleap-session:)[0-9A-Za-z+/=_-]+"
    r"|(bearer\s+)[^\s\"',;]+",
    re.IGNORECASE,
)


def make_token(kind: TokenKind, randomness: bytes) -> str:
    """Make a token of `kind` from at least `RANDOM_BYTES` random bytes."""
    if len(randomness) < RANDOM_BYTES:
        raise ValueError(f"a token needs {RANDOM_BYTES} random bytes")
    body = PREFIXES[kind] + base62(int.from_bytes(randomness, "big") % 62**BODY_LENGTH, BODY_LENGTH)
    return body + checksum(body)


def check_token(text: str) -> TokenKind:
    """Tell the kind of a token by its form alone.

    Raises:
        AuthenticationError: if it is no token of ours, cut short, or mistyped.
    """
    prefix, underscore, tail = text.partition("_")
    for kind in get_args(TokenKind):
        if prefix + underscore == PREFIXES[kind] and _TAIL.fullmatch(tail):
            if checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]:
                found: TokenKind = kind
                return found
            break
    raise AuthenticationError("That token is not whole: a character is missing or changed. Copy it again.")


def redact(text: str) -> str:
    """Return `text` with every token, room secret and session string cut down to its kind."""
    return _SECRETS.sub(lambda match: next(group for group in match.groups() if group) + "…", text)
