"""A link that outlives its connections."""

import asyncio
from dataclasses import replace

import pytest

from sleap_rtc.client.link import LinkState, WorkerLink
from sleap_rtc.client.watch import Watch
from sleap_rtc.errors import AuthenticationError, NotFoundError, ProtocolError, UnreachableError
from sleap_rtc.protocol.codec import ErrorInfo, Message
from sleap_rtc.protocol.jobs import (
    EpochStarted,
    Event,
    JobCommand,
    JobEvents,
    JobLog,
    JobState,
    JobWatchEnded,
    StateChanged,
)
from sleap_rtc.protocol.link import Done
from sleap_rtc.session.session import Session
from sleap_rtc.transport.memory import MemoryPeer
from tests.session.linked import CLIENT, SHORT, Meeting, accepting, meeting

STOP = JobCommand(job="j_12345678", command="stop")


async def ok(session: Session, message: Message) -> Message:
    return Done()


def cut(found: Meeting) -> None:
    for peer in found.peers:
        assert isinstance(peer, MemoryPeer)
        if hasattr(peer.channel, "link"):
            peer.channel.link.cut()


def worker_link(found: Meeting, states: list[LinkState]) -> WorkerLink:
    """A client's link to the worker of this meeting, which notes its states."""
    return WorkerLink(
        found.client,
        lambda: CLIENT,
        found.identity.worker_id,
        found.client_settings,
        acquaintance=None,
        on_state=lambda state, reason: states.append(state),
    )


async def test_a_call_on_a_link_that_drops_is_made_again_on_the_next() -> None:
    states: list[LinkState] = []
    calls = 0

    async def drop_once(session: Session, message: Message) -> Message:
        nonlocal calls
        calls += 1
        if calls == 1:
            cut(found)
            await asyncio.Event().wait()
        return Done()

    async with meeting(worker_handlers={JobCommand: drop_once}) as found, accepting(found):
        link = worker_link(found, states)
        running = asyncio.ensure_future(link.run())
        assert await link.call(lambda session: session.request(STOP, Done))
        running.cancel()
        await asyncio.wait({running})
    assert calls == 2
    assert states == [LinkState.CONNECTED, LinkState.LOST, LinkState.RESTORED]


async def test_a_link_that_comes_and_goes_is_given_up_and_is_no_storm() -> None:
    states: list[LinkState] = []
    timeouts = replace(SHORT, give_up=0.5, reconnect_first=0.05)
    async with meeting(timeouts=timeouts) as found, accepting(found, hang_up=True):
        link = worker_link(found, states)
        await link.run()
        with pytest.raises(UnreachableError, match="could not be reached again"):
            await link.session()
    assert len(states) < 30


async def test_a_link_from_which_we_were_sent_away_is_not_dialled_again() -> None:
    states: list[LinkState] = []

    async def send_away(session: Session, message: Message) -> Message:
        session.dismiss(AuthenticationError("You were removed from the room."))
        await asyncio.Event().wait()
        return Done()

    async with meeting(worker_handlers={JobCommand: send_away}) as found, accepting(found):
        link = worker_link(found, states)
        running = asyncio.ensure_future(link.run())
        with pytest.raises(AuthenticationError, match="were removed"):
            await link.call(lambda session: session.request(STOP, Done))
        await running
        with pytest.raises(AuthenticationError, match="were removed"):
            await link.session()
    assert states == [LinkState.CONNECTED]


def events(*numbers: int, last: JobState | None = None) -> JobEvents:
    bodies = [EpochStarted(epoch=number) for number in numbers]
    found = [Event(seq=number, t=0, body=body) for number, body in zip(numbers, bodies, strict=True)]
    if last:
        found[-1] = found[-1].model_copy(update={"body": StateChanged(state=last)})
    return JobEvents(watch=1, events=tuple(found))


async def test_a_watch_skips_what_it_saw_and_notices_a_gap() -> None:
    seen: list[int] = []
    watch = Watch("j_12345678", 1, 0, lambda event: seen.append(event.seq), None)
    watch.take(events(1, 2))
    watch.take(events(2, 3))
    assert watch.request.since == 3
    with pytest.raises(ProtocolError):
        watch.take(events(5))
    with pytest.raises(ProtocolError, match="left out"):
        await watch.ended
    assert seen == [1, 2, 3]


async def test_what_the_watcher_raises_ends_its_watch() -> None:
    def broken(event: Event) -> None:
        raise ZeroDivisionError

    watch = Watch("j_12345678", 1, 0, broken, None)
    with pytest.raises(ZeroDivisionError):
        watch.take(events(1))
    with pytest.raises(ZeroDivisionError):
        await watch.ended


async def test_a_watch_ends_with_the_job_and_its_whole_log() -> None:
    log: list[str] = []
    watch = Watch("j_12345678", 1, 0, lambda event: None, log.append)
    watch.take(events(1, last=JobState.DONE))
    assert not watch.ended.done()
    watch.take(JobLog(watch=1, offset=4, text="one\n"))
    watch.take(JobWatchEnded(watch=1))
    assert await watch.ended is JobState.DONE
    assert log == ["one\n"]


async def test_a_watch_that_the_worker_gives_up_says_why() -> None:
    watch = Watch("j_12345678", 1, 0, lambda event: None, None)
    watch.take(JobWatchEnded(watch=1, reason=ErrorInfo.of(NotFoundError("The job was removed."))))
    with pytest.raises(NotFoundError, match="removed"):
        await watch.ended
