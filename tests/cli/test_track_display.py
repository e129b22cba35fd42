"""Feeds an inference's events to the three faces and reads what they show."""

import io
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from rich.console import Console

from sleap_rtc.cli.bringing import merged_text
from sleap_rtc.cli.jobs.show import _now, _now_text
from sleap_rtc.cli.progress import make_display
from sleap_rtc.cli.progress_frames import frames_text
from sleap_rtc.cli.progress_rich import RichDisplay
from sleap_rtc.client.labels_messages import Merged
from sleap_rtc.protocol.jobs import (
    Event,
    EventBody,
    Frames,
    JobState,
    JobSummary,
    Run,
    RunEnded,
    RunStarted,
    StateChanged,
    Verb,
)
from tests.cli.test_progress import JOB, Clock, Terminal

SUMMARY = JobSummary(
    job=JOB,
    name="clip.mp4 + 1 more",
    state=JobState.RUNNING,
    submitted=0,
    owner="u_00000000",
    runs=tuple(Run(name=name, verb=Verb.TRACK, config="track.json") for name in ("clip", "other")),
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def events() -> Iterator[Event]:
    """Two inputs: one of 1000 frames, reported each second, one that sleap-nn cannot count."""
    seq = count(1)

    def event(t: float, body: EventBody, run: str | None) -> Event:
        return Event(seq=next(seq), t=int(t * 1000), run=run, body=body)

    yield event(0, StateChanged(state=JobState.STARTING), None)
    yield event(1, RunStarted(index=1, runs=2, verb=Verb.TRACK, model_type=""), "clip")
    for second in range(21):
        left = 20.0 - second
        rate = 50.0 if second else None
        yield event(2 + second, Frames(done=50 * second, total=1000, rate=rate, eta=left if rate else None), "clip")
    yield event(23, RunEnded(outcome="done", folder="clip"), "clip")
    yield event(24, RunStarted(index=2, runs=2, verb=Verb.TRACK, model_type=""), "other")
    yield event(25, Frames(done=1), "other")
    yield event(26, Frames(done=60, rate=59.0), "other")
    yield event(60, Frames(done=2000, rate=59.0), "other")
    yield event(61, RunEnded(outcome="stopped"), "other")


def test_a_pipe_gets_a_line_for_each_tenth_and_now_and_then(clock: Clock) -> None:
    stream = io.StringIO()
    with make_display(stream=stream, clock=clock) as display:
        display.accepted(SUMMARY)
        for event in events():
            display.event(event)
        display.finished([Path("clip.predictions.slp")], "predictions")
    assert stream.getvalue().splitlines() == [
        f"Job {JOB}: clip.mp4 + 1 more, 2 inputs to look at (clip, other).",
        "Starting sleap-nn.",
        "clip (1/2): looking at its frames",
        "clip (1/2): 0 of 1000 frames",
        *(
            f"clip (1/2): {100 * tenth} of 1000 frames, 50 frames/s, {_left(20 - 2 * tenth)} left"
            for tenth in range(1, 10)
        ),
        "clip (1/2): 1000 of 1000 frames, 50 frames/s",
        "clip: done, 1000 frames",
        "other (2/2): looking at its frames",
        "other (2/2): 1 frame",
        "other (2/2): 2000 frames, 59 frames/s",
        "other: stopped early, 2000 frames",
        "Predictions in clip.predictions.slp",
    ]


def _left(seconds: int) -> str:
    return f"{seconds} s" if seconds >= 10 else f"{seconds:.1f} s"


def test_a_terminal_moves_a_bar(clock: Clock) -> None:
    display = make_display(stream=Terminal(), clock=clock)
    assert isinstance(display, RichDisplay)
    display.accepted(SUMMARY)

    def shown() -> str:
        console = Console(file=io.StringIO(), width=100)
        with console.capture() as picture:
            console.print(display.picture())
        return picture.get()

    for event in events():
        display.event(event)
        if isinstance(event.body, Frames) and event.body.total:
            words, doing = [line.strip() for line in shown().splitlines()]
            assert words.startswith("clip (1/2) ")
            assert words.endswith(f" {frames_text(event.body)}")
            assert "looking at frames" in doing
        if isinstance(event.body, RunStarted):
            assert "sleap-nn is starting" in shown()
    display.close()


def test_json_has_every_report_as_it_came(clock: Clock) -> None:
    stream = io.StringIO()
    with make_display(json=True, stream=stream, clock=clock) as display:
        for event in events():
            display.event(event)
        display.finished([Path("clip.predictions.slp")], "predictions")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    frames = [line for line in lines if line.get("type") == "frames"]
    assert len(frames) == 24
    assert frames[1] | {"seq": 0, "t": 0} == {
        "event": "progress", "type": "frames", "run": "clip", "stage": "predict", "done": 50, "total": 1000,
        "rate": 50.0, "eta": 19.0, "seq": 0, "t": 0,
    }  # fmt: skip
    assert lines[-1] == {"event": "finished", "files": ["clip.predictions.slp"]}


LAST = {"stage": "predict", "done": 50, "total": 1000, "rate": 50.0, "eta": 19.0}


def test_animals_that_are_followed_are_a_stage_of_their_own(clock: Clock) -> None:
    stream = io.StringIO()
    display = make_display(stream=stream, clock=clock)
    display.event(Event(seq=1, t=0, run="clip", body=RunStarted(index=1, runs=1, verb=Verb.TRACK, model_type="")))
    for number, (stage, done) in enumerate((("predict", 10), ("track", 1), ("track", 10))):
        body = Frames.model_validate({"stage": stage, "done": done, "total": 10})
        display.event(Event(seq=2 + number, t=2000 * number, run="clip", body=body))
    assert stream.getvalue().splitlines()[1:] == [
        "clip: 10 of 10 frames",
        "clip: following animals: 1 of 10 frames",
        "clip: following animals: 10 of 10 frames",
    ]


@pytest.mark.parametrize(("rate", "shown"), [(0.5, "0.5"), (45.23, "45.2"), (128.4, "128"), (23_400.0, "23400")])
def test_a_rate_is_said_in_plain_digits(rate: float, shown: str) -> None:
    frames = Frames.model_validate({"stage": "predict", "done": 10, "total": 10, "rate": rate})
    assert frames_text(frames) == f"10 of 10 frames, {shown} frames/s"


@pytest.mark.parametrize(
    ("merged", "said"),
    [
        (Merged(frames=3), "The predictions of 3 frames are in out.slp."),
        (
            Merged(frames=3, kept=1),
            "The predictions of 3 frames are in out.slp; 1 frame that a user has labelled stayed as they are.",
        ),
        (
            Merged(kept=2),
            "None of the predictions are in out.slp: 2 frames that a user has labelled stayed as they are.",
        ),
    ],
)
def test_a_merge_says_what_is_in_the_copy(merged: Merged, said: str) -> None:
    assert merged_text(Path("out.slp"), merged) == said


def test_jobs_show_says_how_many_frames_there_were() -> None:
    told = list(events())
    assert _now(told[:2]) == {"run": "clip", "frames": None}
    assert _now_text(SUMMARY, _now(told[:2])) == ""
    assert _now(told[:4]) == {"run": "clip", "frames": LAST}
    assert _now_text(SUMMARY, _now(told[:4])) == "clip, 50 of 1000 frames, 50 frames/s, 19 s left"


def test_a_run_that_begins_again_is_shown_from_its_beginning(clock: Clock) -> None:
    stream = io.StringIO()
    display = make_display(stream=stream, clock=clock)
    for _ in range(2):
        for event in list(events())[1:4]:
            display.event(event)
    assert stream.getvalue().splitlines().count("clip (1/2): 0 of 1000 frames") == 2
