"""The one line that pairs a client with a worker: ``sleap-session:`` and base64 of a small JSON object."""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

from sleap_rtc.errors import AuthenticationError, ProtocolError, UsageError
from sleap_rtc.protocol.codec import parse_json
from sleap_rtc.protocol.ids import is_id
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.tokens import check_token

PREFIX = "sleap-session:"
MAX_LENGTH = 4096

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_AGAIN = "Copy the whole line that `sleap-rtc worker` printed, from sleap-session: to its last character."


@dataclass(frozen=True)
class SessionString:
    """What a session string says.

    Attributes:
        room_id: the room both sides meet in.
        token: the client's credential, a token of kind ``session``.
        worker_id: whom to dial.
        server: the signaling service's address; None in strings of other programs, then the default is meant.
        key: SHA-256 of the worker's raw Ed25519 public key, in hex, to pin at once.
    """

    room_id: str
    token: str
    worker_id: str
    server: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"SessionString(room_id={self.room_id!r}, worker_id={self.worker_id!r}, server={self.server!r})"

    def encode(self) -> str:
        """Write the line a user copies."""
        fields = {"r": self.room_id, "t": self.token, "p": self.worker_id, "s": self.server, "k": self.key}
        body = json.dumps({name: value for name, value in fields.items() if value is not None}, separators=(",", ":"))
        return PREFIX + base64.urlsafe_b64encode(body.encode()).decode()

    @classmethod
    def decode(cls, text: str) -> "SessionString":
        """Read a line a user pasted, with either base64 alphabet, padded or not, even if a terminal wrapped it.

        Raises:
            UsageError: if it is not a session string, cut short, or names what cannot be.
        """
        fields = _fields(text)
        room_id, token, worker_id = (_text(fields, name) for name in ("r", "t", "p"))
        if not is_id("room", room_id):
            _refuse(f"it names the room '{_short(room_id)}', and a room id begins with r_.")
        if not is_id("worker", worker_id):
            _refuse(f"it names the worker '{_short(worker_id)}', and a worker id begins with w_.")
        _check_token(token)
        server = None if fields.get("s") is None else _server(_text(fields, "s"))
        key = None if fields.get("k") is None else _key(_text(fields, "k"), worker_id)
        return cls(room_id, token, worker_id, server, key)


def _fields(text: str) -> dict[str, Any]:
    # quotes come along from shells and chat programs, line breaks from narrow terminals
    line = "".join(text.split()).strip("\"'")
    if not line.startswith(PREFIX):
        raise UsageError(f"A session string begins with {PREFIX} and yours does not. {_AGAIN}")
    if len(line) > MAX_LENGTH:
        raise UsageError(f"A session string has at most {MAX_LENGTH} characters and yours has more. {_AGAIN}")
    body = line[len(PREFIX) :].rstrip("=").translate(str.maketrans("+/", "-_"))
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        fields = parse_json(raw.decode())
    except (binascii.Error, ValueError, ProtocolError) as error:
        raise UsageError(f"That session string is cut short or damaged. {_AGAIN}") from error
    if not isinstance(fields, dict):
        _refuse("it does not hold what a session string holds.")
    return fields


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        _refuse(f"its field '{name}' is missing or no text.")
    return value


def _check_token(token: str) -> None:
    try:
        kind = check_token(token)
    except AuthenticationError as error:
        raise UsageError(f"That session string cannot be used: its token is damaged. {_AGAIN}") from error
    if kind != "session":
        _refuse("its token is not one for clients.")


def _server(url: str) -> str:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        whole = whole and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, a bracket that does not close
        whole = False
    if not whole or len(url) > 512 or printable(url) != url or parts.query or parts.fragment:
        _refuse(f"it names the service '{_short(url)}', which is no http or https address.")
    return url


def _key(fingerprint: str, worker_id: str) -> str:
    if not _FINGERPRINT.fullmatch(fingerprint):
        _refuse("its worker key is not 64 hexadecimal digits.")
    # both are derived from the same digest: a string that names one worker and pins another is forged
    if base64.b32encode(bytes.fromhex(fingerprint)).decode()[:26] != worker_id[2:]:
        _refuse("its worker and its worker key do not belong together.")
    return fingerprint


def _short(text: str) -> str:
    return printable(text, limit=40).replace("\n", " ").replace("\t", " ")


def _refuse(reason: str) -> NoReturn:
    raise UsageError(f"That session string cannot be used: {reason} {_AGAIN}")
