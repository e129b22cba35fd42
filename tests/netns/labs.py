"""A service and a relay on the internet, a worker in an office and somebody at home: programs as users start them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sleap_rtc.config.credentials import Credentials
from tests.certificates import certificate_for
from tests.docs.pages import ROOT
from tests.jobs.conftest import LABELS, training_config, write_package
from tests.jobs.ending import end_jobs
from tests.netns.relay import SECRET, Relay
from tests.netns.spaces import Space
from tests.netns.topology import RELAY, SERVICE, Internet
from tests.roles import worker_process

ROOM = "lab"
SERVER = f"https://{SERVICE}"
MB = 1024 * 1024
PACKAGE, MODEL = 2 * MB, MB
"""Bytes of labels that go to a worker, and of a model that comes home."""
TURN_URLS = (
    f"turn:{RELAY}:3478?transport=udp",
    f"turn:{RELAY}:443?transport=tcp",
    f"turns:{RELAY}:443?transport=tcp",
)


@dataclass
class Said:
    """What a command said, and how it ended."""

    code: int
    events: list[dict[str, Any]]
    err: str

    def of(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]

    @property
    def path(self) -> dict[str, Any]:
        """The way that its first link took."""
        found: dict[str, Any] = self.of("connected")[0]["path"]
        return found


@dataclass
class Lab:
    """The room ``lab`` of ada.

    Attributes:
        folder: where everybody's files are.
        internet: all networks.
        relay: coturn.
        certificate: whom everybody trusts.
        token: of the room's workers.
    """

    folder: Path
    internet: Internet
    relay: Relay
    certificate: Path
    token: str = ""
    packages: int = 0
    workers: dict[str, "subprocess.Popen[str]"] = field(default_factory=dict)

    def environment(self, home: str) -> dict[str, str]:
        """What somebody's programs see."""
        return {
            "SLEAP_RTC_HOME": str(self.folder / home / "home"),
            "SLEAP_RTC_SERVER": SERVER,
            "SSL_CERT_FILE": str(self.certificate),
            "COLUMNS": "200",
            "PYTHONPATH": str(ROOT),
        }

    def type(
        self, space: Space, *words: str, program: str = "sleap_rtc", environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """Type a command as ada, somewhere."""
        seen = self.environment("ada") | dict(environment or {})
        folder = self.folder / "ada"
        folder.mkdir(exist_ok=True)
        return space.start(sys.executable, "-m", program, *words, environment=seen, cwd=folder)

    def good(self, space: Space, *words: str) -> Any:
        """The same, of a command that has to end well; what it said, as JSON."""
        with self.type(space, *words, "--json") as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
        return json.loads(out)

    def package(self, size: int = PACKAGE) -> Path:
        """A package that nobody has seen before."""
        self.packages += 1
        labels = LABELS + os.urandom(size)
        return write_package(self.folder / f"package-{self.packages}", {"one": training_config()}, labels)

    def train(self, space: Space, engine: str, worker: str, *words: str, **more: Any) -> "subprocess.Popen[str]":
        """Type ``sleap-rtc train`` with a package that is new."""
        package = self.package()
        output = ("-p", str(package), "-o", str(self.models(package)))
        where = ("--room", ROOM, "--worker", worker, "--transport", engine, "--json")
        return self.type(space, "train", *output, *where, *words, **more)

    def models(self, package: Path) -> Path:
        """Where the models of a package go."""
        return package.with_name(f"{package.name}-models")

    def start_worker(
        self, space: Space, name: str, engine: str, behaviour: str = "good", *, in_room: bool = True
    ) -> None:
        """Start a worker whose trainer pretends; it is there a moment later, see `wait`."""
        folder = self.folder / name
        folder.mkdir()
        environment = self.environment(name) | {
            worker_process.ENGINE: engine,
            worker_process.NAME: name,
            worker_process.MODEL_SIZE: str(MODEL),
        }
        if in_room:
            environment[worker_process.TOKEN] = self.token
        words = (SERVER, str(folder / "jobs"), behaviour, str(folder / "ledger"))
        self.workers[name] = space.start(
            sys.executable, "-m", "tests.roles.worker_process", *words, environment=environment, log=folder / "log"
        )

    def wait(self, name: str) -> str:
        """Wait until a worker has reached the service; the session string that leads to it, if it is in no room."""
        output = self.workers[name].stdout
        assert output is not None
        line = output.readline().strip()
        assert line, (self.folder / name / "log").read_text()
        return line

    def started(self, worker: str) -> int:
        """How many runs a worker's trainer was started for."""
        ledger = self.folder / worker / "ledger"
        return sum(line.startswith("start") for line in ledger.read_text().splitlines()) if ledger.exists() else 0


def ended(process: "subprocess.Popen[str]") -> Said:
    """Wait for the end of a command that says lines of JSON."""
    with process:
        out, err = process.communicate(timeout=200)
    assert "Traceback" not in err, err
    return Said(process.returncode, [json.loads(line) for line in out.splitlines()], err)


class Listening:
    """What a command says while it runs, line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process, self._out, self._err = process, process.stdout, process.stderr
        self._events: list[dict[str, Any]] = []

    def until(self, event: str, enough: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Read on until it says something."""
        for line in self._out:
            self._events.append(json.loads(line))
            if self._events[-1]["event"] == event and enough(self._events[-1]):
                return self._events[-1]
        raise AssertionError(f"it ended without saying {event}: {self._err.read()}")

    def to_its_end(self) -> Said:
        """Read the rest, and wait for its end."""
        with self._process:
            self._events += map(json.loads, self._out)
            err = self._err.read()
        assert "Traceback" not in err, err
        return Said(self._process.returncode, self._events, err)


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """Make the networks, and start service and relay in them; ada is logged in and has a room."""
    certificate = certificate_for(folder, SERVICE, RELAY)
    with ExitStack() as stack:
        internet = Internet(stack)
        relay = Relay(internet.public, folder, certificate)
        stack.callback(relay.stop)
        relay.start()
        lab = Lab(folder, internet, relay, certificate[0])
        stack.callback(_end, lab)
        _serve(stack, lab, certificate)
        relay.wait()
        _log_in(lab)
        yield lab


def _log_in(lab: Lab) -> None:
    # by name alone, which works at the service's own machine; at its other address the login is as good
    local = ("--server", "http://127.0.0.1:8000")
    lab.good(lab.internet.public, "login", "--name", "ada", *local)
    lab.good(lab.internet.public, "room", "create", "--name", ROOM, *local)
    lab.token = lab.good(lab.internet.public, "token", "create", "--room", ROOM, "--name", "workers", *local)["token"]
    credentials = Credentials(Path(lab.environment("ada")["SLEAP_RTC_HOME"]) / "credentials.json")
    login = credentials.login(local[1])
    assert login is not None
    credentials.keep_login(SERVER, login)


def _serve(stack: ExitStack, lab: Lab, certificate: tuple[Path, Path]) -> None:
    public = lab.internet.public
    database = ("--database", str(lab.folder / "service.db"))
    front = ("tests.netns.front", SERVICE, *map(str, certificate), "8000")
    programs = [
        public.start(
            sys.executable, "-m", "sleap_rtc", "server", "run", "--dev", "--port", "8000", *database,
            environment=relaying(), log=lab.folder / "service.log",
        ),
        public.start(sys.executable, "-m", *front, log=lab.folder / "front.log"),
    ]  # fmt: skip
    for program in programs:
        stack.callback(_kill, program)
    for program, mark in zip(programs, ("http://", "listening"), strict=True):
        assert program.stdout is not None
        assert any(mark in line for line in program.stdout), (lab.folder / "service.log").read_text()


def relaying() -> dict[str, str]:
    """What makes a service hand out credentials for the relay."""
    return {"SLEAP_RTC_SERVER_TURN_URLS": json.dumps(TURN_URLS), "SLEAP_RTC_SERVER_TURN_SECRET": SECRET}


def _end(lab: Lab) -> None:
    for name, worker in lab.workers.items():
        _kill(worker)
        end_jobs(lab.folder / name / "jobs")


def _kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    with process:
        process.wait(30)
