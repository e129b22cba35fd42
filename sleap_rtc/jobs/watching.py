"""A job's events and log, as they come, up to its end."""

import asyncio
from collections.abc import AsyncIterator

from sleap_rtc.protocol.jobs import Event, StateChanged

from .events import EventReader, read_log
from .folder import JobFolder


async def watch_events(
    folder: JobFolder, since: int, pause: float, *, follow: bool = True
) -> AsyncIterator[list[Event]]:
    """The events of a job after number `since`; `pause` is how long to wait where there is nothing new.

    Without `follow` only those that are there.
    """
    reader = EventReader(folder.events, since)
    ended = False
    while not ended:
        # asked before reading: what was written before the end is then read for certain
        ended = not follow or await asyncio.to_thread(_is_over, folder)
        while events := await asyncio.to_thread(reader.read):
            yield events
            ended = ended or any(_ends(event) for event in events)
        if not ended:
            await asyncio.sleep(pause)


async def follow_log(
    folder: JobFolder, offset: int, pause: float, *, follow: bool = True
) -> AsyncIterator[tuple[int, str]]:
    """The log of a job from byte `offset` on, in pieces of (the byte to go on from, text); see `watch_events`."""
    ended = False
    while not ended:
        ended = not follow or await asyncio.to_thread(_is_over, folder)
        while True:
            start = offset
            offset, text = await asyncio.to_thread(read_log, folder.log, start, whole_lines=not ended)
            if offset == start:
                break
            yield offset, text
        if not ended:
            await asyncio.sleep(pause)


def _is_over(folder: JobFolder) -> bool:
    return not folder.path.exists() or folder.state().state.ended


def _ends(event: Event) -> bool:
    return isinstance(event.body, StateChanged) and event.body.state.ended
