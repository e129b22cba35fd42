"""Events in sleap-nn's words: what a monitor decodes is what sleap-nn's own reporter would have sent."""

import json
import math
from typing import Any

import pytest
import zmq

from sleap_rtc.client.trainer_messages import History, TrainerMessage, TrainerMessages
from sleap_rtc.jobs.progress import Progress
from sleap_rtc.protocol.jobs import Event, EventBody, JobState, RunEnded, RunStarted, StateChanged, Step
from tests.client.monitors import decoded
from tests.client.training_events import numbered, whole_training


def told(*bodies: EventBody) -> list[dict[str, Any]]:
    messages = TrainerMessages()
    return [json.loads(message.text) for event in numbered(*bodies) for message in messages.of(event)]


def test_a_training_is_told_as_sleap_nn_tells_it() -> None:
    assert told(*whole_training()) == [
        {"what": "", "event": "train_begin", "logs": None, "wandb_url": None},
        {"what": "", "event": "epoch_begin", "logs": None, "epoch": 0},
        {"what": "", "event": "batch_end", "logs": {"loss": 0.5}, "epoch": 0, "batch": 0},
        {"what": "", "event": "batch_end", "logs": {"loss": 0.25}, "epoch": 0, "batch": 7},
        {"what": "", "event": "epoch_end", "logs": {"loss": 0.25, "val/loss": 0.5}, "epoch": 0},
        {"what": "", "event": "epoch_begin", "logs": None, "epoch": 1},
        {"what": "", "event": "batch_end", "logs": {"loss": 0.125, "val/loss": 0.5}, "epoch": 1, "batch": 0},
        {
            "what": "",
            "event": "epoch_end",
            "logs": {"loss": 0.125, "val/loss": 0.25, "train/loss": 0.375},
            "epoch": 1,
        },
        {"what": "", "event": "train_end", "logs": None},
    ]


