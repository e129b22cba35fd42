"""How many lanes a link finds worth having, on paths that are a formula."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from sleap_rtc.protocol.lanes import PATIENCE, LaneCount

MB = 1e6


def run(
    rate: Callable[[int], float], seconds: float, *, most: int = 16, hungry: bool = True, busy: bool = False
) -> list[int]:
    """Let a count decide on a path that carries `rate(lanes)` bytes a second; return the wish of every tenth second."""
    count = LaneCount(most)
    received, lanes, wishes = 0.0, 1, []
    for tick in range(int(seconds * 10)):
        received += rate(lanes) / 10
        lanes = count.measure(tick / 10, int(received), lanes=lanes, hungry=hungry, busy=busy)
        wishes.append(lanes)
    return wishes


def test_a_lossy_path_gets_all_lanes_within_seconds() -> None:
    wishes = run(lambda lanes: 2 * MB * lanes, 8)
    assert wishes[-1] == 16
    assert wishes == sorted(wishes)


def test_a_far_path_gets_four_before_anything_is_measured() -> None:
    count = LaneCount()
    assert count.measure(0.0, 0, lanes=1, hungry=True) == 1
    assert count.measure(0.1, 10_000, lanes=1, hungry=True, delay=0.02) == 4


def test_a_near_path_is_measured_first() -> None:
    count = LaneCount()
    assert count.measure(0.1, 10_000, lanes=1, hungry=True, delay=0.002) == 1


def test_a_machine_at_its_limit_is_left_with_one() -> None:
    assert set(run(lambda lanes: 110 * MB * lanes, 60, busy=True)) == {1}


def test_a_clean_slow_path_tries_more_lanes_and_takes_them_back() -> None:
    wishes = run(lambda lanes: 10 * MB, 5)
    assert 4 in wishes
    assert wishes[-1] == 1


def test_what_did_not_help_is_tried_more_and_more_seldom() -> None:
    wishes = run(lambda lanes: 10 * MB, 30 * PATIENCE)
    trials = sum(1 for before, after in pairwise(wishes) if (before, after) == (1, 4))
    assert 2 <= trials <= 5


def test_a_path_that_carries_four_gets_four() -> None:
    wishes = run(lambda lanes: 4 * MB * min(lanes, 4), 9)
    assert wishes[-1] == 4


def test_a_path_that_gets_worse_is_noticed() -> None:
    clean_for = 6.0
    count = LaneCount()
    received, lanes = 0.0, 1
    for tick in range(400):
        received += (20 * MB if tick / 10 < clean_for else 2 * MB * lanes) / 10
        lanes = count.measure(tick / 10, int(received), lanes=lanes, hungry=True)
    assert lanes == 16


@pytest.mark.parametrize("most", [1, 3, 16])
def test_never_more_than_allowed(most: int) -> None:
    assert max(run(lambda lanes: MB * lanes, 20, most=most)) == most


def test_a_slow_disk_opens_no_lanes() -> None:
    assert set(run(lambda lanes: MB * lanes, 20, hungry=False)) == {1}


def test_lanes_that_never_open_do_not_stop_the_search() -> None:
    count = LaneCount()
    wishes = [count.measure(tick / 10, tick * 100_000, lanes=1, hungry=True) for tick in range(100)]
    assert 4 in wishes
    assert wishes[-1] == 1
