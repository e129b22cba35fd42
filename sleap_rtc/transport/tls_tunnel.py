"""TLS to relays for libwebrtc: it trusts only the authorities that it was built with, this machine's count here.

libwebrtc speaks plain TURN over TCP to a port of this machine, and what it says goes on over TLS. Whoever else on this
machine finds that port gets to the relay's own front door, and no further.
"""

import asyncio
import logging
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from contextlib import suppress

from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.transport.turn_urls import TurnServer, turn_server

log = logging.getLogger(__name__)

PIECE = 64 * 1024


class TlsTunnels:
    """The tunnels of one connection.

    Attributes:
        urls: what stands for relays over TLS, once they are open.
    """

    def __init__(self) -> None:
        self.urls: set[str] = set()
        self._listening: list[asyncio.Server] = []
        self._passing: set[asyncio.Task[None]] = set()

    async def instead_of(self, servers: Sequence[IceServer]) -> list[IceServer]:
        """The same servers, with a tunnel in the place of each address that wants TLS."""
        return [
            server.model_copy(update={"urls": [await self._replaced(server, url) for url in server.urls]})
            for server in servers
        ]

    async def close(self) -> None:
        """Close all of them, and what goes through them."""
        for server in self._listening:
            server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _replaced(self, server: IceServer, url: str) -> str:
        relay = turn_server(server, url)
        if relay is None or relay.carrier != "tls":
            return url

        def accept(reader: StreamReader, writer: StreamWriter) -> None:
            # `close` owns it
            task = asyncio.create_task(_pass_on(relay, reader, writer))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)
            # also where it was cancelled before it began
            task.add_done_callback(lambda _: writer.transport.abort())

        listening = await asyncio.start_server(accept, "127.0.0.1", 0)
        self._listening.append(listening)
        tunnel = f"turn:127.0.0.1:{listening.sockets[0].getsockname()[1]}?transport=tcp"
        self.urls.add(tunnel)
        return tunnel


async def _pass_on(relay: TurnServer, reader: StreamReader, writer: StreamWriter) -> None:
    """Join the engine's connection to one over TLS, until either ends."""
    try:
        far_reader, far_writer = await asyncio.open_connection(relay.host, relay.port, ssl=True)
        try:
            async with asyncio.TaskGroup() as tasks:
                ways = [tasks.create_task(_pipe(*each)) for each in ((reader, far_writer), (far_reader, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            far_writer.transport.abort()  # to say goodbye would take as long as the relay likes
            with suppress(OSError):
                await far_writer.wait_closed()
    except OSError as error:  # ssl's are among them
        log.debug("No TLS to the relay %s: %s", relay.url, error)


async def _pipe(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