def test_each_model_begins_and_ends() -> None:
    names = [message["event"] for message in told(*whole_training(), *whole_training())]
    assert names.count("train_begin") == names.count("train_end") == 2
    assert names[len(names) // 2 - 1 :][:2] == ["train_end", "train_begin"]


def test_a_job_that_is_lost_ends_the_training_it_was_in_and_its_next_attempt_begins_anew() -> None:
    names = [
        message["event"]
        for message in told(
            *whole_training()[:3], StateChanged(state=JobState.LOST), *whole_training()[:3], *whole_training()
        )
    ]
    assert names[:4] == ["train_begin", "epoch_begin", "batch_end", "train_end"]
    assert names[4:7] == ["train_begin", "epoch_begin", "batch_end"]
    assert names[7:] == [message["event"] for message in told(*whole_training())]


def test_a_run_that_never_trained_is_not_told_of() -> None:
    started = RunStarted(index=1, runs=1, model_type="centroid")
    assert told(started, RunEnded(outcome="failed"), StateChanged(state=JobState.FAILED)) == []


def test_what_is_not_finite_stays_a_number() -> None:
    *_, message = told(*whole_training()[:2], Step(epoch=0, batch=0, metrics={"loss": None}))
    assert math.isnan(message["logs"]["loss"])


def test_no_name_of_a_metric_can_tell_jsonpickle_what_to_do() -> None:
    names = (
        "py/object",
        "py/reduce",
        "py/set",
        'json://{"py/reduce": [{"py/function": "os.getcwd"}, {"py/tuple": []}]}',
    )
    step = Step(epoch=0, batch=0, metrics={"loss": 0.5} | dict.fromkeys(names, 1.0))
    messages = TrainerMessages()
    *_, message = [message for event in numbered(*whole_training()[:2], step) for message in messages.of(event)]
    for keys in (False, True):
        assert decoded(message.text, keys=keys)["logs"] == {"loss": 0.5}


def batch(number: int) -> TrainerMessage:
    return TrainerMessage("batch_end", f"batch {number}")


def epoch(history: History, number: int, batches: int) -> None:
    history.add(TrainerMessage("epoch_begin", f"begin {number}"))
    for each in range(batches):
        history.add(batch(each))
    history.add(TrainerMessage("epoch_end", f"end {number}"))


def texts(history: History) -> list[str]:
    return [message.text for message in history]


def test_a_history_has_every_epoch_and_the_steps_of_this_one() -> None:
    history = History()
    history.add(TrainerMessage("train_begin", "train"))
    epoch(history, 0, 3)
    history.add(TrainerMessage("epoch_begin", "begin 1"))
    for number in range(3):
        history.add(batch(number))
    # the last step of an epoch says how long it was
    assert texts(history) == ["train", "begin 0", "batch 2", "end 0", "begin 1", "batch 0", "batch 1", "batch 2"]


def test_a_long_epoch_is_thinned() -> None:
    history = History(max_steps=10)
    for number in range(1000):
        history.add(batch(number))
    shown = texts(history)
    assert (shown[0], shown[-1]) == ("batch 0", "batch 999")
    assert len(shown) <= 10
    assert [int(text.split()[1]) for text in shown] == sorted(int(text.split()[1]) for text in shown)


def test_the_oldest_epochs_go_first_but_never_the_beginning() -> None:
    history = History(max_kept=100)
    history.add(TrainerMessage("train_begin", "train"))
    for number in range(50):
        epoch(history, number, 2)
    shown = texts(history)
    assert (shown[0], shown[-1]) == ("train", "end 49")
    assert sum(map(len, shown)) <= 100
    history.add(TrainerMessage("train_end", "over"))
    history.add(TrainerMessage("train_begin", "again"))
    for number in range(50):
        epoch(history, number, 2)
    assert texts(history)[0] == "again"


class _Strategy:
    def barrier(self) -> None:
        """One process waits for nobody."""


class _Trainer:
    """What sleap-nn's reporter asks a trainer for."""

    is_global_zero = True
    strategy = _Strategy()

    def __init__(self) -> None:
        self.current_epoch = 0
        self.callback_metrics: dict[str, Any] = {}


@pytest.mark.real
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:keys will default:DeprecationWarning")
def test_sleap_nns_own_reporter_sends_the_same_field_by_field() -> None:
    torch = pytest.importorskip("torch")
    from sleap_nn.training.callbacks import ProgressReporterZMQ

    with zmq.Context() as context, context.socket(zmq.XSUB) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        reporter, trainer = ProgressReporterZMQ(address=f"tcp://127.0.0.1:{port}"), _Trainer()
        _subscribed(socket, reporter)

        def metrics(**values: float) -> None:
            trainer.callback_metrics = {name.replace("_", "/"): torch.tensor(value) for name, value in values.items()}

        def step(number: int) -> None:
            reporter.on_train_batch_start(trainer, None, None, number)
            reporter.on_train_batch_end(trainer, None, None, None, number)

        reporter.on_train_start(trainer, None)
        reporter.on_train_epoch_start(trainer, None)
        metrics(loss=0.5)
        step(0)
        metrics(loss=0.25)
        step(7)
        metrics(loss=0.25, val_loss=0.5)
        reporter.on_train_epoch_end(trainer, None)
        trainer.current_epoch = 1
        reporter.on_train_epoch_start(trainer, None)
        metrics(loss=math.nan, val_loss=0.5)
        step(0)
        metrics(loss=0.125, val_loss=0.25, train_loss=0.375)
        reporter.on_train_epoch_end(trainer, None)
        reporter.on_train_end(trainer, None)
        reporter.teardown(trainer, None, "fit")
        sent = _all_until_end(socket)
    # the way they take: the runner's parsing, events, and back
    progress, messages, again = Progress(step_interval=0.0), TrainerMessages(), []
    bodies = [body for number, text in enumerate(sent) if (body := progress.receive(json.loads(text), number))]
    for event in numbered(RunStarted(index=1, runs=1, model_type="centroid"), *bodies, RunEnded(outcome="done")):
        travelled = Event.model_validate_json(event.model_dump_json())
        again += [message.text for message in messages.of(travelled)]
    assert again == [text for text in sent if '"batch_start"' not in text]


def _subscribed(socket: "zmq.Socket[bytes]", reporter: Any) -> None:
    """Subscribe, and go on when the reporter knows."""
    socket.send(b"\1")
    while not socket.poll(10):
        reporter.send("hello")


def _all_until_end(socket: "zmq.Socket[bytes]") -> list[str]:
    found: list[str] = []
    while not found or '"train_end"' not in found[-1]:
        text = socket.recv_string()
        if '"hello"' not in text:
            found.append(text)
    return found
