"""One WebSocket to the service: text in, text out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, ProtocolError
from sleap_rtc.protocol.codec import MAX_MESSAGE, Message
from sleap_rtc.protocol.signaling import SIGNALING, SUBPROTOCOL
from sleap_rtc.signaling.address import ServiceAddress, tls_context


class Socket:
    """An open WebSocket.

    Args:
        connection: the library's.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        """Send one message.

        Raises:
            ConnectionLost: if the socket is closed.
        """
        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise ConnectionLost("The connection to the signaling service was lost.") from error

    async def receive(self) -> Message | None:
        """The next message; None for one of a type we do not know.

        Raises:
            ConnectionClosed: of the websockets library, for `classify` to judge.
            ProtocolError: if something arrived that is no message.
        """
        text = await self._connection.recv()
        if not isinstance(text, str):
            raise ProtocolError("The signaling service sent bytes where text is spoken.")
        return SIGNALING.decode(text)


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        # the credential goes to the address it was made for, and to no other
        return exc


@asynccontextmanager
async def open_socket(
    address: ServiceAddress, token: str, timeouts: Timeouts, room: str | None = None
) -> AsyncIterator[Socket]:
    """Open a WebSocket with the credential in its handshake; closed when the block ends.

    Args:
        address: where the service is.
        token: the credential.
        timeouts: waiting times.
        room: the id of the room to enter, if it is to be named.

    Raises:
        OSError: as the network says, and the websockets library's errors: `classify` judges them.
    """
    async with open_connection(address, token, timeouts, room) as connection:
        yield Socket(connection)


def open_connection(address: ServiceAddress, token: str, timeouts: Timeouts, room: str | None = None) -> connect:
    """The same, as the library's own connection: for whoever passes on what it does not read."""
    return _Connect(
        address.websocket + ("" if room is None else f"?room={room}"),
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        additional_headers={"Authorization": f"Bearer {token}"},
        compression=None,
        # a proxy is for the world outside, not for this machine
        proxy=None if address.local else True,
        open_timeout=timeouts.connect,
        close_timeout=timeouts.close,
        max_size=MAX_MESSAGE,
        ssl=tls_context(address),
    )
