"""A job's events and log, as they come, up to its end."""

import asyncio
from collections.abc import AsyncIterator

from sleap_rtc.protocol.jobs import Event, StateChanged

from .events import EventReader, last_seq, read_events, read_log
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
            for event in events:
                if isinstance(event.body, StateChanged):
                    # an end in the history is none where a next attempt follows it
                    ended = not follow or event.body.state.ended
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
    if not folder.path.exists():
        return True
    # the journal is ahead of the state file for a moment, also where a next attempt begins
    return folder.state().state.ended and tells_end(folder)


def tells_end(folder: JobFolder) -> bool:
    """Whether the journal's last word is the job's end."""
    last = read_events(folder.events, max(0, last_seq(folder.events) - 1))
    return not last or not isinstance(last[-1].body, StateChanged) or last[-1].body.state.ended
