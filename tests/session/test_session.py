"""What a link promises, over peers in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from sleap_rtc.errors import (
    AuthenticationError,
    ConnectionLost,
    NotFoundError,
    PackageError,
    ProtocolError,
    SleapRTCError,
    UnreachableError,
)
from sleap_rtc.protocol.codec import ErrorInfo, Message
from sleap_rtc.protocol.files import ManifestGet
from sleap_rtc.protocol.frames import HEADER_SIZE, MAX_PAYLOAD, USUAL_FRAME, Frame
from sleap_rtc.protocol.jobs import JobCommand, JobShow
from sleap_rtc.protocol.link import Done
from sleap_rtc.protocol.signaling import Answer, Offer, Reject
from sleap_rtc.protocol.streams import FIRST_WINDOW, FULL_WINDOW
from sleap_rtc.session.requests import MAX_REQUESTS
from sleap_rtc.session.session import Session
from sleap_rtc.session.streams import ReceiveStream, SendStream
from sleap_rtc.transport.memory import MemoryPeer
from tests.session.linked import SHORT, STEADY, linked, meeting

STOP = JobCommand(job="j_12345678", command="stop")


async def ok(session: Session, message: Message) -> Message:
    return Done()


async def test_a_request_is_answered() -> None:
    async with meeting(worker_handlers={JobCommand: ok}) as found, linked(found) as (client, _):
        assert await client.request(STOP, Done)


async def test_both_sides_may_ask() -> None:
    async with meeting(client_handlers={JobCommand: ok}) as found, linked(found) as (_, worker):
        assert await worker.request(STOP, Done)


async def test_an_error_of_the_handler_reaches_the_asker_as_itself() -> None:
    async def refuse(session: Session, message: Message) -> Message:
        raise PackageError("It has no labels. Add some.")

    async with meeting(worker_handlers={JobCommand: refuse}) as found, linked(found) as (client, _):
        with pytest.raises(PackageError, match="no labels"):
            await client.request(STOP, Done)


async def test_a_bug_in_a_handler_costs_an_answer_not_the_link(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(session: Session, message: Message) -> Message:
        raise ZeroDivisionError

    async with meeting(worker_handlers={JobCommand: broken, JobShow: ok}) as found, linked(found) as (client, _):
        with pytest.raises(Exception, match="failed inside"):
            await client.request(STOP, Done)
        assert await client.request(JobShow(job="j_12345678"), Done)
    assert "ZeroDivisionError" in caplog.text


async def test_a_request_nobody_handles_is_refused() -> None:
    async with meeting() as found, linked(found) as (client, _):
        with pytest.raises(ProtocolError, match=r"does not answer job\.command"):
            await client.request(STOP, Done)


async def test_a_request_without_answer_times_out() -> None:
    async def never(session: Session, message: Message) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async with meeting(worker_handlers={JobCommand: never}) as found, linked(found) as (client, _):
        with pytest.raises(UnreachableError, match="did not answer"):
            await client.request(STOP, Done, timeout=0.05)


async def test_leaving_says_bye_and_the_other_side_knows_why() -> None:
    async with meeting() as found:
        async with linked(found) as (_, worker):
            closed = asyncio.ensure_future(worker.wait_closed())
        assert "other side closed the link" in str(await closed)


async def test_whoever_is_sent_away_is_told_why_and_served_nothing_more() -> None:
    asked = asyncio.Event()

    async def note(session: Session, message: Message) -> Message:
        asked.set()
        await asyncio.Event().wait()
        return Done()

    async with meeting(worker_handlers={JobCommand: note}) as found, linked(found) as (client, worker):
        asking = asyncio.ensure_future(client.request(STOP, Done))
        await asked.wait()
        worker.dismiss(AuthenticationError("You were removed from the room."))
        worker.dismiss(AuthenticationError("Too late."))
        with pytest.raises(AuthenticationError, match="were removed"):
            await asking
        assert isinstance(await client.wait_closed(), AuthenticationError)
        assert "were removed" in str(await worker.wait_closed())


async def test_whoever_does_not_listen_when_sent_away_is_served_nothing_either(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Message] = []

    async def note(session: Session, message: Message) -> Message:
        asked.append(message)
        return Done()

    async with meeting(worker_handlers={JobCommand: note}) as found, linked(found) as (client, worker):
        monkeypatch.setattr(client._requests, "take_request", lambda message: None)  # it never says that it heard
        worker.dismiss(AuthenticationError("You were removed from the room."))
        with suppress(SleapRTCError):
            await client.request(STOP, Done, timeout=SHORT.bye)
        assert "were removed" in str(await worker.wait_closed())
        assert asked == []


async def test_a_silent_peer_is_noticed_by_our_keepalive() -> None:
    async with meeting() as found, linked(found) as (client, worker):
        for peer in found.peers:
            assert isinstance(peer, MemoryPeer)
            peer.channel.link.mute()
        assert "Nothing was heard" in str(await client.wait_closed())
        assert "Nothing was heard" in str(await worker.wait_closed())


async def test_a_lost_link_fails_what_waits_on_it() -> None:
    asked = asyncio.Event()

    async def never(session: Session, message: Message) -> Message:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with meeting(worker_handlers={JobCommand: never}) as found, linked(found) as (client, _):
        request = asyncio.ensure_future(client.request(STOP, Done))
        await client.slot(2**30)  # the first one is served whatever its size, and the next has to wait
        reading = asyncio.ensure_future(client.slot(1))
        await asked.wait()
        peer = found.peers[0]
        assert isinstance(peer, MemoryPeer)
        peer.channel.link.cut()
        with pytest.raises(ConnectionLost):
            await request
        with pytest.raises(ConnectionLost):
            await reading
        with pytest.raises(ConnectionLost):
            await client.request(STOP, Done)


async def send_bytes(_: Session, message: ManifestGet, stream: SendStream) -> None:
    """Stream a number of megabytes, taken from the transfer's name."""
    await stream.write(bytes(range(256)) * 4096 * int(message.transfer))


