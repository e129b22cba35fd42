import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from sleap_rtc.errors import StorageError
from sleap_rtc.jobs.bounds import Bounds, Excess
from sleap_rtc.jobs.environment import job_environment, runner_environment
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.keeping import copy_model
from sleap_rtc.jobs.supervisor import Supervisor
from sleap_rtc.jobs.yaml_data import read_yaml
from sleap_rtc.protocol.jobs import Event, JobState

from .conftest import (
    FakeRunner,
    all_events,
    ended_by,
    eventually,
    in_an_epoch,
    lives,
    names_in,
    new_board,
    noted,
    of_type,
    running,
    submit,
    surroundings,
    training_config,
    write_package,
)

ONE = {"one": training_config()}
TWO = {"run1": training_config("centroid"), "run2": training_config("centered_instance")}


def states(events: list[Event]) -> list[str]:
    return [str(body.state) for body in of_type(events, "state")]


def started(ledger: Path) -> list[str]:
    return [run for run, _ in noted(ledger)]


async def run_job(
    root: Path, fake: FakeRunner, behaviour: str, tmp_path: Path, **configs: Any
) -> tuple[JobFolder, list[Event]]:
    package = write_package(tmp_path / "package", configs or ONE)
    async with running(new_board(root, fake(behaviour))) as board:
        folder = await submit(board, package)
        return folder, await all_events(board, folder)


async def test_two_runs_train_in_order_and_both_models_are_results(
    root: Path, fake: FakeRunner, ledger: Path, tmp_path: Path
) -> None:
    folder, events = await run_job(root, fake, "good", tmp_path, **TWO)
    assert states(events) == ["received", "staged", "queued", "starting", "running", "finishing", "done"]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert started(ledger) == ["run1", "run2"]
    assert [(body.index, body.runs, body.model_type) for body in of_type(events, "run_started")] == [
        (1, 2, "centroid"),
        (2, 2, "centered_instance"),
    ]
    assert [body.epoch for body in of_type(events, "epoch_ended")] == [0, 1, 0, 1]
    assert [(body.outcome, body.folder) for body in of_type(events, "run_ended")] == [
        ("done", "run1"),
        ("done", "run2"),
    ]
    assert of_type(events, "run_ended")[0].metrics["val/loss"] == 0.5
    paths = [file.path for file in folder.results()]
    assert {"run1/best.ckpt", "run1/last.ckpt", "run2/best.ckpt", "run2/training_log.csv"} <= set(paths)
    exit_record = folder.exit()
    assert exit_record is not None
    assert exit_record.state is JobState.DONE
    assert not folder.scratch.exists()


async def test_every_epoch_begins_with_a_step_event(root: Path, fake: FakeRunner, tmp_path: Path) -> None:
    settings = replace(fake("good"), step_interval=0.0)
    package = write_package(tmp_path / "package", ONE)
    async with running(new_board(root, settings)) as board:
        events = await all_events(board, await submit(board, package))
    kinds = [event.body.type for event in events if event.run]
    assert kinds == ["run_started", *["epoch_started", "step", "epoch_ended"] * 2, "run_ended"]
    assert [body.batch for body in of_type(events, "step")] == [0, 0]


async def test_the_job_sees_no_more_of_the_environment_than_it_needs(
    root: Path, fake: FakeRunner, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "ROOM_SECRET"):
        monkeypatch.setenv(f"SLEAP_RTC_{name}", "secret")
    package = write_package(tmp_path / "package", ONE)
    async with running(new_board(root, fake("endless"))) as board:
        folder = await in_an_epoch(board, package)
        at_first = psutil.Process(noted(ledger)[0][1]).environ()
        await ended_by(board, folder, "cancel")
    environment = surroundings(ledger)
    assert not {"SLEAP_RTC_API_KEY", "SLEAP_RTC_ROOM_SECRET"} & set(at_first | environment)
    assert environment["HOME"] == environment["tempdir"] == str(folder.scratch)
    assert environment["cwd"] == str(folder.work)
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-0"
    await eventually(lambda: not Path(at_first["HOME"]).exists())


