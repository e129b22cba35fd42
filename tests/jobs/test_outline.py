"""A job's journal in a few words, and the models that it left."""

import hashlib
import sys
from pathlib import Path

import pytest

from sleap_rtc.jobs.events import Journal
from sleap_rtc.jobs.folder import JobFolder, ResultFile, StateRecord
from sleap_rtc.jobs.holdings import Holdings, find_holdings
from sleap_rtc.jobs.outline import Outline, RunOutline
from sleap_rtc.protocol.jobs import (
    EpochEnded,
    EpochStarted,
    JobSpec,
    JobState,
    Notice,
    Run,
    RunEnded,
    RunStarted,
    StateChanged,
    Step,
)
from tests.jobs.conftest import OWNER

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


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    """A job with two runs that is over; one of them has left a model."""
    runs = tuple(Run(name=name, model_type=f"{name}-type", config="x") for name in ("centroid", "instance"))
    spec = JobSpec(job="j_12345678", owner=OWNER, name="test", manifest="0" * 64, submitted=0, runs=runs)
    made = JobFolder.create(tmp_path / spec.job, spec)
    for name in ("centroid", "instance"):
        (made.models / name / "viz").mkdir(parents=True)
        (made.models / name / "training_log.csv").write_text("epoch\n")
    (made.models / "centroid" / "best.ckpt").write_bytes(b"weights")
    (made.models / "centroid" / "viz" / "a.png").write_bytes(b"image")
    with Journal(made.events) as journal:
        journal.append(CENTROID, "centroid")
        journal.append(EpochEnded(epoch=0, metrics={"val/loss": 0.5}), "centroid")
        for name in ("centroid", "instance"):
            journal.append(RunEnded(outcome="done", folder=name), name)
    made.write_state(StateRecord(state=JobState.DONE, t=10))
    return made


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_models_a_job_left_are_known_by_what_sha256sum_prints(folder: JobFolder) -> None:
    (model,) = find_holdings(folder).models
    files = {"best.ckpt": b"weights", "training_log.csv": b"epoch\n", "viz/a.png": b"image"}
    lines = "".join(f"{sha256(data)}  {path}\n" for path, data in files.items())
    assert model.digest == sha256(lines.encode())
    assert (model.name, model.model_type, model.loss) == ("centroid", "centroid-type", 0.5)
    assert model.size == sum(map(len, files.values()))


def test_files_are_read_once_for_each_end_of_a_job(folder: JobFolder) -> None:
    before = find_holdings(folder)
    (folder.models / "centroid" / "best.ckpt").write_bytes(b"other")
    assert find_holdings(folder) == before
    folder.write_state(StateRecord(state=JobState.DONE, t=11, attempt=2))
    after = find_holdings(folder)
    assert (after.t, after.models[0].digest == before.models[0].digest) == (11, False)
    (folder.control / "models.json").write_text('{"t": 11, "mod')
    assert find_holdings(folder) == after


def test_a_cancelled_job_has_left_nothing(folder: JobFolder) -> None:
    folder.write_state(StateRecord(state=JobState.CANCELLED, t=10))
    assert find_holdings(folder) == Holdings(t=10)


def test_a_job_that_goes_on_while_its_files_are_read_is_told_nothing_of(
    folder: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a swapped file leads to is not read, and what was read of a job that runs is not told."""
    (tmp_path / "secret").write_bytes(b"token")
    results = folder.results()

    def go_on(_: JobFolder) -> list[ResultFile]:
        folder.write_state(StateRecord(state=JobState.QUEUED, t=11, attempt=2))
        return results

    monkeypatch.setattr(JobFolder, "results", go_on)
    assert find_holdings(folder) == Holdings(t=10)
    best = folder.models / "centroid" / "best.ckpt"
    best.unlink()
    best.symlink_to(tmp_path / "secret")
    folder.write_state(StateRecord(state=JobState.DONE, t=12, attempt=2))
    if sys.platform != "win32":
        with pytest.raises(OSError, match="symbolic links"):
            find_holdings(folder)
