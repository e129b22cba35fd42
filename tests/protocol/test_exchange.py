"""What a receiver asks for, by feeding it what arrives."""

import hashlib
import random

import pytest

from sleap_rtc.errors import ProtocolError, TransferError
from sleap_rtc.protocol.chunks import (
    AVERAGE,
    LARGEST_AVERAGE,
    MAX_CHUNK,
    ChunkList,
    average_for,
    max_chunks,
)
from sleap_rtc.protocol.exchange import MOST_FAILURES, FileExchange

GIB = 1024**3


def chunks_of(*lengths: int) -> ChunkList:
    return ChunkList((length, hashlib.sha256(bytes(length)).digest()) for length in lengths)


def test_a_list_survives_the_way() -> None:
    chunks = chunks_of(8192, 30000, 5)
    again = ChunkList.from_bytes(chunks.to_bytes(), 38197)
    assert list(again) == list(chunks)
    assert again.digest == chunks.digest
    assert again[2].end == again.size == 38197


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (chunks_of(8192).to_bytes(), 8193),
        (chunks_of(8192).to_bytes()[:-1], 8192),
        (chunks_of(8192, 0).to_bytes(), 8192),
        (chunks_of(*[1] * 10).to_bytes(), 10),
        (chunks_of(MAX_CHUNK).to_bytes()[:4] + bytes(32), MAX_CHUNK + 1),
        (b"\xff" * 36, 2**32 - 1),
        (b"", 1),
    ],
    ids=["too short", "torn", "empty chunk", "crumbs", "other size", "giant chunk", "nothing"],
)
def test_a_list_that_does_not_fit_its_file_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(ProtocolError):
        ChunkList.from_bytes(data, size)


def test_chunks_grow_with_the_file_so_that_lists_stay_short() -> None:
    assert average_for(0) == average_for(2 * GIB) == AVERAGE
    assert average_for(2 * GIB + 1) == 2 * AVERAGE
    assert average_for(10_000 * GIB) == LARGEST_AVERAGE
    assert max_chunks(10 * AVERAGE) == 41


def test_neighbours_are_asked_for_together_and_what_is_here_is_not() -> None:
    exchange = FileExchange(chunks_of(10, 20, 30, 40, 50), [0, 1, 2, 4])
    assert exchange.next_span(35) == (0, 2, 0, 30)
    assert exchange.next_span(35) == (2, 1, 30, 30)
    assert exchange.next_span(35) == (4, 1, 100, 50)  # larger than asked for: a chunk is never cut
    assert exchange.next_span(35) is None
    assert not exchange.complete


def test_what_is_here_already_needs_nothing() -> None:
    assert FileExchange(chunks_of(10, 20), []).complete
    assert FileExchange(chunks_of(), []).complete


def test_a_lost_span_is_asked_for_again_first() -> None:
    exchange = FileExchange(chunks_of(*[10] * 6), range(6))
    first, second = exchange.next_span(20), exchange.next_span(20)
    assert first
    assert second
    exchange.lost(first)
    assert exchange.next_span(100) == first
    assert exchange.arrived(second, []) == 20
    assert exchange.next_span(100) == (4, 2, 40, 20)


def test_only_the_damaged_chunk_is_asked_for_again_and_not_for_ever() -> None:
    exchange = FileExchange(chunks_of(10, 20, 30), range(3))
    span = exchange.next_span(100)
    assert span
    assert exchange.arrived(span, [1]) == 40
    for _ in range(MOST_FAILURES - 2):
        again = exchange.next_span(100)
        assert again == (1, 1, 10, 20)
        assert exchange.arrived(again, [1]) == 0
    last = exchange.next_span(100)
    assert last
    with pytest.raises(TransferError, match=f"damaged {MOST_FAILURES} times"):
        exchange.arrived(last, [1])


def test_a_span_that_arrives_twice_is_a_bug_that_shows() -> None:
    exchange = FileExchange(chunks_of(10), [0])
    span = exchange.next_span(1)
    assert span
    exchange.arrived(span, [])
    with pytest.raises(ValueError, match="cannot go"):
        exchange.arrived(span, [])


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_or_damaged_every_chunk_arrives_once(seed: int) -> None:
    chance = random.Random(seed)
    lengths = [chance.randint(1, 100) for _ in range(50)]
    missing = [index for index in range(50) if chance.random() < 0.7]
    exchange = FileExchange(chunks_of(*lengths), missing)
    under_way = []
    arrived = 0
    damaged_once: set[int] = set()
    while not exchange.complete:
        span = exchange.next_span(chance.randint(1, 300))
        if span:
            under_way.append(span)
        if under_way and (span is None or chance.random() < 0.5):
            back = under_way.pop(chance.randrange(len(under_way)))
            if chance.random() < 0.2:
                exchange.lost(back)
                continue
            indexes = range(back.first, back.first + back.chunks)
            bad = [index for index in indexes if chance.random() < 0.1 and index not in damaged_once]
            damaged_once.update(bad)
            arrived += exchange.arrived(back, bad)
    assert arrived == sum(lengths[index] for index in missing)
    assert not under_way
