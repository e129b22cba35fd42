"""What code of a stranger's gets at: first without a sandbox, where it bites, then in one, where it finds nothing."""

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from sleap_rtc.jobs.sandbox import compiled
from sleap_rtc.jobs.sandbox.choosing import choose
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.jobs import Event, JobState
from sleap_rtc.protocol.training import TrainOptions
from tests.sandboxes import isolation_here, sandbox_for

from .canaries import checkpoint
from .conftest import (
    OWNER,
    STRANGER,
    all_events,
    ended_by,
    eventually,
    fake_settings,
    in_an_epoch,
    new_board,
    noted,
    of_type,
    running,
    submit,
)
from .fakes import FAKE, QUICK

CARELESS = FAKE.with_name("canary_runner.py")
CODE = FAKE.parent.parent
"""The tests themselves, which no worker would show to a job."""
SECRET = "slp_this_is_the_workers_token"
DAEMON = "sleap-rtc-test-canary"
LEVELS = ("none", "bwrap")
CALLED = ("cmdline",)


@dataclass(frozen=True)
class Den:
    """A worker's machine, with all that is worth stealing there."""

    home: Path
    root: Path
    port: int

    def settings(self, level: str) -> SupervisorSettings:
        sandbox = sandbox_for(self.root, readable=(CODE,)) if level == "bwrap" else None
        return replace(QUICK, runner=(sys.executable, str(CARELESS)), sandbox=sandbox)


@pytest.fixture
def den(tmp_path: Path, root: Path) -> Iterator[Den]:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    for name in ("credentials.json", ".ssh/id_ed25519"):
        (home / name).write_text(SECRET)
    root.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Den(home, root, server.getsockname()[1])


def greedy(den: Den, job: str, other: str) -> bytes:
    """A checkpoint that wants all of it."""
    return checkpoint(
        read={
            "token": den.home / "credentials.json",
            "key": den.home / ".ssh" / "id_ed25519",
            "other job": den.root / other / "inputs" / "one.yaml",
            "spec": den.root / job / "spec.json",
            "journal": den.root / job / "control" / "events.jsonl",
            "passwords": Path("/etc/shadow"),
        },
        folders={"home": den.home, "jobs of others": den.root / other, "control": den.root / job / "control"},
        write={
            "inputs": den.root / job / "inputs" / "labels.pkg.slp",
            "stop": den.root / other / "control" / "commands" / "cancel",
            "profile": den.home / ".profile",
            "packages": Path(json.__file__).with_name("canary.py"),
            "system": Path("/usr/lib/sleap-rtc-canary"),
        },
        connect={"a server of this machine": ("127.0.0.1", den.port)},
        processes={"the worker": os.getpid()},
        environment={"an environment variable": "SLEAP_RTC_API_KEY"},
        daemon=DAEMON,
    )


async def bite(den: Den, level: str, package: Path) -> dict[str, Any]:
    """What the checkpoint of job j_mine0001 got at, while the job j_other001 of somebody else lies there too."""
    async with running(new_board(den.root, den.settings(level))) as board:
        # it needs not run to be stolen from
        other = await board.receive(
            "j_other001", owner=STRANGER, name="test", manifest_digest="0" * 64, options=TrainOptions()
        )
        shutil.copytree(package, other.inputs, dirs_exist_ok=True)
        (package / "weights.ckpt").write_bytes(greedy(den, "j_mine0001", "j_other001"))
        folder = await submit(board, package, "j_mine0001", OWNER)
        await all_events(board, folder)
    found: dict[str, Any] = json.loads((folder.work / "canary.json").read_text())
    return found


