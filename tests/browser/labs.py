"""A room whose worker only pretends to train, for a page to meet."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from sleap_rtc.config.identity import load_identity
from sleap_rtc.jobs.yaml_data import write_yaml
from tests.browser.chromium import Visitor
from tests.e2e.programs import end, word_with
from tests.jobs.conftest import LABELS, training_config
from tests.jobs.ending import end_jobs
from tests.roles.worker_process import ENGINE, TOKEN

PRELUDE = """
    const peer = await import("/dashboard/static/peer/worker.js");
    const bytesOf = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
    const dropped = (files) => Object.entries(files).map(([path, hex]) => ({path, file: new File([bytesOf(hex)], path)}));
    const meet = async (roomId, workerId, settings) => {
      const room = new peer.Room(roomId, {times: {first: 50, most: 500, dead: 3000, ping: 300}, ...settings});
      return {room, worker: await room.connect(workerId)};
    };
    const watched = (worker, job, since = 0) => new Promise((resolve) => {
      const seen = {events: [], log: ""};
      worker.watch(job, {
        since, log: true, onEvents: (some) => seen.events.push(...some), onLog: (text) => (seen.log += text),
        onEnded: (reason) => resolve({...seen, reason}),
      });
    });
"""
POST = "async ([path, body]) => (await import('/dashboard/static/api.js')).post(path, body)"


@dataclass
class PageLab:
    """A room of a visitor's, and its worker.

    Attributes:
        visitor: the room's owner.
        room: its id.
        folder: where the worker keeps everything.
        environment: what the worker is started with.
    """

    visitor: Visitor
    room: str
    folder: Path
    environment: dict[str, str]
    worker: "subprocess.Popen[str] | None" = None

    @property
    def page(self) -> Page:
        return self.visitor.page

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs"

    @property
    def worker_id(self) -> str:
        return load_identity(self.folder / "home" / "identity").worker_id

    def start_worker(self, behaviour: str = "good", **environment: str) -> None:
        """Start the worker, and wait until the service knows it."""
        self.worker = subprocess.Popen(
            [sys.executable, "-m", "tests.roles.worker_process", self.visitor.base, str(self.jobs), behaviour,
             str(self.folder / "ledger.txt")],
            env=os.environ | {"SLEAP_RTC_HOME": str(self.folder / "home")} | self.environment | environment,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        word_with(self.worker, "sleap-session:")

    def kill_worker(self) -> None:
        """``kill -9``: no goodbye to anybody."""
        if self.worker:
            self.worker.send_signal(signal.SIGKILL)
            end(self.worker)
            self.worker = None

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of an async function in the page, after `PRELUDE`; `args` are the arguments."""
        return self.page.evaluate("async (args) => {" + PRELUDE + script + "}", list(arguments))


def package_files(labels: bytes = LABELS, **trainer: Any) -> dict[str, str]:
    """A package of one run, as hex digits by path."""
    return {
        "labels.pkg.slp": labels.hex(),
        "configs/single.yaml": write_yaml(training_config(**trainer)).encode().hex(),
    }


@contextmanager
def page_lab(visitor: Visitor, folder: Path, *, engine: str = "auto") -> Iterator[PageLab]:
    """A fresh room of the visitor's; the worker is not started yet."""
    room = visitor.page.evaluate(POST, ["rooms", {"name": "lab"}])["room_id"]
    token = visitor.page.evaluate(POST, [f"rooms/{room}/tokens", {"name": "gpu"}])["token"]
    lab = PageLab(visitor, room, folder, {TOKEN: token, ENGINE: engine})
    try:
        yield lab
    finally:
        lab.kill_worker()
        end_jobs(lab.jobs)
