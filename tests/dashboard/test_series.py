"""What a page makes of a job's events: curves, phases and times."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.dashboard.node import run

FOLD = """
    const job = new page.Job();
    for (const part of args[0]) job.apply(part);
    const curve = (column) => Array.from({ length: column.length }, (_, at) =>
      [column.epochs[at], column.batches[at], Number.isNaN(column.values[at]) ? null : column.values[at]]);
    return { ...job, current: job.current?.name ?? null, runs: [...job.runs.values()].map((run) => ({
      ...run, left: run.secondsLeft, pace: run.secondsPerEpoch,
      columns: Object.fromEntries([...run.columns].map(([name, column]) => [name, curve(column)])) })) };
"""


class Told:
    """Events of a job, numbered; a second passes between two of them."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def add(self, type_: str, run: str | None = None, **body: Any) -> None:
        number = len(self.events) + 1
        self.events.append({"seq": number, "t": 1_000 * number, "run": run, "body": {"type": type_} | body})

    def begin(self, run: str, epochs: int | None = None, index: int = 1) -> None:
        self.add("run_started", run, index=index, runs=2, verb="train", model_type="centroid", max_epochs=epochs)

    def epoch(self, run: str, epoch: int, **metrics: float | None) -> None:
        self.add("epoch_started", run, epoch=epoch)
        self.add("step", run, epoch=epoch, batch=3, metrics={"loss": 0.5})
        self.add(
            "epoch_ended", run, epoch=epoch, metrics={name.replace("_", "/"): each for name, each in metrics.items()}
        )


def fold(parts: Sequence[Sequence[dict[str, Any]]]) -> Any:
    return run("series.js", FOLD, parts)


def test_metrics_stand_where_they_were_measured() -> None:
    told = Told()
    told.begin("one", 4)
    told.epoch("one", 0, val_loss=1.0, train_loss=9.0)
    told.epoch("one", 1, val_loss=None, train_loss=0.75)
    (made,) = fold([told.events])["runs"]
    # what sleap-nn tells of training at an epoch's end is of the epoch before
    assert made["columns"]["train/loss"] == [[1, -1, 0.75]]
    assert made["columns"]["val/loss"] == [[1, -1, 1.0], [2, -1, None]]
    assert made["columns"]["loss"] == [[0, 3, 0.5], [1, 3, 0.5]]
    assert (made["phase"], made["epoch"], made["epochsDone"], made["batches"]) == ("training", 1, 2, 4)
    # three events of a second each make an epoch, less the one before the first mark
    assert made["pace"] == pytest.approx(2.5)
    assert made["left"] == pytest.approx(5.0)


def test_an_event_that_comes_again_changes_nothing() -> None:
    told = Told()
    told.begin("one", 1)
    told.epoch("one", 0, val_loss=1.0)
    assert fold([told.events, told.events[2:]]) == fold([told.events])


def test_what_is_trained_again_after_a_resume_takes_the_place_of_what_was() -> None:
    told = Told()
    told.begin("one", 9)
    for epoch in range(4):
        told.epoch("one", epoch, val_loss=1.0, train_loss=1.0)
    told.add("state", state="lost", error={"code": "job_lost", "sentence": "It is gone."})
    told.add("state", state="queued", attempt=2)
    told.begin("one", 9)
    told.epoch("one", 2, val_loss=2.0, train_loss=2.0)
    job = fold([told.events])
    columns = job["runs"][0]["columns"]
    assert columns["val/loss"] == [[1, -1, 1], [2, -1, 1], [3, -1, 2]]
    assert columns["train/loss"] == [[1, -1, 1], [2, -1, 1], [2, -1, 2]]
    assert columns["loss"] == [[0, 3, 0.5], [1, 3, 0.5], [2, 3, 0.5]]
    assert (job["attempt"], job["error"]) == (2, None)


def test_states_places_and_phases_are_those_of_the_events() -> None:
    told = Told()
    told.add("state", state="queued")
    told.add("queued", position=2, starts_in=30.0)
    waiting = fold([told.events])
    assert (waiting["state"], waiting["position"], waiting["startsIn"]) == ("queued", 2, 30.0)
    told.add("state", state="running")
    told.begin("one", 1)
    told.epoch("one", 0)
    told.add("notice", text="A key was left out.")
    told.add("notice", text="A key was left out.")
    running = fold([told.events])
    assert (running["position"], running["current"]) == (None, "one")
    assert running["runs"][0]["phase"] == "evaluating"
    assert running["notices"] == ["A key was left out."]
    told.add("run_ended", "one", outcome="done", metrics={})
    told.begin("two", index=2)
    told.add("frames", "two", stage="track", done=3, total=10)
    at_work = fold([told.events])
    assert [each["phase"] for each in at_work["runs"]] == ["ended", "following"]
    assert at_work["current"] == "two"


def test_a_worker_that_makes_things_up_fills_no_memory() -> None:
    told = Told()
    for number in range(100):
        told.begin(f"run-{number}")
    told.add("step", "run-99", epoch=0, batch=0, metrics={f"metric-{number}": 1.0 for number in range(100)})
    job = fold([told.events])
    assert len(job["runs"]) == 64
    assert len(job["runs"][-1]["columns"]) == 64
    body = """
        const column = new page.Column(1000);
        for (let at = 0; at < 5000; at += 1) column.push(at, -1, at);
        return [column.length, column.values[0], column.last];
    """
    length, first, last = run("series.js", body)
    assert length <= 1000
    assert (first, last) == (0, 4999)