@asynccontextmanager
async def asked(session: Session, transfer: str, window: int = FIRST_WINDOW) -> AsyncIterator[ReceiveStream]:
    """Ask for a stream of megabytes."""
    with await session.slot(window) as slot:
        async with session.ask(slot, ManifestGet, transfer=transfer) as stream:
            yield stream


async def test_a_stream_arrives_whole_and_in_order_whatever_its_size() -> None:
    async with (
        meeting(worker_producers={ManifestGet: send_bytes}, timeouts=STEADY) as found,
        linked(found) as (client, _),
    ):
        for size in (0, 1, 20):
            async with asked(client, str(size)) as stream:
                assert await stream.read_all(2**30) == bytes(range(256)) * 4096 * size


async def test_a_reader_that_stops_reading_holds_the_sender_at_its_window() -> None:
    sent = 0

    async def send_for_ever(session: Session, message: Message, stream: SendStream) -> None:
        nonlocal sent
        while True:
            await stream.write(bytes(MAX_PAYLOAD))
            sent += MAX_PAYLOAD

    async with (
        meeting(worker_handlers={JobShow: ok}, worker_producers={ManifestGet: send_for_ever}) as found,
        linked(found) as (client, _),
        asked(client, "x") as stream,
    ):
        assert await stream.read()
        for _ in range(50):  # control goes on while the stream stands still
            await client.request(JobShow(job="j_12345678"), Done)
        assert 0 < sent <= 2 * FULL_WINDOW


async def test_a_receiver_that_stops_early_ends_only_its_stream() -> None:
    async with (
        meeting(worker_handlers={JobShow: ok}, worker_producers={ManifestGet: send_bytes}) as found,
        linked(found) as (client, _),
    ):
        async with asked(client, "20") as stream:
            assert await stream.read()
        assert await client.request(JobShow(job="j_12345678"), Done)


async def test_an_error_of_a_producer_reaches_the_reader_as_itself() -> None:
    async def refuse(session: Session, message: Message, stream: SendStream) -> None:
        raise PackageError("It has no labels. Add some.")

    async with meeting(worker_producers={ManifestGet: refuse}) as found, linked(found) as (client, _):
        async with asked(client, "1") as stream:
            with pytest.raises(PackageError, match="no labels"):
                await stream.read()
        async with asked(client, "1") as stream:
            with pytest.raises(PackageError):
                await stream.parts()


async def test_a_stream_that_nobody_produces_is_refused() -> None:
    async with meeting() as found, linked(found) as (client, _), asked(client, "1") as stream:
        with pytest.raises(ProtocolError, match=r"does not answer manifest\.get"):
            await stream.read()


