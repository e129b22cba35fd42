"""Which failures of the service's WebSocket are final. Pure: an exception in, a verdict out."""

import ssl
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from sleap_rtc.errors import (
    AuthenticationError,
    ConflictError,
    ConnectionLost,
    ProtocolError,
    SleapRTCError,
    StorageError,
    UnreachableError,
)
from sleap_rtc.protocol.codec import ErrorInfo, parse_json
from sleap_rtc.protocol.signaling import CLOSE_REPLACED, CLOSE_RESTART, CLOSE_REVOKED, CLOSE_UNPROVEN
from sleap_rtc.protocol.text import printable


@dataclass(frozen=True)
class Verdict:
    """What a failure means.

    Attributes:
        error: the failure as one of ours.
        final: whether trying again is pointless.
    """

    error: SleapRTCError
    final: bool


class _ErrorBody(BaseModel):
    error: ErrorInfo


def classify(error: BaseException, url: str) -> Verdict:
    """Judge why the WebSocket did not open, or ended.

    Args:
        error: what the network library, or reading a message, raised.
        url: the service's address, for the sentence.
    """
    if isinstance(error, InvalidStatus):
        return _refused(error, url)
    if isinstance(error, ConnectionClosed):
        return _closed(error, url)
    if isinstance(error, SleapRTCError):
        # a service out of reach comes back, and so does room on a disk where a renewed login is to be kept
        return Verdict(error, final=not isinstance(error, UnreachableError | StorageError))
    if isinstance(error, InvalidHandshake):
        return Verdict(not_ours(url), final=False)
    return Verdict(unreachable(url, error), final=False)


def unreachable(url: str, error: BaseException) -> UnreachableError:
    """The sentence for a service that does not answer."""
    cause: BaseException | None = error
    while cause is not None:  # HTTP libraries wrap what the socket said
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UnreachableError(
                f"{url} shows a certificate that is not valid for it ({printable(str(cause))}), "
                "so nothing was sent. Check the address."
            )
        cause = cause.__cause__ or cause.__context__
    return UnreachableError(
        f"The signaling service at {url} cannot be reached. Check the address, or start a service: sleap-rtc server"
    )


def not_ours(url: str) -> UnreachableError:
    """The sentence for an address where some other program answers."""
    return UnreachableError(
        f"Something listens at {url}, but it is not a sleap-rtc service. Check the address and the port."
    )


def error_in(body: bytes | bytearray | None) -> SleapRTCError | None:
    """The error an HTTP answer of the service carries; None if the answer is not ours."""
    try:
        return _ErrorBody.model_validate(parse_json(bytes(body or b"").decode())).error.as_exception()
    except (ValidationError, ProtocolError, UnicodeDecodeError):
        return None


def _refused(error: InvalidStatus, url: str) -> Verdict:
    reason = error_in(error.response.body)
    if reason is None:
        return Verdict(not_ours(url), final=False)
    # a refused credential, room or version stays refused; a busy or failing service recovers
    return Verdict(reason, final=error.response.status_code in (400, 401, 403, 404, 409, 422))


def _closed(error: ConnectionClosed, url: str) -> Verdict:
    code = error.rcvd.code if error.rcvd else None
    reason = printable(error.rcvd.reason) if error.rcvd else ""
    if code == CLOSE_REPLACED:
        return Verdict(
            ConflictError(
                "This worker was started again somewhere else with the same identity, and the newer one took over. "
                "Stop one of them, or give this one a SLEAP_RTC_HOME of its own."
            ),
            final=True,
        )
    if code in (CLOSE_UNPROVEN, CLOSE_REVOKED):
        return Verdict(AuthenticationError(reason or "The service no longer accepts this credential."), final=True)
    if code == CLOSE_RESTART:
        return Verdict(ConnectionLost(f"The signaling service at {url} restarts."), final=False)
    return Verdict(ConnectionLost(f"The connection to the signaling service at {url} was lost."), final=False)
