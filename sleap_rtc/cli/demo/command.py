"""``sleap-rtc demo``: service, worker and client on this machine, a small video, a real model."""

import contextlib
import importlib.util
import json
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from sleap_rtc.cli import output
from sleap_rtc.cli.demo.processes import Background, end_all, environment, interrupted_by_sigterm, spawn
from sleap_rtc.cli.formats import count, format_size
from sleap_rtc.errors import DependencyError, JobFailedError

EPOCHS = 8
_LIMIT_PX = 3.0
_START_S = 60.0
_DATA_S = 120.0
_SCORE_S = 600.0
_POLL_S = 0.5
_SERVICE = ("fastapi", "uvicorn", "sqlalchemy", "aiosqlite", "alembic")
_URL = re.compile(r"(https?://127\.0\.0\.1:\d+)")
_SESSION = re.compile(r"^(sleap-session:\S+)")


@click.command()
@click.option("--max-epochs", type=click.IntRange(min=1), default=EPOCHS, show_default=True, help="How long to train.")
@click.option("--seed", type=click.IntRange(min=0), help="Which animal to draw; a random one without it.")
@click.option(
    "-o",
    "--output",
    "destination",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("models"),
    show_default=True,
    help="Where the trained model goes.",
)
@click.option("--keep", is_flag=True, help="Keep video, package and the processes' logs.")
def demo(max_epochs: int, seed: int | None, destination: Path, keep: bool) -> None:
    """Train a real model on a small made-up video, everything on this machine.

    A service, a worker and a client are started as they would be on three machines; after about a minute you have a
    model and know how good it is. Nothing but the model stays behind.
    """
    _check_installed()
    with interrupted_by_sigterm(), _Stage(keep) as stage:
        package, held_out = stage.prepare(secrets.randbelow(10_000) if seed is None else seed, max_epochs)
        model = stage.train(package, destination.absolute())
        median = stage.score(model, held_out)
    model = _as_typed(model)
    output.say(f"The model is in {model}")
    if median > _LIMIT_PX:
        raise JobFailedError(
            "The model misses the animal by more than three pixels. Train longer: leave out --max-epochs"
            " or give it a larger number."
            if max_epochs < EPOCHS
            else "The model misses the animal by more than three pixels. Train longer: raise --max-epochs,"
            " or draw another animal with --seed."
        )
    _tell_what_next(model)


