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

from sleap_rtc.config.identity import Identity, load_identity
from sleap_rtc.jobs.yaml_data import write_yaml
from tests.browser.chromium import Visitor
from tests.e2e.programs import end, word_with
from tests.jobs.conftest import LABELS, training_config
from tests.jobs.ending import end_jobs
from tests.roles.worker_process import ENGINE, TOKEN

PRELUDE = """
    const peer = await import(new URL("static/peer/worker.js", document.baseURI));
    const bytesOf = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
    const hexOf = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const fileOf = ([path, hex]) => ({path, file: new File([bytesOf(hex)], path)});
    const dropped = (files) => Object.entries(files).map(fileOf);
    const until = async (met) => { while (!met()) await new Promise((resolve) => setTimeout(resolve, 20)); };
    const times = {first: 50, most: 500, dead: 3000, ping: 300, poll: 200};
    const meet = async (roomId, workerId, settings) => {
      const room = new peer.Room(roomId, {times, ...settings});
      return {room, worker: await room.connect(workerId)};
    };
    const part = async ({room, worker}) => { await worker.close(); room.close(); };
    const refused = (promise) => promise.then(() => null, ({code, message}) => ({code, sentence: message}));
    const watched = (worker, job, since = 0) => {
      const seen = {events: [], log: ""};
      seen.ended = new Promise((resolve) => {
        seen.stop = worker.watch(job, {
          since, log: true, onEvents: (some) => seen.events.push(...some), onLog: (text) => (seen.log += text),
          onEnded: (reason) => resolve({events: seen.events, log: seen.log, reason}),
        });
      });
      return seen;
    };
    // labels of so many bytes, the same for the same seed; after `shut` so many of them are read, `more` lets
    // one through that waits, and `open` all
    const gated = (size, most, seed = 1) => {
      const words = new Uint32Array(size / 4);
      words[0] = seed;
      for (let at = 1; at < words.length; at += 1) words[at] = Math.imul(words[at - 1], 1664525) + 1013904223;
      const bytes = new Uint8Array(words.buffer);
      bytes.set([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]);
      const waiting = [];
      const gate = {left: Infinity, more: () => waiting.shift()?.()};
      gate.open = () => { gate.left = Infinity; while (waiting.length) gate.more(); };
      gate.shut = () => { gate.left = most; };
      gate.file = {size, stream: () => new Blob([bytes]).stream(), slice: (from, to) => ({arrayBuffer: async () => {
        if ((gate.left -= to - from) < 0) await new Promise((resolve) => waiting.push(resolve));
        return bytes.slice(from, to).buffer;
      }})};
      return gate;
    };
"""
POST = "async ([path, body]) => (await import(new URL('static/api.js', document.baseURI))).post(path, body)"


@dataclass
class PageLab:
    """A room, and its worker.

    Attributes:
        base: the service's address.
        room: the room's id.
        folder: where the worker keeps everything.
        environment: what the worker is started with.
        visitor: a member of the room, whose tab meets it.
    """

    room: str
    folder: Path
    environment: dict[str, str]
    visitor: Visitor
    worker: "subprocess.Popen[str] | None" = None

    @property
    def page(self) -> Page:
        return self.visitor.page

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs"

    @property
    def identity(self) -> Identity:
        return load_identity(self.folder / "home" / "identity")

    @property
    def worker_id(self) -> str:
        return self.identity.worker_id

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
        """Run the body of an async function in the page, after `PRELUDE`; `args` are the room, the worker and these."""
        return self.page.evaluate(f"async (args) => {{{PRELUDE}{script}}}", [self.room, self.worker_id, *arguments])


def package_files(labels: bytes = LABELS, **trainer: Any) -> dict[str, str]:
    """A package of one run, as hex digits by path."""
    config = write_yaml(training_config(**trainer)).encode()
    return {"labels.pkg.slp": labels.hex(), "configs/single.yaml": config.hex()}


@contextmanager
def page_lab(visitor: Visitor, folder: Path, *, engine: str = "auto") -> Iterator[PageLab]:
    """A fresh room of the visitor's; the worker is not started yet."""
    room = visitor.page.evaluate(POST, ["rooms", {"name": "lab"}])["room_id"]
    token = visitor.page.evaluate(POST, [f"rooms/{room}/tokens", {"name": "gpu"}])["token"]
    lab = PageLab(room, folder, {TOKEN: token, ENGINE: engine}, visitor)
    try:
        yield lab
    finally:
        lab.kill_worker()
        end_jobs(lab.jobs)
