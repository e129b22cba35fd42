"""Runs a proof core over a channel."""

import asyncio
from contextlib import suppress

from sleap_rtc.errors import ConnectionLost, UnreachableError
from sleap_rtc.protocol.proof import ClientExchange, Failed, Proven, WorkerExchange
from sleap_rtc.transport.channel import Channel

_LINGER = 1.0


async def prove(channel: Channel, exchange: ClientExchange | WorkerExchange, *, timeout: float) -> Proven:
    """Carry the hellos and proofs of a fresh connection; nothing else is read from it before.

    Args:
        channel: the open control channel.
        exchange: this end's side of the proof.
        timeout: seconds until a silent peer is given up.

    Raises:
        AuthenticationError: if the other side could not prove itself.
        UnreachableError: if it said nothing in time: that is no refusal, and may be tried again.
        ProtocolError: if it speaks another version, or nonsense.
        ConnectionLost: if the channel ended.
    """
    try:
        async with asyncio.timeout(timeout):
            while True:
                for text in exchange.messages_to_send():
                    await channel.send(text)
                for event in exchange.events_received():
                    if isinstance(event, Failed):
                        await _linger(channel)
                        raise event.error
                    return event
                message = await channel.receive()
                # a binary message can be no proof: as text that never parses it fails like any other nonsense
                exchange.receive_message(message if isinstance(message, str) else "")
    except TimeoutError:
        raise UnreachableError(
            f"The other side did not prove who it is within {timeout:g} s, so the link was closed. Try again."
        ) from None


async def _linger(channel: Channel) -> None:
    # closing drops what is queued, and the reason we just sent with it: give the other side a moment to hang up
    with suppress(ConnectionLost, TimeoutError):
        async with asyncio.timeout(_LINGER):
            await channel.receive()
