"""A job's journal in a few words."""

from pathlib import Path

from sleap_rtc.jobs.events import Journal
from sleap_rtc.jobs.outline import Outline, RunOutline
from sleap_rtc.protocol.jobs import (
    EpochEnded,
    EpochStarted,
    JobState,
    Notice,
    RunStarted,
    StateChanged,
    Step,
)

CENTROID = RunStarted(index=1, runs=2, model_type="centroid", max_epochs=10)
INSTANCE = RunStarted(index=2, runs=2, model_type="centered_instance", max_epochs=None)


class Ticks:
    """A clock that counts how often it was looked at."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1
        return self.now


def test_it_tells_how_far_each_run_has_come_and_goes_on_as_the_journal_grows(tmp_path: Path) -> None:
    outline = Outline(tmp_path / "events.jsonl")
    outline.update()
    assert (outline.started, outline.ended, outline.runs) == (None, None, {})
    with Journal(tmp_path / "events.jsonl", Ticks()) as journal:
        journal.append(StateChanged(state=JobState.QUEUED))
        journal.append(StateChanged(state=JobState.RUNNING))
        journal.append(CENTROID, "centroid")
        outline.update()
        assert (outline.started, outline.runs) == (2, {"centroid": RunOutline(epochs=10)})
        for epoch, loss in enumerate((0.5, 0.25, None, 0.75)):
            journal.append(EpochStarted(epoch=epoch), "centroid")
            journal.append(Step(epoch=epoch, batch=0, metrics={"loss": 0.1}), "centroid")
            journal.append(EpochEnded(epoch=epoch, metrics={"val/loss": loss, "loss": 0.1}), "centroid")
        journal.append(INSTANCE, "instance")
        journal.append(Notice(text='{"body":{"type":"step"'), "instance")
        journal.append(EpochEnded(epoch=0), "instance")
        journal.append(StateChanged(state=JobState.LOST))
        outline.update()
        assert outline.runs == {
            "centroid": RunOutline(epochs=10, epoch=4, loss=0.25),
            "instance": RunOutline(epoch=1),
        }
        assert (outline.started, outline.ended) == (2, journal.last_seq)
        journal.append(StateChanged(state=JobState.QUEUED, attempt=2))
        journal.append(StateChanged(state=JobState.RUNNING, attempt=2))
        outline.update()
        assert (outline.started, outline.ended) == (2, None)


def test_what_a_long_journal_is_full_of_is_not_even_parsed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Journal(path, Ticks()) as journal:
        journal.append(CENTROID, "centroid")
    # no step of ours, but enough like one to be passed over
    with path.open("ab") as file:
        file.write(b'{"seq":2,"t":2,"run":null,"body":{"type":"step","epoch":"none"}}\n')
    with Journal(path, Ticks()) as journal:
        journal.append(EpochEnded(epoch=0, metrics={'"body":{"type":"step"': 1.0, "val/loss": 0.5}), "centroid")
    outline = Outline(path)
    outline.update()
    assert outline.runs == {"centroid": RunOutline(epochs=10, epoch=1, loss=0.5)}
