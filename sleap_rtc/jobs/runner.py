"""``python -m sleap_rtc.jobs.runner``: runs sleap-nn once for a job, inside the sandbox where there is one.

It speaks JSON lines: on standard input come the job and the stop command, on standard output go ``ready``, progress and
the reason of a failure. What sleap-nn prints goes to standard error. `prepare` takes the seconds, `train` and `track`
begin at once, and nothing of a job is known before it arrives: so a runner can be started long before its job. One that
is not goes the same way, so that what it runs cannot tell.

With several devices Lightning starts the other processes of the training: ``… --rank CONFIG``. They have no pipes and
report to nobody; stop reaches them through the first one, and they end with it.
"""

import functools
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from sleap_rtc.jobs.failures import rank_failed
from sleap_rtc.jobs.files import write_atomically
from sleap_rtc.jobs.frame_report import FrameReport, Report
from sleap_rtc.jobs.limits import hold_to
from sleap_rtc.jobs.processes import die_with_parent
from sleap_rtc.jobs.relay import Relay
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.jobs import Verb

RANK = "--rank"
_LAST_MESSAGES = 1.0
_STEP_INTERVAL = 1.0
_ATTEMPTS = 100
_PATIENCE = 0.05
_MAX_REASON = 4000


class Trainer(Protocol):
    """What a runner runs."""

    def prepare(self) -> None:
        """Import everything; touch no device."""

    def train(self, config: Path, heard: Callable[[float], bool], arguments: Sequence[str] = ()) -> int:
        """Train what the config says and return an exit code.

        Args:
            config: the file.
            heard: waits so many seconds for a first message to come through, and tells whether one has.
            arguments: what else to say on sleap-nn's command line: where the videos are.
        """

    def track(self, arguments: Sequence[str], report: Report) -> int:
        """Look for animals and return an exit code.

        Args:
            arguments: what to say on the command line of sleap-nn's ``predict``.
            report: told how many frames of how many were looked at, and in which stage.
        """

    def export(self, arguments: Sequence[str]) -> int:
        """Write a model in another format and return an exit code.

        Args:
            arguments: what to say on the command line of sleap-nn's ``export``.
        """


class SleapNN:
    """The real trainer: sleap-nn's own command, in this process."""

    def prepare(self) -> None:
        """Import sleap-nn and all that it stands on."""
        with _no_device():
            import sleap_nn.cli
            import sleap_nn.inference.run
            import sleap_nn.train  # noqa: F401 - the commands import both only when they run

    def train(self, config: Path, heard: Callable[[float], bool], arguments: Sequence[str] = ()) -> int:
        """Run ``sleap-nn train CONFIG``."""
        import sleap_nn.cli
        import sleap_nn.training.model_trainer as model_trainer

        # its own poll waits 10 ms for a command after every step, and no setting reaches it
        model_trainer.TrainingControllerZMQ = functools.partial(model_trainer.TrainingControllerZMQ, poll_timeout=0)
        model_trainer.ProgressReporterZMQ = _sparing(model_trainer.ProgressReporterZMQ, heard)
        # with these Lightning starts the other processes, where the config asks for several devices
        sys.argv[1:] = [RANK, str(config), *arguments]
        sleap_nn.cli.cli.main(args=["train", str(config), *arguments], prog_name="sleap-nn", standalone_mode=False)
        return 0

    def track(self, arguments: Sequence[str], report: Report) -> int:
        """Run ``sleap-nn predict …``."""
        import sleap_nn.cli

        stages = iter(("predict", "track"))

        def callback() -> Callable[[int, int], None]:
            stage = next(stages, "track")
            return lambda done, total: report(stage, done, total)

        # it makes one for each of its stages, in this order, and prints what it is told
        sleap_nn.cli._gui_progress_callback = callback  # noqa: SLF001 - the only way to hear of frames as they go
        sleap_nn.cli.cli.main(args=["predict", *arguments], prog_name="sleap-nn", standalone_mode=False)
        return 0

    def export(self, arguments: Sequence[str]) -> int:
        """Run ``sleap-nn export …``."""
        import sleap_nn.cli

        sleap_nn.cli.cli.main(args=["export", *arguments], prog_name="sleap-nn", standalone_mode=False)
        return 0

    def join(self, config: Path, arguments: Sequence[str] = ()) -> int:
        """Take part in the training that another process began with `train`, with the same on its command line."""
        import sleap_nn.cli
        import sleap_nn.training.model_trainer as model_trainer

        # all processes must have the same callbacks, for these wait for one another; only the first one's speak
        model_trainer.TrainingControllerZMQ = _silent(model_trainer.TrainingControllerZMQ)
        model_trainer.ProgressReporterZMQ = _silent(_sparing(model_trainer.ProgressReporterZMQ, lambda _: True))
        sleap_nn.cli.cli.main(args=["train", str(config), *arguments], prog_name="sleap-nn", standalone_mode=False)
        return 0


@contextmanager
def _no_device() -> Iterator[None]:
    """Let no import wake the CUDA driver, which would keep the GPUs that it sees then for ever.

    sleap-nn's makes one of Lightning's profilers, and that asks torch whether there is a GPU: NVML answers, which binds
    to nothing, but where it does not the driver would.
    """
    import torch

    driver, name = torch._C, "_cuda_getDeviceCount"  # noqa: SLF001 - every way to the driver leads through it
    count = getattr(driver, name, None)
    if count is None:
        yield  # a torch without CUDA
        return
    setattr(driver, name, lambda: 0)
    try:
        yield
    finally:
        setattr(driver, name, count)


