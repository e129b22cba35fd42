"""How much is asked for at once, on paths that are a formula."""

import pytest

from sleap_rtc.protocol.pace import FIRST, USUAL_WINDOW, Pace
from sleap_rtc.protocol.streams import LINK_WINDOW


def settled(rate: float, delay: float, *, lanes: int = 1, seconds: float = 10.0, hungry: bool = True) -> Pace:
    """A pace on a path that carries `rate` bytes a second, `delay` seconds there and back, and queues the rest."""
    pace = Pace()
    received, tick = 0.0, 0.1
    for step in range(int(seconds / tick)):
        queued = max(0.0, pace.limit - rate * delay)
        pace.delayed(delay + queued / rate)
        pace.measure(step * tick, int(received), lanes=lanes, hungry=hungry)
        received += min(rate, pace.limit / delay) * tick
    return pace


def test_a_narrow_path_is_kept_full_and_its_queue_is_not_flooded() -> None:
    rate, delay, queue = 12.5e6, 0.02, 256 * 1024
    limit = settled(rate, delay).limit
    assert rate * delay < limit < rate * delay + 1.5 * queue


def test_a_long_fat_path_gets_the_whole_window() -> None:
    assert settled(150e6, 0.1).limit == LINK_WINDOW


def test_what_a_cut_may_cost_is_bounded_on_short_paths() -> None:
    assert settled(2e9, 0.0005).limit == USUAL_WINDOW


def test_it_begins_small() -> None:
    assert Pace().limit == FIRST


def test_a_slow_sender_is_not_asked_for_more_and_more() -> None:
    assert settled(1e9, 0.01, hungry=False).limit == FIRST


@pytest.mark.parametrize("lanes", [1, 4, 16])
def test_every_lane_has_something_to_do(lanes: int) -> None:
    assert lanes * FIRST <= settled(1e6, 0.001, lanes=lanes).limit < 2 * lanes * FIRST


def test_a_queue_that_grows_is_answered_by_asking_for_less() -> None:
    pace = settled(100e6, 0.01)
    before = pace.limit
    pace.delayed(0.01 + 0.5)
    pace.measure(100, 10**9, lanes=1, hungry=True)
    assert pace.limit < before


def test_answers_that_wait_for_a_busy_machine_are_not_taken_for_a_queue() -> None:
    pace = Pace()
    for step in range(30):
        pace.delayed(0.002 if step == 0 else 0.2)
        pace.measure(step / 10, step * 10**7, lanes=1, hungry=True, busy=True)
    assert pace.limit == USUAL_WINDOW