async def test_what_ran_is_the_file_with_the_ports_of_the_runner(root: Path, fake: FakeRunner, tmp_path: Path) -> None:
    folder, _ = await run_job(root, fake, "good", tmp_path)
    written = read_yaml(folder.config_in_use("one").read_bytes())
    assert {type(port) for port in written["trainer_config"]["zmq"].values()} == {int}
    assert folder.config_in_use("one").read_bytes() == (folder.models / "one/training_config.yaml").read_bytes()


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("raises", "Run 'one' failed: ValueError: the layers do not fit (exit code 1)."),
        ("exits", "Run 'one' failed: sleap-nn gave no reason (exit code 3)."),
        (
            "killed",
            "Run 'one' failed: sleap-nn was ended by signal 9 (SIGKILL). The machine may have run out",
        ),
        ("oom", "Run 'one' failed: CUDA out of memory (exit code 1). Lower batch_size, use a smaller model"),
        ("no-model", "Run 'one' failed: sleap-nn ended without saving a model."),
        ("missing", "Run 'one' failed: sleap-nn is not installed beside this worker."),
    ],
)
async def test_a_failure_is_explained(root: Path, fake: FakeRunner, tmp_path: Path, behaviour: str, said: str) -> None:
    folder, events = await run_job(root, fake, behaviour, tmp_path)
    last = of_type(events, "state")[-1]
    assert last.state is JobState.FAILED
    assert last.error.sentence.startswith(said)
    assert last.error.code == "job_failed"
    assert of_type(events, "run_ended")[0].outcome == "failed"
    assert folder.results() == []


async def test_a_failure_quotes_the_last_50_lines_of_the_log(root: Path, fake: FakeRunner, tmp_path: Path) -> None:
    _, events = await run_job(root, fake, "exits", tmp_path)
    quoted = of_type(events, "run_ended")[0].error.sentence.splitlines()[2:]
    assert quoted == [f"line {number}" for number in range(10, 60)]


async def test_a_run_that_fails_keeps_the_models_of_earlier_ones(root: Path, fake: FakeRunner, tmp_path: Path) -> None:
    folder, events = await run_job(root, fake, "second-fails", tmp_path, **TWO)
    assert [body.outcome for body in of_type(events, "run_ended")] == ["done", "failed"]
    assert "'run2'" in of_type(events, "state")[-1].error.sentence
    assert {file.path.split("/")[0] for file in folder.results()} == {"run1"}


async def test_junk_from_the_trainer_never_breaks_the_relay(root: Path, fake: FakeRunner, tmp_path: Path) -> None:
    _, events = await run_job(root, fake, "junk", tmp_path)
    assert states(events)[-1] == "done"
    assert [body.epoch for body in of_type(events, "epoch_ended")] == [0, 1]


async def test_the_log_is_clean_and_its_lines_are_bounded(root: Path, fake: FakeRunner, tmp_path: Path) -> None:
    package = write_package(tmp_path / "package", ONE)
    async with running(new_board(root, fake("chatty"))) as board:
        folder = await submit(board, package)
        pieces = [piece async for piece in board.follow_log(folder)]
    text = "".join(piece for _, piece in pieces)
    assert text.splitlines()[0] == "red and quiet"
    assert len(text.splitlines()[1]) == 8192
    assert text == folder.log.read_text()
    assert [following for following, _ in pieces] == [
        len("".join(t for _, t in pieces[: i + 1]).encode()) for i in range(len(pieces))
    ]


async def test_stop_keeps_the_best_model_and_starts_no_further_run(
    root: Path, fake: FakeRunner, ledger: Path, tmp_path: Path
) -> None:
    package = write_package(tmp_path / "package", TWO)
    async with running(new_board(root, fake("endless"))) as board:
        folder = await in_an_epoch(board, package)
        events = await ended_by(board, folder, "stop")
    assert states(events)[-2:] == ["finishing", "done"]
    assert started(ledger) == ["run1"]
    assert [(body.outcome, body.folder) for body in of_type(events, "run_ended")] == [("stopped", "run1")]
    assert "run1/best.ckpt" in [file.path for file in folder.results()]


async def test_cancel_leaves_no_model_and_no_process(
    root: Path, fake: FakeRunner, ledger: Path, tmp_path: Path
) -> None:
    package = write_package(tmp_path / "package", ONE)
    async with running(new_board(root, fake("endless"))) as board:
        folder = await in_an_epoch(board, package)
        events = await ended_by(board, folder, "cancel")
    assert states(events)[-1] == "cancelled"
    assert of_type(events, "run_ended")[0].outcome == "cancelled"
    assert folder.results() == []
    assert not folder.models.exists()
    assert not any(lives(pid) for _, pid in noted(ledger))


