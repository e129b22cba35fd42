"""What a job says through its runner's pipe: any program may write there, at any time, anything at all."""

import io
import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zmq

from sleap_rtc.jobs.bounds import Bounds
from sleap_rtc.jobs.events import Journal, read_events
from sleap_rtc.jobs.failures import Reported, explain, with_log
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.log_writer import LogWriter
from sleap_rtc.jobs.processes import this_process
from sleap_rtc.jobs.progress import Progress, numeric
from sleap_rtc.jobs.relay import Relay
from sleap_rtc.jobs.run import RunSupervision
from sleap_rtc.jobs.runners import Runners
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.jobs.work import Training
from sleap_rtc.protocol.codec import MAX_MESSAGE
from sleap_rtc.protocol.jobs import EpochEnded, Event, EventBody, JobSpec, JobState, Notice, Run, RunEnded, Step

from .conftest import OWNER, all_events, new_board, of_type, running, submit

RUN = Run(name="one", model_type="centroid", config="control/runs/one/config.yaml")
LINE = 64 * 1024


def line(**message: Any) -> bytes:
    return json.dumps({"type": "progress"} | message).encode() + b"\n"


@pytest.fixture
def supervision(tmp_path: Path) -> Iterator[RunSupervision]:
    """The supervision of a run, with a journal that is full after 20 KiB."""
    spec = JobSpec(job="j_12345678", owner=OWNER, name="n", manifest="0" * 64, submitted=1)
    folder = JobFolder.create(tmp_path / spec.job, spec)
    settings = SupervisorSettings(max_journal=20 * 1024)
    log = LogWriter(folder.log, max_size=1000, max_line=100, tail=50)
    with Journal(folder.events) as journal:
        yield RunSupervision(
            Training(folder, RUN, resumed=False, config={}), settings=settings, journal=journal, log=log,
            runners=Runners(settings), environment={},
            bounds=Bounds(folder, settings, this_process()),
        )  # fmt: skip
    log.close()


def heard(supervision: RunSupervision, said: bytes) -> list[EventBody]:
    """What is journalled of it, after the job's first state."""
    supervision._read_messages(io.BytesIO(said))
    return [event.body for event in read_events(supervision._folder.events)][1:]


@pytest.mark.parametrize(
    "said",
    [
        b"\n", b"null\n", b"[]\n", b'"x"\n', b"{}\n", b"{\n", b"\xff\xfe\n", b"[" * 60_000 + b"\n", b'{"type": {}}\n',
        b'{"type": "progress"}\n', b'{"type": "job", "config": {}}\n', b'{"type": "stop"}\n', b"1" * 5000 + b"\n",
        b'{"py/reduce": [{"py/type": "os.system"}, {"py/tuple": ["touch canary"]}]}\n',
        line(event="epoch_end", epoch=-1), line(event="epoch_begin", epoch="1"), line(event="batch_end", epoch=0),
        line(event="train_begin", wandb_url="javascript:alert(1)"), line(event="train_begin", wandb_url=["http://x"]),
        line(event="train_begin", wandb_url="https://x\nAll is well"), b'{"type": "progress"' + b" " * LINE + b"}\n",
    ],
    ids=lambda said: repr(said[:40]),
)  # fmt: skip
def test_what_is_no_message_makes_no_event(supervision: RunSupervision, said: bytes) -> None:
    assert heard(supervision, said) == []
    assert heard(supervision, line(event="epoch_begin", epoch=0)) != []


def test_the_end_of_a_line_that_is_too_long_is_no_message(supervision: RunSupervision) -> None:
    forged = line(event="epoch_begin", epoch=7)
    for length in (LINE - 1, LINE, LINE + 1, 3 * LINE):
        assert heard(supervision, b"x" * length + forged) == []
    assert heard(supervision, b'{"type": "progress"') == []
    longest = line(event="epoch_begin", epoch=1, logs="x" * (LINE - 70))
    assert len(longest) <= LINE
    assert len(heard(supervision, longest)) == 1


def test_a_flood_of_any_kind_of_event_leaves_the_journal_at_its_size(supervision: RunSupervision) -> None:
    logs = {f"{number}" * 40: number for number in range(100)}
    kinds = (
        {"event": "epoch_begin"}, {"event": "epoch_end", "logs": logs},
        {"event": "batch_end", "batch": 1, "logs": logs}, {"event": "train_begin", "wandb_url": "https://wandb.ai/x"},
    )  # fmt: skip
    flood = b"".join(line(epoch=epoch, **kind) for epoch in range(500) for kind in kinds)
    events = heard(supervision, flood)
    assert supervision._journal.size < 20 * 1024 + LINE
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert len(notices) == 2
    assert "its progress is not written down any longer" in notices[1]
    assert supervision._progress.metrics == numeric(logs)


def test_a_run_makes_no_more_events_than_a_training_could() -> None:
    progress = Progress(0.9)
    ended = {"event": "epoch_end", "epoch": 1, "logs": {"loss": 1}}
    at_once = sum(progress.receive(ended, 100.0) is not None for _ in range(10_000))
    assert at_once == 3000
    later = [sum(progress.receive(ended, 101.0 + second) is not None for _ in range(10_000)) for second in range(3)]
    assert later == [100, 100, 100]
    assert progress.receive(ended, 50.0) is None  # a clock that goes back gives nothing
    progress.receive(ended | {"logs": {"loss": 0.25}}, 50.0)
    assert progress.metrics == {"loss": 0.25}


