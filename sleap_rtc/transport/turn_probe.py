"""Does a relay lend an address here, and if not, why? Asked without an engine, which would not say."""

import asyncio
import ssl
from dataclasses import dataclass
from enum import StrEnum

from aioice import stun
from aioice.turn import create_turn_endpoint

from sleap_rtc.transport.turn_urls import TurnServer

UNAUTHORIZED = (401, 403, 441)
QUOTA, FULL = 486, 508


class Outcome(StrEnum):
    """How a relay answered."""

    LENT = "lent an address"
    REFUSED = "refused the credentials"
    BUSY = "has lent all that it may"
    SILENT = "does not answer"
    UNTRUSTED = "has a certificate that is not trusted here"
    BROKEN = "answers as no TURN server does"


@dataclass(frozen=True)
class Probe:
    """What became of asking a relay for an address.

    Attributes:
        server: which one was asked, and how.
        outcome: how it answered.
        reason: its own words, or the system's, if there are any.
    """

    server: TurnServer
    outcome: Outcome
    reason: str = ""


async def probe(server: TurnServer, seconds: float) -> Probe:
    """Ask a relay for an address, and give it back.

    Args:
        server: which one, and how.
        seconds: how long it may take.
    """
    try:
        async with asyncio.timeout(seconds):
            transport, lent = await create_turn_endpoint(
                _Lent,
                (server.host, server.port),
                username=server.username,
                password=server.credential,
                ssl=server.carrier == "tls",
                transport="udp" if server.carrier == "udp" else "tcp",
            )
            transport.close()
            await lent.returned.wait()
    except stun.TransactionFailed as error:
        code, reason = error.response.attributes.get("ERROR-CODE", (0, ""))
        return Probe(server, _meaning(code), str(reason))
    except (TimeoutError, stun.TransactionTimeout):
        return Probe(server, Outcome.SILENT)
    except ssl.SSLCertVerificationError as error:
        return Probe(server, Outcome.UNTRUSTED, error.verify_message)
    except ssl.SSLError as error:
        return Probe(server, Outcome.BROKEN, error.reason or "")
    except OSError as error:
        return Probe(server, Outcome.SILENT, error.strerror or "")
    except (ValueError, stun.TransactionError) as error:
        return Probe(server, Outcome.BROKEN, str(error))
    return Probe(server, Outcome.LENT)


class _Lent(asyncio.DatagramProtocol):
    """A lent address that nobody uses."""

    def __init__(self) -> None:
        self.returned = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.returned.set()


def _meaning(code: int) -> Outcome:
    if code in UNAUTHORIZED:
        return Outcome.REFUSED
    return Outcome.BUSY if code in (QUOTA, FULL) else Outcome.BROKEN