@pytest.mark.parametrize("behaviour", ["deaf", "stubborn", "wipes"])
async def test_a_run_that_does_not_listen_is_ended_and_its_best_model_kept(
    root: Path, fake: FakeRunner, ledger: Path, tmp_path: Path, behaviour: str
) -> None:
    package = write_package(tmp_path / "package", ONE)
    async with running(new_board(root, fake(behaviour))) as board:
        folder = await in_an_epoch(board, package)
        events = await ended_by(board, folder, "stop")
    assert states(events)[-1] == "done"
    assert of_type(events, "run_ended")[0].outcome == "stopped"
    assert "one/best.ckpt" in [file.path for file in folder.results()]
    assert not any(lives(pid) for _, pid in noted(ledger))


async def test_a_cancel_overtakes_a_stop_that_takes_long(root: Path, fake: FakeRunner, tmp_path: Path) -> None:
    package = write_package(tmp_path / "package", ONE)
    async with running(new_board(root, replace(fake("deaf"), stop_grace=600))) as board:
        folder = await in_an_epoch(board, package)
        await board.command(folder, "stop")
        events = await ended_by(board, folder, "cancel")
    assert states(events)[-1] == "cancelled"


async def test_what_a_job_left_running_is_gone_when_it_ends(
    root: Path, fake: FakeRunner, ledger: Path, tmp_path: Path
) -> None:
    _, events = await run_job(root, fake, "daemon", tmp_path)
    assert states(events)[-1] == "done"
    ((_, daemon),) = noted(ledger, "daemon")
    assert not lives(daemon)


async def test_a_claimed_job_is_never_run_again(root: Path, fake: FakeRunner, ledger: Path, tmp_path: Path) -> None:
    folder, events = await run_job(root, fake, "good", tmp_path)
    command = [
        sys.executable,
        "-m",
        "sleap_rtc.jobs.supervisor",
        str(folder.path),
        "--settings",
        fake("good").to_json(),
    ]
    second = await asyncio.to_thread(subprocess.run, command, check=True)
    assert second.returncode == 0
    assert started(ledger) == ["one"]
    assert len(folder.events.read_text().splitlines()) == len(events)


async def test_the_supervisor_says_who_it_is_and_beats(root: Path, fake: FakeRunner, tmp_path: Path) -> None:
    package = write_package(tmp_path / "package", ONE)
    async with running(new_board(root, fake("endless"))) as board:
        folder = await in_an_epoch(board, package)
        first = folder.supervisor()
        assert first is not None
        assert first.pid != os.getpid()
        assert os.getsid(first.pid) == first.pid
        await eventually(lambda: folder.supervisor().heartbeat > first.heartbeat)  # type: ignore[union-attr]
        await ended_by(board, folder, "cancel")


def test_what_is_kept_is_never_written_through_a_link(tmp_path: Path) -> None:
    source, models = tmp_path / "control/kept/run", tmp_path / "work/models"
    source.mkdir(parents=True)
    (source / "best.ckpt").write_text("model")
    foreign = tmp_path / "foreign"
    (foreign / "run").mkdir(parents=True)
    (foreign / "run/best.ckpt").write_text("mine")
    models.parent.mkdir()
    models.symlink_to(foreign)
    copy_model(source, models / "run", below=tmp_path)
    models.unlink()
    (models / "run").mkdir(parents=True)
    (models / "run/best.ckpt").symlink_to(foreign / "run/best.ckpt")
    copy_model(source, models / "run", below=tmp_path)
    assert (foreign / "run/best.ckpt").read_text() == "mine"
    assert (models / "run/best.ckpt").read_text() == "model"
    assert not (models / "run/best.ckpt").is_symlink()


def test_a_model_is_copied_by_path_where_folders_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", set())
    (tmp_path / "work/models/run").mkdir(parents=True)
    (tmp_path / "work/models/run/best.ckpt").write_text("model")
    copy_model(tmp_path / "work/models/run", tmp_path / "control/kept/run", below=tmp_path)
    assert (tmp_path / "control/kept/run/best.ckpt").read_text() == "model"


unix = pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be opened there")


@unix
def test_of_a_run_that_is_ended_by_force_nothing_is_kept_but_its_own_files(tmp_path: Path) -> None:
    foreign, models, kept = tmp_path / "foreign", tmp_path / "work/models", tmp_path / "control/kept"
    for folder in (foreign, models / "run", kept.parent):
        folder.mkdir(parents=True)
    (foreign / "best.ckpt").write_text("somebody else's")
    (models / "run/best.ckpt").symlink_to(foreign / "best.ckpt")
    os.mkfifo(models / "run/last.ckpt")
    (models / "run/training_log.csv").write_text("epoch")
    copy_model(models / "run", kept / "run", below=tmp_path)
    assert names_in(kept / "run") == ["training_log.csv"]