class _Stage(contextlib.AbstractContextManager["_Stage"]):
    """The demo's folder and processes; leaving it ends and removes them all, however it is left."""

    def __init__(self, keep: bool) -> None:
        self._keep = keep
        self._folder = Path(tempfile.mkdtemp(prefix="sleap-rtc-demo-")).resolve()
        self._data = self._folder / "data"
        self._started: list[subprocess.Popen[str]] = []
        self._partners: list[Background] = []
        self._client: subprocess.Popen[str] | None = None
        self._session = ""

    def __exit__(self, *_exc: object) -> None:
        with _undisturbed():
            if self._client is not None:
                self._client.kill()  # asked politely it would promise that the job goes on
            output.show_cursor()
            end_all(self._started, self._folder)
            if self._keep:
                output.say(f"Kept for you to look at: {self._folder}")
            else:
                shutil.rmtree(self._folder, ignore_errors=True)

    def prepare(self, seed: int, max_epochs: int) -> tuple[Path, int]:
        """Draw the data while service and worker start; return the package and how many frames it lacks."""
        output.say(f"Drawing a short video of an animal with three nodes (seed {seed}).")
        drawing = self._background(
            "data set",
            "sleap_rtc.cli.demo.dataset",
            str(self._data),
            f"--seed={seed}",
            f"--max-epochs={max_epochs}",
        )
        output.say("Starting the signaling service on a free port of this machine.")
        database = str(self._folder / "service.sqlite")
        service = self._background(
            "service",
            "sleap_rtc",
            *("server", "run", "--host", "127.0.0.1", "--port", "0", "--database", database),
        )
        url = service.wait_for(_URL, _START_S)
        output.say(f"Starting a worker that registers at {url}.")
        worker = self._background("worker", "sleap_rtc", "worker", "--server", url, "--session")
        made = json.loads(drawing.output(_DATA_S))
        self._session = worker.wait_for(_SESSION, _START_S)
        self._partners = [service, worker]
        package, labelled = Path(made["package"]), len(made["labelled"])
        size = format_size(package.stat().st_size)
        output.say(f"Labelled {count(labelled, 'frame')}, packed as SLEAP would: {package.name} ({size}).")
        return package, len(made["held_out"])

    def train(self, package: Path, destination: Path) -> Path:
        """Run the client as a user would and return the new model's folder."""
        output.say("Starting a client: it sends the package to the worker and shows the training there.")
        before = _models(destination)
        command = [sys.executable, "-m", "sleap_rtc", "client", "-s", self._session, "-p", str(package)]
        command += ["--output", str(destination)]
        client = self._client = spawn(command, env=self._env("client"), cwd=self._folder)
        self._started.append(client)
        while (code := _ended(client, _POLL_S)) is None:
            for partner in self._partners:
                partner.check()
        if code != 0:
            output.warn(f"The demo stops here: its client ended with exit code {code}.")
            raise SystemExit(code)
        fresh = sorted(_models(destination) - before)
        if not fresh:
            raise JobFailedError(f"The client ended well but left no new model in {destination}.")
        return fresh[-1]

    def score(self, model: Path, held_out: int) -> float:
        """Measure the model on the frames that were kept apart, print the figure and return it."""
        output.say(f"Trying the model on {count(held_out, 'frame')} that it was not trained on.")
        scoring = self._background("scoring", "sleap_rtc.cli.demo.score", str(model), str(self._data))
        median = float(json.loads(scoring.output(_SCORE_S))["median_px"])
        output.say(f"median error on {held_out} held-out frames: {median:.2f} px")
        return median

    def _background(self, name: str, module: str, *arguments: str) -> Background:
        command = [sys.executable, "-m", module, *arguments]
        started = Background(name, command, env=self._env(name), cwd=self._folder)
        self._started.append(started.process)
        return started

    def _env(self, name: str) -> dict[str, str]:
        return environment(self._folder / f"home-{name.replace(' ', '-')}")


def _ended(process: subprocess.Popen[str], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _models(folder: Path) -> set[Path]:
    return {found.parent for pattern in ("*/best.ckpt", "*/*/best.ckpt") for found in folder.glob(pattern)}


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let cleaning up reach its end; an impatient second Ctrl-C would leave processes behind."""
    import signal

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check_installed() -> None:
    if any(importlib.util.find_spec(name) is None for name in _SERVICE):
        raise DependencyError(
            "The demo runs a signaling service of its own, and its parts are not installed. Install them with:"
            ' pip install "sleap-rtc[server]"'
        )
    if importlib.util.find_spec("sleap_nn") is None or importlib.util.find_spec("sleap_io") is None:
        raise DependencyError(
            "The demo trains a model here, but sleap-nn is not installed. Install it with:"
            ' pip install "sleap-nn[torch]"'
        )


def _as_typed(model: Path) -> Path:
    return model.relative_to(Path.cwd()) if model.is_relative_to(Path.cwd()) else model


def _tell_what_next(model: Path) -> None:
    output.say()
    output.say("Next, find the animal in a video of your own kind:")
    output.say(f"  sleap-nn predict -i video.mp4 -m {shlex.quote(str(model))} -o predictions.slp")
    output.say("Or train your own labels on another machine:")
    output.say("  sleap-rtc server                                        where both can reach it")
    output.say("  sleap-rtc worker                                        on the machine with the GPU")
    output.say('  sleap-rtc client -s "sleap-session:…" -p PACKAGE.zip    here')