@pytest.mark.parametrize("level", LEVELS)
async def test_a_checkpoint_with_code_bites_without_a_sandbox_and_finds_nothing_in_one(
    level: str, den: Den, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEAP_RTC_API_KEY", SECRET)
    left = [Path(json.__file__).with_name("canary.py"), Path("/usr/lib/sleap-rtc-canary")]
    try:
        got = await bite(den, level, package)
    finally:
        for path in left:
            path.unlink(missing_ok=True)
    # whatever the level: it is never in a job's environment, and what it leaves running ends with it
    assert got.pop("an environment variable") is None
    assert got.pop("a daemon") is not None
    # the kernel ends them beside whoever ends their sandbox
    await eventually(
        lambda: not any(DAEMON in (each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"]))
    )
    root_only = {"passwords", "packages", "system", "inputs"}
    if level == "bwrap":
        assert got == dict.fromkeys(got)
        assert not (den.home / ".profile").exists()
        return
    unharmed = {name for name, value in got.items() if value is None}
    assert unharmed <= (set() if os.geteuid() == 0 else root_only)
    assert got["token"] == SECRET


async def test_a_job_in_a_sandbox_reads_mounts_and_writes_where_it_may(den: Den, package: Path, tmp_path: Path) -> None:
    lab, scratch = tmp_path / "lab", tmp_path / "scratch"
    for place in (lab, scratch):
        place.mkdir()
        (place / "video").write_text("frames")
    settings = den.settings("bwrap")
    assert settings.sandbox is not None
    shown = replace(settings.sandbox, readable=(*settings.sandbox.readable, str(lab)), writable=(str(scratch),))
    (package / "weights.ckpt").write_bytes(
        checkpoint(
            read={"video": lab / "video"},
            write={"lab": lab / "new", "scratch": scratch / "new"},
        )
    )
    async with running(new_board(den.root, replace(settings, sandbox=shown))) as board:
        folder = await submit(board, package)
        await all_events(board, folder)
    got = json.loads((folder.work / "canary.json").read_text())
    assert got == {"video": "frames", "lab": None, "scratch": len("bitten")}
    assert (scratch / "new").read_text() == "bitten"


def sandboxed(root: Path, ledger: Path, behaviour: str = "good") -> SupervisorSettings:
    """The fake trainer in a sandbox, its ledger beside the job."""
    return replace(
        fake_settings(ledger, behaviour), sandbox=sandbox_for(root, readable=(CODE,), writable=(ledger.parent,))
    )


def ended(events: list[Event]) -> tuple[JobState, str | None]:
    """How a job ended, and why."""
    body: Any = events[-1].body
    return body.state, body.error.sentence if body.error else None


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A ledger in a folder of its own, for that is what the sandbox lets the fake write to."""
    folder = tmp_path / "written"
    folder.mkdir()
    (folder / "ledger").touch()
    return folder / "ledger"


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_a_training_in_a_sandbox_reports_and_brings_its_model(
    warm: bool, root: Path, written: Path, package: Path
) -> None:
    async with running(new_board(root, sandboxed(root, written), warm=warm)) as board:
        folder = await submit(board, package)
        events = await all_events(board, folder)
    assert ended(events) == (JobState.DONE, None)
    assert [body.epoch for body in of_type(events, "epoch_ended")] == [0, 1]
    assert (folder.models / "one" / "best.ckpt").is_file()
    surroundings = json.loads(written.with_suffix(".surroundings").read_text())
    assert surroundings["cwd"] == str(folder.work)


@pytest.mark.parametrize(("behaviour", "code"), [("endless", 0), ("deaf", -15), ("stubborn", -9)])
async def test_a_training_in_a_sandbox_stops(
    behaviour: str, code: int, root: Path, written: Path, package: Path
) -> None:
    # whoever obeys gets the time for it that a busy machine takes
    settings = replace(sandboxed(root, written, behaviour), stop_grace=QUICK.stop_grace if code else 60.0)
    async with running(new_board(root, settings)) as board:
        folder = await in_an_epoch(board, package)
        events = await ended_by(board, folder, "stop")
    assert ended(events) == (JobState.DONE, None)
    record = folder.exit()
    assert record is not None
    assert (record.runs[0].outcome, record.runs[0].exit_code) == ("stopped", code)


@pytest.mark.parametrize(("behaviour", "said"), [("killed", "signal 9"), ("raises", "the layers do not fit")])
async def test_how_a_training_in_a_sandbox_failed_is_told_as_without(
    behaviour: str, said: str, root: Path, written: Path, package: Path
) -> None:
    sentences: list[str | None] = []
    for settings in (fake_settings(written, behaviour), sandboxed(root, written, behaviour)):
        async with running(new_board(root, settings)) as board:
            folder = await submit(board, package, f"j_{len(sentences)}2345678")
            state, sentence = ended(await all_events(board, folder))
        assert state is JobState.FAILED
        sentences.append(sentence)
    assert sentences[0] == sentences[1]
    assert said in str(sentences[0])


async def test_a_job_is_not_started_at_all_where_its_sandbox_cannot_be_made(
    root: Path, written: Path, package: Path
) -> None:
    settings = sandboxed(root, written)
    assert settings.sandbox is not None
    broken = replace(settings, sandbox=replace(settings.sandbox, readable=("/does/not/exist",)))
    async with running(new_board(root, broken)) as board:
        folder = await submit(board, package)
        state, sentence = ended(await all_events(board, folder))
    assert state is JobState.FAILED
    assert "sandbox could not be made" in str(sentence)
    assert noted(written) == []


async def test_a_user_whose_home_is_the_root_folder_gets_a_sandbox(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many users of containers and services are, whose home nobody has made."""
    sandbox_for(root)
    monkeypatch.setenv("HOME", "/")
    found = await asyncio.to_thread(choose, "bwrap", root)
    assert found.reason == "its self-test passed"


async def test_a_job_that_reports_to_wandb_reaches_the_network_and_others_do_not(den: Den, package: Path) -> None:
    (package / "weights.ckpt").write_bytes(checkpoint(connect={"server": ("127.0.0.1", den.port)}))
    got = []
    for job, options, key in (
        ("j_without1", TrainOptions(), None),
        ("j_with0001", TrainOptions(wandb=True), "k" * 40),
    ):
        async with running(new_board(den.root, den.settings("bwrap"), warm=True, allow_wandb=True)) as board:
            folder = await submit(board, package, job, options=options, wandb_key=key)
            await all_events(board, folder)
        got.append(json.loads((folder.work / "canary.json").read_text())["server"])
    assert got == [None, "connected"]


def test_what_compiles_ahead_knows_no_secret_and_imports_nothing_from_where_the_worker_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, found, here = tmp_path / "late", tmp_path / "found", tmp_path / "here"
    for folder in (package, here):
        folder.mkdir()
    (package / "__init__.py").touch()
    (here / "json.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(here)
    monkeypatch.setenv("SLEAP_RTC_API_KEY", SECRET)
    monkeypatch.setattr(compiled, "_FIRST_IMPORTED", "late")
    monkeypatch.setattr(compiled, "_IMPORT", f"import json, os; json.dump(dict(os.environ), open({str(found)!r}, 'w'))")
    compiled.compile_once()
    assert SECRET not in json.loads(found.read_text()).values()


def test_this_machine_isolates() -> None:
    """Where continuous integration runs, an inactive sandbox is a failure."""
    sandbox_for(Path("/tmp"))
    assert isolation_here().level == "bwrap"