@unix
def test_a_folder_that_a_job_swaps_for_a_link_while_its_model_is_kept_leads_nowhere(tmp_path: Path) -> None:
    foreign, models, kept = tmp_path / "foreign", tmp_path / "work/models", tmp_path / "control/kept"
    for folder in (foreign, models / "run", kept.parent):
        folder.mkdir(parents=True)
    (foreign / "best.ckpt").write_text("somebody else's")
    (models / "run/best.ckpt").write_text("mine")
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            (models / "run").rename(models / "aside")
            (models / "run").symlink_to(foreign)
            (models / "run").unlink()
            (models / "aside").rename(models / "run")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for _ in range(300):
            copy_model(models / "run", kept / "run", below=tmp_path)
            if (kept / "run/best.ckpt").exists():
                assert (kept / "run/best.ckpt").read_text() == "mine"
    finally:
        ended.set()
        swapping.join()


async def test_a_heartbeat_that_cannot_be_written_ends_nothing(
    root: Path, fake: FakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(JobFolder, "heartbeat", full)
    folder = await supervised(root, fake, tmp_path, monkeypatch)
    assert folder.state().state is JobState.DONE


async def test_what_goes_wrong_in_the_supervisor_fails_the_job_with_its_sentence(
    root: Path, fake: FakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await supervised(
        root, fake, tmp_path, monkeypatch, spoil=lambda folder: folder.config_of("one").write_bytes(b"{")
    )
    state = folder.state()
    assert state.state is JobState.FAILED
    assert state.error is not None
    assert state.error.sentence.startswith("The job failed: it is not YAML")
    assert folder.exit() is not None


async def test_a_job_that_left_a_link_in_the_place_of_its_temporary_files_fails_with_a_sentence(
    root: Path, fake: FakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave_link(folder: JobFolder) -> None:
        folder.scratch.rmdir()
        folder.scratch.symlink_to(tmp_path / "nowhere")

    folder = await supervised(root, fake, tmp_path, monkeypatch, spoil=leave_link)
    state = folder.state()
    assert state.state is JobState.FAILED
    assert state.error is not None
    assert "tmp' is no folder" in state.error.sentence
    assert not (tmp_path / "nowhere").exists()


async def test_a_job_whose_hours_are_over_stops_properly_and_has_failed_with_its_model_kept(
    root: Path, fake: FakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_long = Excess("it has run for more than 48 hours.", "stop")
    # as soon as it is known to train
    journal = JobFolder(root / "j_12345678").events
    monkeypatch.setattr(
        Bounds, "excess", property(lambda _: too_long if "epoch_ended" in journal.read_text() else None)
    )
    folder = await supervised(root, fake, tmp_path, monkeypatch, behaviour="endless")
    (state, exit_record) = folder.state(), folder.exit()
    assert state.state is JobState.FAILED
    assert state.error is not None
    assert state.error.sentence == (
        "Run 'one' was ended: it has run for more than 48 hours. Its best model so far is kept and can be fetched."
    )
    assert exit_record is not None
    assert exit_record.runs[0].exit_code == 0
    assert "one/best.ckpt" in [file.path for file in folder.results()]


async def supervised(
    root: Path, fake: FakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *,
    spoil: Callable[[JobFolder], object] = lambda folder: None, behaviour: str = "good",
) -> JobFolder:  # fmt: skip
    """A job seen through by a supervisor in this process, whose other children are none of the job's."""
    for module in ("supervisor", "runners"):
        monkeypatch.setattr(f"sleap_rtc.jobs.{module}.kill_descendants", lambda: True)
    monkeypatch.setattr("sleap_rtc.jobs.run.reap_orphans", lambda _: None)
    folder = await submit(new_board(root, fake("good")), write_package(tmp_path / "package", ONE))
    spoil(folder)
    await asyncio.to_thread(Supervisor(folder, fake(behaviour)).run)
    return folder


def test_nothing_of_a_job_looks_for_weights_in_the_network(tmp_path: Path) -> None:
    environment = job_environment(tmp_path / "scratch", [], source={"TORCH_HOME": "/home/alice/torch"})
    assert environment["TORCH_HOME"] == str(tmp_path / "scratch/torch")
    environment = runner_environment("mark", tmp_path, source={})
    assert (environment["HF_HUB_OFFLINE"], environment["TRANSFORMERS_OFFLINE"]) == ("1", "1")