@pytest.mark.parametrize(
    "frame",
    [
        Frame(999, 0, b"x").pack(),  # a stream that nobody opened
        Frame(1, 5, b"x").pack(),  # out of order
        b"short",
        b"\x07" + bytes(20),
    ],
    ids=["unknown stream", "out of order", "short", "unknown kind"],
)
async def test_a_wrong_frame_costs_the_link(frame: bytes) -> None:
    async def wrong(session: Session, message: ManifestGet, stream: SendStream) -> None:
        await session._lanes.send(message.lane, [frame])

    async with (
        meeting(worker_producers={ManifestGet: wrong}) as found,
        linked(found) as (client, _),
        asked(client, "1"),
    ):
        assert isinstance(await client.wait_closed(), ProtocolError)


async def test_more_than_the_credit_allows_costs_the_link() -> None:
    async def too_much(session: Session, message: ManifestGet, stream: SendStream) -> None:
        size = USUAL_FRAME - HEADER_SIZE
        frames = [Frame(message.stream, at * size, bytes(size)).pack() for at in range(5)]
        await session._lanes.send(message.lane, frames)

    async with (
        meeting(worker_producers={ManifestGet: too_much}) as found,
        linked(found) as (client, _),
        asked(client, "1"),
    ):
        assert "credit" in str(await client.wait_closed())


async def test_a_worker_that_rejects_is_quoted() -> None:
    async with meeting() as found:

        async def reject() -> None:
            offer = await found.worker.offers.get()
            await found.worker.send(
                Reject(link=offer.link, error=ErrorInfo.of(NotFoundError("No new work is taken here.")))
            )

        rejecting = asyncio.ensure_future(reject())
        with pytest.raises(NotFoundError, match="No new work"):
            async with linked(found):
                pass
        await rejecting


async def test_a_worker_that_never_answers_is_given_up() -> None:
    short = replace(SHORT, connect=0.2)
    async with meeting(timeouts=short, rewrite=lambda m: None if isinstance(m, Answer) else m) as found:
        with pytest.raises(UnreachableError, match=r"did not answer within 0\.2 s"):
            async with linked(found):
                pass


async def test_another_key_than_the_pinned_one_is_refused() -> None:
    async with meeting() as found:
        with pytest.raises(AuthenticationError, match="another key than before"):
            async with linked(found, pinned_key=bytes(32)):
                pass


async def test_a_service_that_swaps_who_dialled_is_refused_on_both_sides() -> None:
    def swap(message: Message) -> Message:
        if isinstance(message, Offer) and message.sender:
            other = message.sender.model_copy(update={"user": "u_mallory0"})
            return message.model_copy(update={"sender": other})
        return message

    async with meeting(rewrite=swap) as found:
        with pytest.raises(AuthenticationError, match="could not prove"):
            async with linked(found):
                pass


async def test_a_peer_that_asks_without_reading_the_answers_costs_its_link(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(session: Session, message: Message) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async with meeting(worker_handlers={JobCommand: never}) as found, linked(found) as (client, worker):
        for number in range(3 * MAX_REQUESTS):
            with suppress(ConnectionLost):
                await client.notify(STOP.model_copy(update={"id": number}))
        assert "keeps asking" in str(await worker.wait_closed())
        assert len(worker._started) <= 2 * MAX_REQUESTS


async def test_a_bug_in_background_work_costs_one_link_only(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    async with meeting() as found, linked(found) as (_, worker):
        worker.start(broken)
        assert "failed inside" in str(await worker.wait_closed())
    assert "ZeroDivisionError" in caplog.text


async def test_a_worker_that_says_nothing_may_be_tried_again() -> None:
    short = replace(SHORT, proof=0.1)
    async with meeting(timeouts=short) as found:

        async def connect_only() -> None:
            offer = await found.worker.offers.get()
            async with found.worker_settings.new_peer() as peer:
                await found.worker.send(Answer(link=offer.link, sdp=await peer.accept_offer(offer.sdp)))
                await asyncio.Event().wait()

        silent = asyncio.ensure_future(connect_only())
        with pytest.raises(UnreachableError, match="did not prove"):
            async with linked(found):
                pass
        silent.cancel()
        await asyncio.wait({silent})


async def test_a_refusal_while_the_service_is_away_leaves_nothing_behind() -> None:
    async with meeting() as found:

        async def away(message: Message) -> None:
            raise ConnectionLost("The service cannot be heard.")

        found.worker._signaler.send = away  # type: ignore[method-assign]
        with found.worker.mailbox("l_12345678"):
            await found.worker.reject("l_12345678", NotFoundError("No."))
            assert not found.worker._mailboxes
