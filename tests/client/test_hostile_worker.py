"""A malicious worker: it writes nowhere but below the models, overwrites nothing, and steers no terminal."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.cli.jobs.list import _rows
from sleap_rtc.cli.jobs.listing import _told
from sleap_rtc.cli.jobs.show import _LABEL, _lines
from sleap_rtc.cli.output import emit_json, say, table
from sleap_rtc.cli.progress_view import MOST_RUNS, JobView
from sleap_rtc.client import remote
from sleap_rtc.client.pending import PendingJob, PendingJobs
from sleap_rtc.client.room_jobs import WorkerJobs
from sleap_rtc.config.paths import home
from sleap_rtc.errors import ProtocolError, SleapRTCError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.jobs import Event, JobList, JobSummary, Step
from sleap_rtc.protocol.signaling import WorkerInfo, WorkerPresence
from sleap_rtc.session.session import Session
from tests.client.hostile_worker import ATTACK, FACES, JOB, SUMMARY, Telling, client_of, event, follow, offering, raw

HUGE = 10**18
PRESENCE = WorkerPresence(
    worker_id="w_ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    public_key="ab" * 32,
    name="gpu",
    info=WorkerInfo(name="gpu", version="0.1.0"),
    since=0,
)
ENDED = event({"type": "state", "state": "failed", "error": {"code": "internal", "sentence": f"It {ATTACK} ended."}})


def in_order(*events: dict[str, Any]) -> list[dict[str, Any]]:
    return [each | {"seq": number} for number, each in enumerate(events, 1)]


ABSURD = in_order(
    event({"type": "queued", "position": HUGE, "starts_in": 1e308}),
    event({"type": "queued", "position": 1, "starts_in": -1e308}),
    event({"type": "notice", "text": ATTACK}),
    event({"type": "run_started", "index": -HUGE, "runs": HUGE, "model_type": ATTACK, "max_epochs": -3}, run="a"),
    event({"type": "epoch_started", "epoch": HUGE}, run="a", t=-HUGE),
    event({"type": "step", "epoch": -HUGE, "batch": HUGE, "metrics": {"loss": 1.7e308, ATTACK: -1e-320}}, run="a"),
    event(
        {"type": "epoch_ended", "epoch": HUGE, "metrics": {"val/loss": -1.7e308, "train/loss": None}}, run="a", t=HUGE
    ),
    event({"type": "run_started", "index": 0, "runs": 0, "model_type": "x", "max_epochs": HUGE}, run="b"),
    event({"type": "run_started", "index": HUGE, "runs": HUGE, "verb": "track", "model_type": ""}, run="c"),
    event({"type": "frames", "done": 2**53 - 1, "total": 0, "rate": 1.7e308, "eta": 1e308}, run="c", t=-HUGE),
    event({"type": "frames", "done": 0, "total": 2**53 - 1, "rate": -1e-320, "eta": -1e308}, run="c", t=HUGE),
    event({"type": "frames", "done": 5, "total": 0, "rate": None, "eta": 1e308}, run="a"),
    event({"type": "run_ended", "outcome": "failed", "error": {"code": ATTACK[:60], "sentence": ATTACK}}, run="a"),
    ENDED,
)


@pytest.mark.parametrize("face", FACES)
async def test_absurd_events_names_and_logs_are_shown_and_steer_nothing(
    tmp_path: Path, face: str, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = SUMMARY | {"name": ATTACK, "owner": ATTACK, "position": HUGE, "starts_in": 1e308}
    telling = Telling(ABSURD, [f"loss {ATTACK}\n", "\x1b", "[2J\x1b]", "52;c;ZXZpbA==\x07\n", "x" * 20_000], summary)
    async with client_of(telling.handlers) as worker:
        screen, code = await follow(await worker.job(JOB), face, tmp_path / "models")
    assert (code, telling.refusals) == (5, [])
    assert "loss evil" in screen.check()
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert all(c.isprintable() or c == "\n" for c in said)
    if face == "json":
        assert all(json.loads(line) for line in screen.getvalue().splitlines())
        assert screen.getvalue().isascii()
    assert not (tmp_path / "models").exists()


TRAINED = in_order(
    event({"type": "run_ended", "outcome": "done", "folder": "../../../.ssh"}),
    event({"type": "state", "state": "done"}),
)
DATA = b"weights"
SHA = hashlib.sha256(DATA).hexdigest()


def manifest(*paths: str, **fields: Any) -> bytes:
    files = [{"path": path, "size": len(DATA), "sha256": SHA} | fields for path in paths]
    return json.dumps({"files": files}).encode()


HOSTILE_MANIFESTS: dict[str, bytes] = {
    "above": manifest("../x"),
    "above and back": manifest("centroid/../../x"),
    "absolute": manifest("/etc/x"),
    "a drive": manifest("C:/x"),
    "backslashes": manifest("centroid\\..\\..\\x"),
    "no run": manifest("x"),
    "hidden": manifest(".bashrc/x"),
    "escape": manifest(f"centroid/{ATTACK}"),
    "a device": manifest("centroid/nul.txt"),
    "a dot at the end": manifest("centroid/x."),
    "alike": manifest("centroid/x", "Centroid/X"),
    "below a file": manifest("centroid/x", "centroid/x/y"),
    "less than nothing": manifest("centroid/x", size=-1),
    "beyond 63 bits": manifest("centroid/x", size=2**63),
    "NaN": manifest("centroid/x", size=float("nan")),
    "no manifest": b"\xff\x00",
    "a list": b"[]",
}


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("listed", HOSTILE_MANIFESTS.values(), ids=HOSTILE_MANIFESTS)
async def test_models_go_nowhere_but_below_their_folder(
    tmp_path: Path, listed: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async with client_of(Telling(TRAINED).handlers, offering(listed, data=DATA)) as worker:
        screen, code = await follow(await worker.job(JOB), "pipe", tmp_path / "models")
    screen.check()
    said = capsys.readouterr().err
    assert code in (2, 4)
    assert said.startswith("error: ")
    assert said.removesuffix("\n").isprintable()
    assert files_in(tmp_path) == []


async def test_what_is_there_is_not_overwritten_and_a_link_not_followed(tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "centroid").mkdir(parents=True)
    (models / "centroid" / "best.ckpt").write_bytes(b"mine")
    (models / "centroid-2").symlink_to(tmp_path)
    honest = offering(manifest("centroid/best.ckpt"), data=DATA)
    async with client_of(Telling(TRAINED).handlers, honest) as worker:
        screen, code = await follow(await worker.job(JOB), "pipe", models)
    assert code == 0, screen.getvalue()
    assert (models / "centroid" / "best.ckpt").read_bytes() == b"mine"
    assert (models / "centroid-3" / "best.ckpt").read_bytes() == DATA
    assert len(files_in(tmp_path)) == 2


async def test_two_terabytes_are_refused_before_a_byte_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chunk, count = 8 * 1024**2, 238_418
    chunks = (chunk.to_bytes(4, "big") + bytes(32)) * count
    listed = manifest("centroid/best.ckpt", size=chunk * count, chunks=hashlib.sha256(chunks).hexdigest())
    async with client_of(Telling(TRAINED).handlers, offering(listed, chunks)) as worker:
        _, code = await follow(await worker.job(JOB), "pipe", tmp_path / "models")
    assert (code, "GB are to be written" in capsys.readouterr().err) == (1, True)
    taken = files_in(tmp_path) + files_in(home())
    assert sum(path.stat().st_blocks * 512 for path in taken) < 32 * 1024**2


WILD: dict[str, Any] = {
    "NaN": event({"type": "step", "epoch": 0, "batch": 0, "metrics": {"loss": float("nan")}}),
    "infinity": event({"type": "step", "epoch": 0, "batch": 0, "metrics": {"loss": float("-inf")}}),
    "30 digits": event({"type": "step", "epoch": 10**30, "batch": 0}),
    "other types": event({"type": "step", "epoch": [], "batch": {}, "metrics": "x"}),
    "no type of ours": event({"type": ATTACK}),
    "a metric's long name": event({"type": "step", "epoch": 0, "batch": 0, "metrics": {"x" * 200: 1.0}}),
    "a run that is a path": event({"type": "epoch_started", "epoch": 0}, run="../../../x"),
    "a run's hostile name": event({"type": "epoch_started", "epoch": 0}, run=ATTACK),
    "a long notice": event({"type": "notice", "text": "x" * 2001}),
    "before the first": event({"type": "epoch_started", "epoch": 0}, seq=0),
    "a gap": event({"type": "epoch_started", "epoch": 0}, seq=2),
    "no state of ours": event({"type": "state", "state": "winning"}),
    "no body": event(None),
    "deep": [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]],
    "empty": {},
    "text": "x",
    "null": None,
}


@pytest.mark.parametrize("told", WILD.values(), ids=WILD)
async def test_wild_events_end_the_command_with_a_sentence(
    tmp_path: Path, told: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with client_of(Telling([told]).handlers) as worker:
        screen, code = await follow(await worker.job(JOB), "pipe", tmp_path / "models")
    screen.check()
    said = capsys.readouterr().err
    assert code == 4
    assert said.startswith("error: ")
    assert said.endswith(".\n")
    assert said.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    "summary",
    [
        {"job": "j_87654321"},
        {"job": "j_../../x"},
        {"name": "x" * 257},
        {"owner": "x" * 129},
        {"submitted": float("nan")},
        {"runs": [{"name": "../x", "model_type": "x", "config": "x"}]},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_an_answer_about_another_job_or_of_a_wild_form_is_refused(summary: dict[str, Any]) -> None:
    """Whatever is done next would be done to the job that it names: a journal's entry may be another worker's."""
    entry = PendingJob(job="j_87654321", worker_id=PRESENCE.worker_id)
    PendingJobs().write(entry)
    async with client_of(Telling(summary=SUMMARY | summary).handlers) as worker:
        for ask in (worker.job, worker.resume):
            with pytest.raises(SleapRTCError):
                await ask(JOB)
    assert PendingJobs().all() == [entry]


def forged(name: str) -> JobSummary:
    return JobSummary.model_validate(SUMMARY | {"name": name, "owner": name, "submitted": HUGE, "changed": -HUGE})


def test_a_job_with_a_hostile_name_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    summary = forged(f"{ATTACK}\nState    done\n*  j_abcdefgh")
    listed = [_told(WorkerJobs(PRESENCE), summary)]
    table(("", "job", "name", "state", "from", "sent", "worker"), _rows(listed))
    emit_json([each.record for each in listed])
    out = capsys.readouterr().out
    assert out.count("\n") == 3
    assert all(line.isprintable() for line in out.splitlines())
    error = {"code": "internal", "sentence": "It broke:\nState    done"}
    shown = _lines(JobSummary.model_validate(summary.model_dump() | {"error": error}), PRESENCE, [])
    for label, text in shown:
        say(f"{label:<{_LABEL}}{text}")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("State")] == ["State    running since ?"]


async def test_a_list_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MOST_JOBS", 200)
    asked = 0

    async def ever_more(_: Session, message: JobList) -> Message:
        nonlocal asked
        asked += 1
        jobs = [SUMMARY | {"job": f"j_{asked:06}{number:04}"} for number in range(64)]
        return raw("job.listed", jobs=jobs, more=True)

    async with client_of({JobList: ever_more}) as worker:
        with pytest.raises(ProtocolError, match="more than"):
            await worker.jobs(all=True)
    assert asked == 4


def test_runs_without_end_are_forgotten() -> None:
    view = JobView()
    for number in range(10 * MOST_RUNS):
        view.apply(Event(seq=number + 1, t=0, run=f"run{number}", body=Step(epoch=0, batch=0)))
    assert len(view.runs) == MOST_RUNS
    assert view.current is not None
    assert view.current.name == f"run{10 * MOST_RUNS - 1}"
