"""Feeds a job's events to the three faces and reads what they show."""

import io
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from rich.console import Console

from sleap_rtc.cli.progress import JobDisplay, LogLines, make_display
from sleap_rtc.cli.progress_rich import RichDisplay
from sleap_rtc.cli.progress_transfer import WINDOW, Meter, Upload
from sleap_rtc.cli.progress_view import JobView, Phase, RunView, heads_text, losses_text
from sleap_rtc.protocol.jobs import (
    EpochEnded,
    EpochStarted,
    Event,
    EventBody,
    JobState,
    JobSummary,
    Notice,
    Queued,
    Run,
    RunEnded,
    RunStarted,
    StateChanged,
    Step,
)
from sleap_rtc.transport.paths import NetworkPath

JOB = "j_0123456789"
SUMMARY = JobSummary(
    job=JOB,
    name="labels.slp.training_job.zip",
    state=JobState.QUEUED,
    submitted=0,
    owner="u_00000000",
    runs=(Run(name="centroid", model_type="centroid", config="centroid.yaml", max_epochs=2),),
    position=1,
)
CSV = ["0,,0.00979993212968111", "1,0.024618880823254585,0.007139281835407019"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def events() -> Iterator[Event]:
    """One run of two epochs of two seconds each, as sleap-nn reports it."""
    seq = count(1)

    def event(t: float, body: EventBody, run: str | None = "centroid") -> Event:
        return Event(seq=next(seq), t=int(t * 1000), run=run, body=body)

    yield event(0, StateChanged(state=JobState.STARTING), None)
    yield event(0, Notice(text="save_ckpt was set to true"), None)
    yield event(1, RunStarted(index=1, runs=1, model_type="centroid", max_epochs=2))
    yield event(10, EpochStarted(epoch=0))
    yield event(10.5, Step(epoch=0, batch=0, metrics={"loss": 0.5}))
    yield event(11.5, Step(epoch=0, batch=17, metrics={"loss": 0.4}))
    yield event(12, EpochEnded(epoch=0, metrics={"val/loss": 0.00979993212968111}))
    yield event(12, EpochStarted(epoch=1))
    yield event(12.5, Step(epoch=1, batch=0, metrics={"loss": None}))
    yield event(14, EpochEnded(epoch=1, metrics={"train/loss": 0.024618880823254585, "val/loss": 0.007139281835407019}))
    yield event(15, RunEnded(outcome="done", folder="centroid", metrics={"val/loss": 0.007139281835407019}))
    yield event(16, StateChanged(state=JobState.FINISHING), None)
    yield event(16, StateChanged(state=JobState.DONE), None)


WAITING = (
    (Queued(position=2), "2nd in the queue"),
    (Queued(position=2, starts_in=725), "2nd in the queue, starts in about 12 m 5 s"),
    (Queued(position=1, starts_in=0.2), "next in the queue, starts soon"),
    (Queued(position=11), "11th in the queue"),
    (Queued(position=23), "23rd in the queue"),
)


@pytest.mark.parametrize(("body", "words"), WAITING)
def test_a_job_that_waits_shows_its_place(clock: Clock, body: Queued, words: str) -> None:
    event = Event(seq=4, t=0, body=body)
    pipe, terminal, lines = io.StringIO(), Terminal(), io.StringIO()
    make_display(stream=pipe, clock=clock).event(event)
    assert pipe.getvalue() == f"Waiting: {words}.\n"
    make_display(json=True, stream=lines, clock=clock).event(event)
    shown = json.loads(lines.getvalue())
    assert (shown["type"], shown["position"], shown["starts_in"]) == ("queued", body.position, body.starts_in)
    display = make_display(stream=terminal, clock=clock)
    assert isinstance(display, RichDisplay)
    display.event(event)
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as picture:
        console.print(display.picture())
    assert f"Waiting: {words}." in picture.get()


def whole_job(display: JobDisplay, clock: Clock) -> None:
    with display:
        display.connecting("lab-gpu-1")
        display.connected("lab-gpu-1", "NVIDIA H200, 150 GB")
        display.upload(0, 40_000_000, 10_000_000)
        clock.now += 2
        display.upload(20_000_000, 40_000_000, 10_000_000)
        clock.now += 1
        display.upload(30_000_000, 40_000_000, 10_000_000)
        display.accepted(SUMMARY)
        for number, event in enumerate(events()):
            if number == 5:
                display.link_lost("no answer for 15 s.")
                display.log("step 1\nste")
                display.link_restored()
                display.log("p 2\r\nunfinished")
            display.event(event)
        display.download(0, 1_000_000)
        clock.now += 0.5
        display.download(1_000_000, 1_000_000)
        display.finished([Path("models/centroid")])


def test_a_pipe_reads_like_a_report(clock: Clock) -> None:
    stream = io.StringIO()
    whole_job(make_display(stream=stream, clock=clock), clock)
    assert stream.getvalue().splitlines() == [
        "Connecting to lab-gpu-1 …",
        "Connected to lab-gpu-1 (NVIDIA H200, 150 GB).",
        "Sending 40.0 MB, 25 % already on lab-gpu-1.",
        "Sent 20.0 MB of 30.0 MB, 10.0 MB/s, 1.0 s left",
        "Sent 30.0 MB in 3.0 s (10.0 MB/s); 25 % of 40.0 MB was already on lab-gpu-1.",
        f"Job {JOB}: labels.slp.training_job.zip, 1 model to train (centroid); next in the queue.",
        "Starting sleap-nn.",
        "Note: save_ckpt was set to true",
        "centroid: run 1 of 1, centroid, up to 2 epochs",
        "centroid: epoch 1 of 2 started",
        "centroid: epoch 1 of 2, step 1, loss 0.5",
        "The link to the worker is down (no answer for 15 s); the job goes on there, trying again …",
        "The worker is back; nothing was missed.",
        "centroid: epoch 1 of 2 done, val loss 0.00979993, 2.0 s an epoch, about 2.0 s left",
        "centroid: epoch 2 of 2 started",
        "centroid: epoch 2 of 2, step 1, loss not finite",
        "centroid: epoch 2 of 2 done, val loss 0.00713928, train loss 0.0246189 (epoch 1), 2.0 s an epoch",
        "centroid: validating and evaluating",
        "centroid: done, 2 epochs, last val loss 0.00713928",
        "Putting the results together.",
        "Received 1.00 MB in 0.5 s (2.00 MB/s).",
        "Model in models/centroid",
    ]
    assert "\r" not in stream.getvalue()


def test_the_last_val_loss_shown_is_the_files(clock: Clock) -> None:
    stream = io.StringIO()
    whole_job(make_display(stream=stream, clock=clock), clock)
    shown = [line.split("val loss ")[1].split(",")[0] for line in stream.getvalue().splitlines() if "val loss" in line]
    assert float(shown[-1]) == pytest.approx(float(CSV[-1].split(",")[2]), rel=1e-5)


def test_a_model_of_several_heads_shows_the_loss_of_each_one() -> None:
    metrics = {"val/loss": 0.0132, "val/confmaps_loss": 0.0041, "val/paf_loss": None, "train/paf_loss": 0.2}
    run = RunView("bottomup", epoch=0, losses=metrics)
    assert losses_text(run) == "val loss 0.0132 (confmaps 0.0041, paf not finite)"
    # as sleap-nn's guide spells them
    assert heads_text({"val_confmap_loss": 0.0041, "val_paf_loss": 12.5}) == " (confmap 0.0041, paf 12.5)"
    # a single head is the whole, and a part of a loss is no head
    assert heads_text({"val/fg_loss": 0.1, "val/positive_loss": 0.2, "val/time": 3.0}) == ""


def test_the_log_is_shown_when_asked_for(clock: Clock) -> None:
    stream = io.StringIO()
    whole_job(make_display(logs=True, stream=stream, clock=clock), clock)
    logged = [line for line in stream.getvalue().splitlines() if line.startswith("  | ")]
    assert logged == ["  | step 1", "  | step 2", "  | unfinished"]


def test_a_long_epoch_says_that_it_is_alive(clock: Clock) -> None:
    stream = io.StringIO()
    with make_display(stream=stream, clock=clock) as display:
        for number in range(62):
            body = Step(epoch=0, batch=number, metrics={})
            display.event(Event(seq=number + 1, t=number * 1000, run="centroid", body=body))
    assert stream.getvalue().splitlines() == [
        "centroid: epoch 1, step 1",
        "centroid: epoch 1, step 31",
        "centroid: epoch 1, step 61",
    ]


def test_nothing_to_send_is_said_once(clock: Clock) -> None:
    stream = io.StringIO()
    with make_display(stream=stream, clock=clock) as display:
        display.upload(0, 40_000_000, 0)
        display.upload(0, 40_000_000, 40_000_000)
        display.upload(0, 40_000_000, 40_000_000)
    assert stream.getvalue() == "Nothing to send: all 40.0 MB are already on the worker.\n"


def test_a_long_upload_is_ten_lines_at_most(clock: Clock) -> None:
    stream = io.StringIO()
    with make_display(stream=stream, clock=clock) as display:
        for sent in range(1001):
            clock.now += 0.01
            display.upload(sent * 1000, 1_000_000, 0)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Sending 1.00 MB to the worker."
    assert len(lines) == 11
    assert lines[-1] == "Sent 1.00 MB in 10 s (100 kB/s)."


def test_what_the_worker_finds_while_it_looks_is_not_waited_for(clock: Clock) -> None:
    stream = io.StringIO()
    with make_display(stream=stream, clock=clock) as display:
        display.connected("lab-gpu-1", "")
        display.upload(0, 1_200_000_000, 0)
        for sent, already in ((0, 600_000_000), (0, 900_000_000), (6_000_000, 900_000_000), (12_000_000, 1_152_000_000),
                              (48_000_000, 1_152_000_000)):  # fmt: skip
            clock.now += 2
            display.upload(sent, 1_200_000_000, already)
    assert stream.getvalue().splitlines()[1:] == [
        "Sending 1.20 GB, 75 % already on lab-gpu-1.",
        "Sent 12.0 MB of 48.0 MB, 3.00 MB/s, 12 s left",
        "Sent 48.0 MB in 6.0 s (8.00 MB/s); 96 % of 1.20 GB was already on lab-gpu-1.",
    ]


def test_what_was_sent_is_told_apart_from_what_was_there(clock: Clock) -> None:
    text, objects = io.StringIO(), io.StringIO()
    displays = [make_display(stream=text, clock=clock), make_display(json=True, stream=objects, clock=clock)]
    reports = [(0, 0), (0, 10), (15, 10), (15, 10), (15, 10), (20, 10), (30, 10)]
    for sent, already in reports:
        clock.now += 1
        for display in displays:
            display.upload(sent * 1_000_000, 40_000_000, already * 1_000_000)
    assert text.getvalue().splitlines()[-1] == (
        "Sent 30.0 MB in 5.0 s (6.00 MB/s); 25 % of 40.0 MB was already on the worker."
    )
    told = [json.loads(line) for line in objects.getvalue().splitlines()]
    assert [shown["sent"] // 1_000_000 for shown in told] == [0, 0, 15, 15, 15, 20, 30]  # said once when complete
    assert [shown["already"] // 1_000_000 for shown in told] == [0, 10, 10, 10, 10, 10, 10]


def test_a_pause_is_said_and_so_is_its_end(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for stream in (io.StringIO(), Terminal()):
        with make_display(stream=stream, clock=clock) as display:
            pause(display)
        assert "lab-gpu-1: The disk of /store is nearly full." in stream.getvalue()
        assert "lab-gpu-1 takes files again." in stream.getvalue()
    stream = io.StringIO()
    with make_display(json=True, stream=stream, clock=clock) as display:
        pause(display)
    assert [json.loads(line) for line in stream.getvalue().splitlines()][-2:] == [
        {"event": "upload_paused", "reason": "The disk of /store is nearly full."},
        {"event": "upload_resumed"},
    ]


def pause(display: JobDisplay) -> None:
    display.connected("lab-gpu-1", "")
    display.upload(0, 40_000_000, 0)
    display.upload_paused("The disk of /store is nearly full.")
    display.upload_paused(None)


def test_reading_a_large_package_is_shown(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text, objects = io.StringIO(), io.StringIO()
    live = RichDisplay(Terminal(), logs=False, clock=clock)
    displays = [make_display(stream=text, clock=clock), make_display(json=True, stream=objects, clock=clock), live]
    pictures = []
    for tenth in range(11):
        for display in displays:
            display.reading("flies.zip", tenth * 1_000_000_000, 10_000_000_000)
        pictures.append(drawn(live))
        clock.now += 0.5
    lines = text.getvalue().splitlines()
    assert lines[0] == "Reading flies.zip, 10.0 GB …"
    assert lines[1] == "Read 4.00 GB of 10.0 GB, 2.00 GB/s, 3.0 s left"
    assert lines[-1] == "Read 10.0 GB in 5.0 s (2.00 GB/s)."
    told = [json.loads(line) for line in objects.getvalue().splitlines()]
    assert told[0] == {"event": "reading", "package": "flies.zip", "done": 2_000_000_000, "total": 10_000_000_000}
    assert told[-1]["done"] == told[-1]["total"]
    assert "Reading" not in pictures[1]
    assert "Reading flies.zip" in pictures[2]
    assert "2.00 GB of 10.0 GB, 2.00 GB/s, 4.0 s left" in pictures[2]


def test_reading_a_small_package_is_not_worth_a_word(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for as_json, stream in ((False, io.StringIO()), (False, Terminal()), (True, io.StringIO())):
        with make_display(json=as_json, stream=stream, clock=clock) as display:
            display.reading("flies.zip", 1_000_000, 2_000_000)
            clock.now += 0.9
            display.reading("flies.zip", 2_000_000, 2_000_000)
        assert "flies.zip" not in stream.getvalue()


def test_a_job_found_again_shows_no_upload(clock: Clock) -> None:
    stream = io.StringIO()
    with make_display(stream=stream, clock=clock) as display:
        display.upload(0, 40_000_000, 0)
        display.accepted(SUMMARY)
    assert "Sen" not in stream.getvalue()
    live = RichDisplay(Terminal(), logs=False, clock=clock)
    live.upload(0, 40_000_000, 0)
    live.accepted(SUMMARY)
    assert "Sending" not in drawn(live)


def test_a_way_round_is_said(clock: Clock) -> None:
    relayed, direct = NetworkPath("relay", "host", "tcp"), NetworkPath("reflexive", "host")
    for path, words in ((relayed, "gpu-1, relayed over TCP."), (direct, "gpu-1."), (None, "gpu-1.")):
        for stream in (io.StringIO(), Terminal()):
            with make_display(stream=stream, clock=clock) as display:
                display.connected("gpu-1", "", path)
            assert f"Connected to {words}" in stream.getvalue()
    stream = io.StringIO()
    with make_display(json=True, stream=stream, clock=clock) as display:
        display.connected("gpu-1", "", relayed)
    assert json.loads(stream.getvalue())["path"] == {
        "way": "relay", "local": "relay", "remote": "host", "carrier": "tcp",
    }  # fmt: skip


def test_names_from_peers_cannot_steer_the_terminal(clock: Clock) -> None:
    for stream in (io.StringIO(), Terminal()):
        with make_display(stream=stream, clock=clock) as display:
            display.connected("gpu\x1b]0;evil\x07\n[red]x[/red]", "a\x9bGPU")
        assert "evil" not in stream.getvalue()
        assert "[red]x[/red]" in stream.getvalue()
        assert "\x9b" not in stream.getvalue()


def test_scripts_get_one_object_a_line(clock: Clock) -> None:
    stream = Terminal()
    whole_job(make_display(json=True, logs=True, stream=stream, clock=clock), clock)
    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    names = [shown["event"] for shown in objects]
    assert names[:6] == ["connecting", "connected", "upload", "upload", "upload", "job"]
    assert objects[4] == {"event": "upload", "sent": 30_000_000, "total": 40_000_000, "already": 10_000_000}
    assert objects[5]["job"]["job"] == JOB
    progress = [shown for shown in objects if shown["event"] == "progress"]
    assert [shown["seq"] for shown in progress] == list(range(1, 14))
    assert progress[6] == {
        "event": "progress",
        "type": "epoch_ended",
        "seq": 7,
        "t": 12_000,
        "run": "centroid",
        "epoch": 0,
        "metrics": {"val/loss": 0.00979993212968111},
    }
    assert [shown["text"] for shown in objects if shown["event"] == "log"] == ["step 1", "step 2", "unfinished"]
    assert {"event": "finished", "folders": [str(Path("models/centroid"))]} in objects
    assert {"link_lost", "link_restored", "download"} <= set(names)


def test_scripts_hear_of_an_upload_twice_a_second(clock: Clock) -> None:
    stream = io.StringIO()
    with make_display(json=True, stream=stream, clock=clock) as display:
        for sent in range(101):
            clock.now += 0.05
            display.upload(sent, 100, 0)
    shown = [json.loads(line)["sent"] for line in stream.getvalue().splitlines()]
    assert shown[0] == 0
    assert shown[-1] == 100
    assert len(shown) <= 12


def test_a_terminal_keeps_what_is_over(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    display = make_display(stream=stream, clock=clock)
    assert isinstance(display, RichDisplay)
    whole_job(display, clock)
    for kept in (
        "Connected to lab-gpu-1 (NVIDIA H200, 150 GB).",
        "Sent 30.0 MB in 3.0 s (10.0 MB/s); 25 % of 40.0 MB was already on lab-gpu-1.",
        "centroid: done, 2 epochs, last val loss 0.00713928",
        "Received 1.00 MB in 0.5 s (2.00 MB/s).",
        "Model in models/centroid",
    ):
        assert kept in stream.getvalue()
    assert stream.getvalue().rstrip().endswith("\x1b[?25h") or "\x1b[?25l" not in stream.getvalue()


def test_the_live_picture_fits_80_columns(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    display = RichDisplay(Terminal(), logs=False, clock=clock)
    display.connected("a-name-as-long-as-anybody-could-think-of-for-a-machine", "")
    display.upload(0, 40_000_000, 10_000_000)
    clock.now += 2
    display.upload(20_000_000, 40_000_000, 10_000_000)
    shown = drawn(display)
    assert "20.0 MB of 30.0 MB, 10.0 MB/s, 1.0 s left" in shown
    assert "40.0 MB, 25 % already on a-name-as-long-as-anybody" in shown
    assert max(map(len, shown.splitlines())) <= 80
    display.upload(30_000_000, 40_000_000, 10_000_000)
    pictures = []
    for event in events():
        display.event(event)
        pictures.append(drawn(display))
    assert "the trainer is starting" in pictures[2]
    assert "epoch 1 of 2, step 18" in pictures[5]
    assert "loss 0.4" in pictures[5]
    assert "2.0 s an epoch, about 2.0 s left" in pictures[7]
    assert "val loss 0.00979993" in pictures[7]
    assert "validating and evaluating" in pictures[9]
    assert pictures[-1].strip() == ""
    assert max(len(line) for picture in pictures for line in picture.splitlines()) <= 80


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert not isinstance(make_display(stream=Terminal()), RichDisplay)


def test_a_question_can_be_asked_in_between(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with make_display(stream=stream, clock=clock) as display:
        display.connecting("lab-gpu-1")
        with display.paused():
            stream.write("Detach? ")
        display.connected("lab-gpu-1", "")
    assert stream.getvalue().index("Detach?") < stream.getvalue().index("Connected to lab-gpu-1.")


def test_remaining_time_comes_from_the_workers_clock() -> None:
    job = JobView()
    for event in list(events())[:8]:
        job.apply(event)
    run = job.current
    assert run is not None
    assert (run.epochs_done, run.seconds_per_epoch, run.seconds_left) == (1, 2.0, 2.0)
    assert run.phase is Phase.TRAINING


def test_a_resumed_run_starts_over() -> None:
    job = JobView()
    for event in list(events())[:8]:
        job.apply(event)
    job.apply(Event(seq=9, t=0, run="centroid", body=RunStarted(index=1, runs=1, model_type="centroid")))
    run = job.current
    assert run is not None
    assert (run.epoch, run.epochs_done, run.phase, run.seconds_left) == (None, 0, Phase.STARTING, None)


def test_a_meter_says_nothing_before_it_knows() -> None:
    meter = Meter(0, 5.0)
    assert (meter.rate(6.0), meter.average) == (None, None)
    meter.update(0, 6.0)
    meter.update(10, 8.0)
    assert (meter.rate(8.0), meter.average) == (5.0, 5.0)
    meter.update(4, 9.0)
    assert meter.rate(10.0) == 2.5


def test_a_rate_waits_until_it_means_something() -> None:
    meter = Meter(0, 0.0)
    meter.update(10, 0.2)
    assert (meter.rate(0.2), meter.rate(0.5)) == (None, 20.0)


def test_a_rate_is_that_of_late() -> None:
    meter = Meter(0, 0.0)
    for second in range(1, 31):
        meter.update(min(second, 20) * 10 + max(second - 20, 0) * 100, float(second))
    assert meter.rate(30.0) == 100
    assert meter.average == 40
    assert meter.rate(30.0 + WINDOW) == 50


def test_an_upload_never_counts_more_than_there_is() -> None:
    upload = Upload(100, 0.0)
    for sent, already in ((60, 30), (0, 0), (60, 90), (0, 100)):
        upload.report(sent, already, 1.0)
        assert upload.done <= 100
    assert upload.complete


def test_log_lines_are_whole() -> None:
    lines = LogLines()
    assert lines.feed("a\nb") == ["a"]
    assert lines.feed("c\n 10%\r 20%\r\nrest") == ["bc", " 20%"]
    assert lines.flush() == ["rest"]
    assert lines.flush() == []
    assert len(lines.feed("x" * 10_000)) == 1


def drawn(display: RichDisplay) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80).print(display.picture())
    return stream.getvalue()