def test_a_link_to_look_at_is_told_once_and_is_an_address() -> None:
    progress = Progress(0.0)
    found = [
        progress.receive({"event": "train_begin", "wandb_url": url}, 0.0)
        for url in (None, "x", "file:///etc/passwd", "https://wandb.ai/\u202egpj", "https://a" + "a" * 600)
    ]
    assert found == [None] * 5
    assert progress.receive({"event": "train_begin", "wandb_url": "https://wandb.ai/r"}, 0.0) == Notice(
        text="W&B run: https://wandb.ai/r"
    )
    assert progress.receive({"event": "train_begin", "wandb_url": "https://evil.example"}, 0.0) is None


def test_numbers_that_are_none_travel_as_nothing() -> None:
    logs = json.loads('{"a": NaN, "b": Infinity, "c": -Infinity, "d": 1e999, "e": true, "f": "1", "g": [1], "h": 2}')
    assert numeric(logs | {"i": 10**400}) == {"a": None, "b": None, "c": None, "d": None, "h": 2.0, "i": None}


def test_every_event_fits_into_a_message_also_with_the_end_of_a_log() -> None:
    smile = "\U0001f600"
    logs = {smile * 120 + f"{number:03}": 1e5 for number in range(128)}
    metrics = numeric(logs)
    reported = Reported(kind=smile * 200, message=smile * 4000)
    sentence = explain("r" * 64, -9, reported, [])
    error = with_log(sentence, [smile * 2000] * 50)
    for body in (
        EpochEnded(epoch=2**53 - 1, metrics=metrics),
        Step(epoch=1, batch=1, metrics=metrics),
        RunEnded(outcome="failed", folder=None, metrics=metrics, error=error),
    ):
        size = len(Event(seq=2**53, t=2**53, run="r" * 64, body=body).model_dump_json().encode())
        assert size < MAX_MESSAGE - 200


@pytest.mark.parametrize(
    "message",
    ["\ud800", "\x1b]52;c;aGk=\x07", "\nRun 'one' is done.", {"a": 1}, None, "x" * 10**5, "\u202etxt.exe", ["\udfff"]],
    ids=lambda message: ascii(message)[:20],
)
def test_a_forged_reason_of_a_failure_is_a_harmless_sentence(supervision: RunSupervision, message: object) -> None:
    said = json.dumps({"type": "failed", "kind": "\ud800\x1b[2JOops", "message": message}).encode()
    assert len(heard(supervision, said + b"\n")) == 0
    sentence = explain("one", 1, supervision._reported, [])
    sentence.encode()
    assert len(sentence) < 2200
    assert len(sentence.splitlines()) == 1
    assert "\x1b" not in sentence
    assert "\u202e" not in sentence


FORGER = textwrap.dedent("""
    import json, os, sys
    say = lambda **message: os.write(1, json.dumps(message).encode() + b"\\n")
    say(type="failed", kind="Forged", message="before it began")
    say(type="ready")
    job = json.loads(sys.stdin.buffer.readline())
    for number in range(3):
        say(type="ready")
        say(type="failed", kind="Forged", message="in the middle")
        say(type="job", config={}, path="/etc/passwd")
        say(type="stop")
    say(type="progress", event="epoch_begin", epoch=0)
    os.write(1, b"x" * 300_000 + b"\\n" + b"{}\\n" * 50_000)
    folder = os.path.join(job["config"]["trainer_config"]["ckpt_dir"], "one")
    os.makedirs(folder)
    open(os.path.join(folder, "best.ckpt"), "wb").write(b"model")
    say(type="progress", event="epoch_end", epoch=0, logs={"val/loss": 0.5})
""")


async def test_messages_that_are_forged_in_the_middle_change_no_end(root: Path, package: Path) -> None:
    settings = replace(SupervisorSettings(tick=0.02, heartbeat=0.1), runner=(sys.executable, "-c", FORGER))
    board = new_board(root, settings)
    folder = await submit(board, package)
    async with running(board):
        events = await all_events(board, folder)
    states = [body.state for body in of_type(events, "state")]
    assert states[-1] is JobState.DONE
    assert states.count(JobState.RUNNING) == 1
    assert len(of_type(events, "run_started")) == 1
    (ended,) = of_type(events, "run_ended")
    assert (ended.outcome, ended.error, ended.metrics) == ("done", None, {"val/loss": 0.5})
    assert len(events) < 20


# the relay, which takes up what the trainer says


@pytest.fixture
def relay() -> Iterator[tuple[Relay, io.BytesIO, "zmq.Socket[bytes]"]]:
    said = io.BytesIO()
    found = Relay(0, said)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    publisher = context.socket(zmq.PUB)
    publisher.connect(f"tcp://127.0.0.1:{found.publish_port}")
    # subscriptions take a moment to arrive
    while not found.heard.is_set():
        publisher.send(b"hello")
        found._take_progress()
    yield found, said, publisher
    context.destroy(linger=0)
    found._context.destroy(linger=0)


def test_a_trainers_messages_are_bounded_and_only_what_is_known_goes_on(
    relay: tuple[Relay, io.BytesIO, "zmq.Socket[bytes]"],
) -> None:
    found, said, publisher = relay
    hostile = [
        b'{"event": "epoch_end", "epoch": 0, "logs": {"x": ' + b"1" * LINE + b"}}",
        b'{"event": "epoch_begin", "epoch": ' + b"[" * 30_000,
        b'{"py/reduce": [{"py/type": "os.system"}], "event": "epoch_begin", "epoch": 1, "type": "failed"}',
        b'{"event": "train_end"}',
    ]
    for message in hostile:
        publisher.send(message)
    while not found.ended.is_set():
        found._take_progress()
    passed = [json.loads(part) for part in said.getvalue().splitlines()]
    assert passed == [
        {"type": "progress", "event": "epoch_begin", "epoch": 1},
        {"type": "progress", "event": "train_end"},
    ]
