"""A room of two members and its worker, as users start them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sleap_rtc.cli.demo.dataset import Dataset, make_dataset
from tests.e2e.programs import end, environment, start, word_with
from tests.jobs.ending import end_jobs
from tests.sandboxes import isolation_here


@dataclass
class Lab:
    """A service, a room of two members, and its worker."""

    folder: Path
    server: str
    dataset: Dataset

    def typed(self, who: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Type a command as a member, in a folder of their own."""
        home = self.folder / who
        home.mkdir(exist_ok=True)
        return subprocess.run(
            [sys.executable, "-m", "sleap_rtc", *words],
            env=environment(home / "home") | {"SLEAP_RTC_SERVER": self.server, "COLUMNS": "200"},
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    def good(self, who: str, *words: str) -> str:
        """The same, of a command that has to end well; what it said."""
        done = self.typed(who, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tracked(self, who: str, name: str, *words: str) -> Path:
        """Look for the animal in the frames of the video that were kept apart; where the predictions are."""
        frames = ",".join(map(str, self.dataset.held_out))
        data = ("--data", str(self.dataset.video), "--frames", frames)
        self.good(who, "track", "--room", "lab", "--auto-select", *data, "-o", name, *words)
        return self.folder / who / name

    def until_listed(self, who: str, model: str) -> None:
        """Wait until a member is shown a model, which its worker tells of within seconds."""
        deadline = time.monotonic() + 60
        while model not in self.good(who, "models", "list", "--room", "lab", "--json"):
            assert time.monotonic() < deadline, f"{model} is not listed"

    def told(self, who: str, *words: str) -> Any:
        """The same, as JSON."""
        return json.loads(self.good(who, *words, "--json"))


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """Run a service and a worker, with two members who are logged in."""
    dataset = make_dataset(folder / "data", seed=0)
    programs = [start(folder, "server", "run", "--dev", "--port", "0", "--database", str(folder / "service.db"))]
    try:
        made = Lab(folder, word_with(programs[0], "http://"), dataset)
        made.good("ada", "login", "--name", "ada")
        made.good("bob", "login", "--name", "bob")
        made.good("ada", "room", "create", "--name", "lab")
        code = made.told("ada", "room", "invite", "lab")["code"]
        made.good("bob", "room", "join", "--code", code)
        token = made.told("ada", "token", "create", "--room", "lab", "--name", "gpu-1")["token"]
        os.environ["SLEAP_RTC_API_KEY"] = token
        try:
            programs.append(start(folder, "worker", "--server", made.server, "--slots", "1", "--name", "gpu-1"))
        finally:
            del os.environ["SLEAP_RTC_API_KEY"]
        if isolation_here().level == "bwrap":
            word_with(programs[1], "bubblewrap")
        word_with(programs[1], "Waiting")
        yield made
    finally:
        for program in reversed(programs):
            program.terminate()
            end(program)
        end_jobs(folder / "worker" / "jobs")
