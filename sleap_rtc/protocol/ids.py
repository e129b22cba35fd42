"""One grammar for ids, so that an id from a peer can be a file name here without a second thought."""

import base64
import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator

from sleap_rtc.errors import ProtocolError

PREFIXES = {"room": "r_", "user": "u_", "worker": "w_", "presence": "p_", "link": "l_", "job": "j_"}
_BODY = re.compile(r"[A-Za-z0-9-]{8,64}")
_TOKEN = re.compile(r"t_[0-9a-f]{32}")
_LOGIN = re.compile(r"a_[0-9a-f]{32}")
_INVITE = re.compile(r"i_[0-9a-f]{32}")


def is_id(kind: str, text: str) -> bool:
    """Tell whether `text` is an id of `kind` (a key of `PREFIXES`): its prefix and 8 to 64 of ``[A-Za-z0-9-]``."""
    prefix = PREFIXES[kind]
    return text.startswith(prefix) and _BODY.fullmatch(text[len(prefix) :]) is not None


def is_token_id(text: str) -> bool:
    """Tell whether `text` is what the service calls a token by in lists; it is not the token, and no secret."""
    return _TOKEN.fullmatch(text) is not None


def is_login_id(text: str) -> bool:
    """Tell whether `text` is what the service calls a login by in lists."""
    return _LOGIN.fullmatch(text) is not None


def is_invite_id(text: str) -> bool:
    """Tell whether `text` is what the service calls an invite by in lists; it is not its code, and no secret."""
    return _INVITE.fullmatch(text) is not None


def check_id(kind: str, text: str) -> str:
    """Return `text` if it is an id of `kind`.

    Raises:
        ProtocolError: if it is not.
    """
    if not is_id(kind, text):
        raise ProtocolError(f"That is not a {kind} id: it must be {PREFIXES[kind]} and 8 to 64 letters, digits or '-'.")
    return text


def new_id(kind: str, randomness: bytes) -> str:
    """Make an id of `kind` from at least 10 random bytes."""
    return PREFIXES[kind] + base64.b32encode(randomness).decode().rstrip("=").lower()


def worker_id_from_key(public_key: bytes) -> str:
    """Derive a worker's id from its raw Ed25519 public key (32 bytes)."""
    digest = hashlib.sha256(public_key).digest()
    return PREFIXES["worker"] + base64.b32encode(digest).decode()[:26]


def _validator(kind: str) -> AfterValidator:
    def check(text: str) -> str:
        if not is_id(kind, text):
            raise ValueError(f"not a {kind} id")
        return text

    return AfterValidator(check)


RoomId = Annotated[str, _validator("room")]
UserId = Annotated[str, _validator("user")]
WorkerId = Annotated[str, _validator("worker")]
PresenceId = Annotated[str, _validator("presence")]
LinkId = Annotated[str, _validator("link")]
JobId = Annotated[str, _validator("job")]
