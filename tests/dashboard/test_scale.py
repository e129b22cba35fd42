"""Where numbers go on a chart."""

import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dashboard.node import run

FINITE = st.floats(min_value=1e-9, max_value=1e9)


@settings(max_examples=3, deadline=None)
@given(st.lists(st.tuples(FINITE, FINITE), min_size=50, max_size=100))
def test_axes_are_marked_inside_with_numbers_that_grow(pairs: list[tuple[float, float]]) -> None:
    spans = [sorted(pair) for pair in pairs if pair[0] != pair[1]]
    body = "return args[0].map(([low, high]) => [page.linearTicks(low, high, 5), page.logTicks(low, high, 5)])"
    for (low, high), both in zip(spans, run("scale.js", body, spans), strict=True):
        for ticks in both:
            assert ticks == sorted(set(ticks))
            assert len(ticks) <= 16
            assert all(low - (high - low) * 1e-6 <= tick <= high + (high - low) * 1e-6 for tick in ticks)


def test_numbers_on_an_axis_are_short() -> None:
    said = run("scale.js", "return args[0].map(page.tickText)", [0, 0.1, 250, 0.0001, 1.5e7, -2])
    assert said == ["0", "0.1", "250", "1e-4", "1.5e7", "-2"]


def outline(values: list[float | None], *, width: int, log: bool = False) -> list[list[tuple[float, float]]]:
    """Where a line of these values goes: its parts, each a list of points."""
    body = """
        const columns = { length: args[0].length, values: args[0].map((each) => each ?? NaN), place: (at) => at };
        const domain = page.domain([columns], args[2]);
        const x = page.scaled([0, args[0].length - 1], [0, args[1]], false);
        return page.outline(columns, 1, x, page.scaled(domain, [100, 0], args[2]));
    """
    path: str = run("scale.js", body, values, width, log)
    parts = [re.findall(r"(-?[\d.]+) (-?[\d.]+)", part) for part in path.split("M")[1:]]
    return [[(float(x), float(y)) for x, y in part] for part in parts]


def test_a_line_of_many_values_has_few_points_and_loses_no_peak() -> None:
    values: list[float | None] = [math.sin(at / 5_000) for at in range(100_000)]
    values[43_210], values[70_001] = 5.0, -5.0
    (line,) = outline(values, width=500)
    assert len(line) <= 4 * 501
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    heights = [y for _, y in line]
    # the lowest value is at the bottom, the highest at the top, each with its margin
    assert min(heights) == pytest.approx(100 * (1 - 10.4 / 10.8), abs=0.1)
    assert max(heights) == pytest.approx(100 * (1 - 0.4 / 10.8), abs=0.1)


def test_what_is_not_finite_leaves_a_gap_and_a_logarithm_has_no_place_for_zero() -> None:
    assert [len(part) for part in outline([1.0, 2.0, None, 3.0], width=300)] == [2, 1]
    assert [len(part) for part in outline([1.0, 0.0, 10.0, 100.0], width=300, log=True)] == [1, 2]


def test_the_point_that_is_read_is_the_newest_up_to_there() -> None:
    body = """
        const column = { length: args[0].length, place: (at) => args[0][at] };
        return args[1].map((place) => page.pointAt(column, 1, place));
    """
    places: list[Any] = [1, 2, 2, 5]
    assert run("scale.js", body, places, [0, 1, 1.9, 2, 4.9, 5, 99]) == [0, 0, 0, 2, 2, 3, 3]
    assert run("scale.js", body, [], [1]) == [-1]
