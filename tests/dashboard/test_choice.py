"""The page picks a worker by the rule of the command line, and gives the same reason."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sleap_rtc.client import choice
from sleap_rtc.protocol.signaling import GpuInfo, WorkerInfo, WorkerPresence
from tests.dashboard.node import run

NAMES = st.sampled_from(["gpu-1", "gpu-2", "Ä", "\U0001f9ea", "￿", "a"])
CARDS = [GpuInfo(name="A100", memory_mb=81_920), GpuInfo(name="T4", memory_mb=15_360)]
GPUS = st.lists(st.sampled_from(CARDS), max_size=3)


@st.composite
def rooms(draw: st.DrawFn) -> list[WorkerPresence]:
    """A few workers, many of them alike."""
    return [
        WorkerPresence(
            worker_id=f"w_0000000{number}",
            public_key="0" * 64,
            name=(name := draw(NAMES)),
            info=WorkerInfo(
                name=name,
                version="1",
                gpus=draw(GPUS),
                slots=draw(st.integers(1, 2)),
                busy=draw(st.integers(0, 2)),
                queued=draw(st.integers(0, 2)),
            ),
            since=0,
        )
        for number in range(draw(st.integers(1, 5)))
    ]


def picked(workers: list[WorkerPresence]) -> tuple[list[str], str]:
    """In which order the command line ranks them, and why the first one is taken."""
    ranked = choice.ranked(workers)
    said = choice.announcement(ranked[0], workers)
    return [each.worker_id for each in ranked], said.rpartition("), ")[2]


@settings(max_examples=5, deadline=None)
@given(st.lists(rooms(), min_size=20, max_size=40))
def test_the_page_ranks_workers_as_the_command_line_does(examples: list[list[WorkerPresence]]) -> None:
    body = """return args[0].map((workers) => {
        const ranked = page.ranked(workers);
        return [ranked.map((each) => each.worker_id), page.reason(ranked[0], workers)];
    })"""
    given_to_it: list[Any] = [[each.model_dump(mode="json") for each in workers] for workers in examples]
    for workers, (order, why) in zip(examples, run("choice.js", body, given_to_it), strict=True):
        expected, reason = picked(workers)
        assert order == expected
        if len(workers) > 1:
            assert why == reason
        assert why.startswith("the only one") == (len(workers) == 1)


def test_the_rule_is_said_in_the_same_words() -> None:
    assert run("choice.js", "return page.RULE") == choice.RULE
