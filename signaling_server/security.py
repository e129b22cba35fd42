"""Credentials: how they are hashed, where they are read from, and how they are kept out of logs."""

import hashlib
import hmac
import logging

from sleap_rtc.errors import AuthenticationError
from sleap_rtc.protocol.tokens import TokenKind, check_token, redact

DISPLAYED = 6

UNKNOWN_CREDENTIAL = (
    "The service does not accept this credential: it is missing, mistyped or unknown. "
    "Copy it again, or ask for a new one."
)
"""Said for every wrong credential alike, so that nobody learns which tokens exist."""


def hash_token(pepper: bytes, token: str) -> bytes:
    """What the database stores for `token`."""
    return hmac.digest(pepper, token.encode(), hashlib.sha256)


def display(token: str) -> str:
    """The first characters of `token`, by which a list shows it."""
    return token[: token.index("_") + 1 + DISPLAYED]


def token_kind(text: str) -> TokenKind:
    """What kind of token `text` is by its form.

    Raises:
        AuthenticationError: if it is none; the sentence is that of an unknown one.
    """
    try:
        return check_token(text)
    except AuthenticationError as error:
        raise AuthenticationError(UNKNOWN_CREDENTIAL) from error


def bearer(header: str | None) -> str:
    """The token in an Authorization header.

    Raises:
        AuthenticationError: if there is no header or it holds no bearer token.
    """
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.isascii() or not 1 <= len(token) <= 256:
        raise AuthenticationError(UNKNOWN_CREDENTIAL)
    return token


class RedactingFilter(logging.Filter):
    """Cuts tokens, room secrets and session strings out of log records, tracebacks included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record's text; it is always kept."""
        record.msg = redact(record.getMessage())
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True