def _sparing(reporter: Any, heard: Callable[[float], bool]) -> type:
    """sleap-nn's reporter, made to send what is read: of the steps, the first of an epoch and then one a second.

    Encoding two messages a step costs half a millisecond, which short steps feel.
    """

    class SparingReporter(reporter):  # type: ignore[misc] # known only where sleap-nn is installed
        _last_step = 0.0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            make_heard(lambda: self.send("connecting"), heard)

        def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
            """Say nothing: the end of the step is enough."""

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            """Report a step that is due."""
            now = time.monotonic()
            # with several processes, all of them must take part: reading the metrics gathers them
            if batch_idx == 0 or now - self._last_step >= _STEP_INTERVAL or trainer.world_size > 1:
                self._last_step = now
                super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    return SparingReporter


def _silent(callback: Any) -> type:
    """One of sleap-nn's callbacks without its socket: a second one would take the first one's place at our ports."""

    class SilentCallback(callback):  # type: ignore[misc] # known only where sleap-nn is installed
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            """Connect to nothing."""

    return SilentCallback


def make_heard(send: Callable[[], object], heard: Callable[[float], bool]) -> None:
    """Send until something comes through: what a publisher says before it knows its subscriber is lost."""
    for _ in range(_ATTEMPTS):
        send()
        if heard(_PATIENCE):
            return


def serve(trainer: Trainer) -> int:
    """Serve one job and return the exit code for this process."""
    die_with_parent()
    relay = Relay(*_take_pipes())
    relay.start()
    code = _guarded(relay, lambda: _serve(relay, trainer))
    relay.close(_LAST_MESSAGES if code == 0 else _LAST_MESSAGES / 4)
    return code


def join(trainer: SleapNN, config: Path, arguments: Sequence[str] = ()) -> int:
    """Be one of the other processes of a training, and return the exit code for this process."""
    die_with_parent()
    try:
        return trainer.join(config, arguments)
    except Exception as error:  # noqa: BLE001 - the log is all that this process has to tell it with
        traceback.print_exc()
        said = rank_failed(os.environ.get("LOCAL_RANK", "?"), type(error).__name__, _reason(error))
        sys.stderr.write(f"{said}\n")
        return 1


def _serve(relay: Relay, trainer: Trainer) -> int:
    trainer.prepare()
    relay.say(type="ready")
    job = relay.next_job()
    hold_to(job["limits"])
    _move_in(Path(job["folder"]), job["environment"])
    if job["verb"] == Verb.TRACK:
        return track(trainer, relay, job)
    if job["verb"] == Verb.EXPORT:
        return export(trainer, relay, job)
    config = job["config"]
    config["trainer_config"]["zmq"] = {
        "controller_port": relay.controller_port,
        "publish_port": relay.publish_port,
    }
    path = Path(job["path"])
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, write_yaml(config).encode(), durable=False)
    return trainer.train(path, relay.heard.wait, job.get("arguments", ()))


def track(trainer: Trainer, relay: Relay, job: Mapping[str, Any]) -> int:
    """Run an inference: its files get their place when they are whole."""
    task = job["task"]
    folder = Path(tempfile.mkdtemp())
    models = [word for model in job["models"] for word in ("--model_paths", model)]
    arguments = ["--data_path", task["data"], *models, "--output_path", str(folder / task["output"])]
    arguments += ["--device", "auto", "--gui", *task["arguments"]]
    code = trainer.track(arguments, FrameReport(relay.say, time.monotonic))
    return _publish(relay, job, folder, code)


def export(trainer: Trainer, relay: Relay, job: Mapping[str, Any]) -> int:
    """Run an export, likewise."""
    folder = Path(tempfile.mkdtemp())
    code = trainer.export([*job["models"], "--output", str(folder), *job["task"]["arguments"]])
    return _publish(relay, job, folder, code)


def _publish(relay: Relay, job: Mapping[str, Any], folder: Path, code: int) -> int:
    """Give results that are whole their place; what is not is cleared with the job's temporary files."""
    # nothing comes over ZMQ that would have to be waited for
    relay.ended.set()
    if code == 0:
        results = Path(job["folder"], "models", job["run"])
        # an attempt that ended before it could say so
        shutil.rmtree(results, ignore_errors=True)
        results.parent.mkdir(exist_ok=True, mode=0o700)
        folder.rename(results)
    return code


def _move_in(folder: Path, environment: Mapping[str, str]) -> None:
    """Take up the job's surroundings: devices, home, working directory."""
    os.environ.update(environment)
    os.chdir(folder)
    # found before, while the libraries were loaded
    tempfile.tempdir = None


def _guarded(relay: Relay, work: Callable[[], int]) -> int:
    try:
        return work()
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except Exception as error:  # noqa: BLE001 - whatever ends a training is its result, and is reported as such
        traceback.print_exc()
        relay.say(type="failed", kind=type(error).__name__, message=_reason(error)[:_MAX_REASON])
        code = getattr(error, "exit_code", 1)
        return code if isinstance(code, int) and code else 1


def _reason(error: Exception) -> str:
    return str(getattr(error, "message", None) or error)


def main(arguments: Sequence[str]) -> int:
    """Serve a job, or join a training that has begun."""
    match arguments:
        case [kind, config, *others] if kind == RANK:
            return join(SleapNN(), Path(config), others)
        case _:
            return serve(SleapNN())


def _take_pipes() -> tuple[int, BinaryIO]:
    """Keep standard input and output for the supervisor; whatever prints or reads from here on gets others."""
    commands, messages = os.dup(0), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return commands, messages


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
