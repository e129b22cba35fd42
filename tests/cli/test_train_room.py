"""``train --room``: which worker gets the job, and what a user is told and asked."""

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sleap_rtc.cli.choosing import RoomChoice
from sleap_rtc.cli.following import _unless
from sleap_rtc.cli.times import DAY_MS
from sleap_rtc.cli.where import WhereTyped, find_where
from sleap_rtc.client.choice import RULE, Wish
from sleap_rtc.config.settings import ClientSection, Settings
from sleap_rtc.errors import UsageError
from tests.cli.room_lab import RoomLab, room_lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        yield found


async def test_auto_select_trains_on_the_largest_free_worker(lab: RoomLab) -> None:
    async with lab.worker("small", 8), lab.worker("large", 80), lab.worker("many", 24, 24):
        command = ("train", "--room", "lab", "--auto-select", "-p", str(lab.package()), "--json")
        result = await lab.run(*command)
        assert result.code == 0, result.err
        assert f"Auto-select ({RULE}): large (Test GPU 80 (80 GiB)), free, and with the most GPU memory" in result.err
        assert [lab.starts(name) for name in ("small", "large", "many")] == [0, 1, 0]
        events = [json.loads(line) for line in result.out.splitlines()]
        assert [event["worker"] for event in events if event["event"] == "connected"] == ["large"]
        uploads = [event for event in events if event["event"] == "upload"]
        assert (uploads[0]["sent"], uploads[0]["already"]) == (0, 0)
        assert (uploads[-1]["sent"], uploads[-1]["already"]) == (uploads[-1]["total"], 0)
        assert (lab.folder / "models" / "single_instance" / "best.ckpt").is_file()


async def test_who_joins_with_a_code_can_train(lab: RoomLab) -> None:
    invite = await lab.api.create_invite(lab.room.room_id)
    grace = await lab.user("grace", member=False)
    command = ("train", "--room", "lab", "--auto-select", "-p", str(lab.package()), "-o", str(grace / "models"))
    async with lab.worker("large", 80):
        refused = await lab.run(*command, user=grace)
        assert (refused.code, "there is none called 'lab'" in refused.err) == (2, True)
        joined = await lab.run("room", "join", "--code", invite.code, user=grace)
        assert joined.code == 0, joined.err
        result = await lab.run(*command, user=grace)
        assert result.code == 0, result.err
    assert (grace / "models" / "single_instance" / "best.ckpt").is_file()


async def test_a_free_worker_before_a_busy_one_and_the_same_command_finds_its_job(lab: RoomLab) -> None:
    async with lab.worker("small", 8), lab.worker("large", 80, behaviour="endless"):
        endless = ("train", "--room", lab.room.room_id, "--auto-select", "-p", str(lab.package("endless")))
        first = await start(lab, *endless)
        await lab.until_load("large", 1, 0)
        await leave(first)
        # what is new goes to the worker that is free
        other = await lab.run("train", "--room", "lab", "--auto-select", "-p", str(lab.package()))
        assert other.code == 0, other.err
        assert "small (Test GPU 8 (8 GiB)), the only free one of 2." in other.err
        # the same package goes to the one that has it, though another is free
        again = await start(lab, *endless)
        await said(again, "going on with it")
        await leave(again)
        assert (lab.starts("small"), lab.starts("large")) == (1, 1)
        assert len(list(lab.jobs_of("large").glob("j_*"))) == 1


async def test_a_job_whose_worker_is_away_is_not_made_twice(lab: RoomLab) -> None:
    command = ("train", "--room", "lab", "--auto-select", "-p", str(lab.package()))
    async with AsyncExitStack() as large, lab.worker("small", 8):
        await large.enter_async_context(lab.worker("large", 80, behaviour="endless"))
        first = await start(lab, *command)
        await lab.until_load("large", 1, 0)
        await leave(first)
        await large.aclose()
        result = await lab.run(*command)
        assert result.code == 4
        assert "on large, which is not online" in result.err
        assert "--new" in result.err
        assert (await lab.run(*command, "--new")).code == 0
        assert lab.starts("small") == 1


async def test_a_pipe_cannot_be_asked(lab: RoomLab) -> None:
    async with lab.worker("small", 8), lab.worker("large", 80):
        result = await lab.run("train", "--room", "lab", "-p", str(lab.package()))
        assert result.code == 2
        assert "(large, small)" in result.err
        assert "--auto-select" in result.err
        assert "--worker" in result.err
        named = await lab.run("train", "--room", "lab", "--worker", "small", "-p", str(lab.package()))
        assert named.code == 0, named.err
        assert (lab.starts("small"), lab.starts("large")) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--room", "lab"], 4, "No worker of the room 'lab' is online"),
        (["--room", "nowhere"], 2, "no room with the id or name 'nowhere'"),
        (["--room", "../../.ssh/id_rsa"], 2, "no room with the id or name"),
        ([], 2, "--session-string"),
        (["--room", "lab", "--min-gpu-memory", "much"], 2, "no amount of GPU memory"),
        (["--room", "lab", "--server", "http://127.0.0.1:9"], 3, "sleap-rtc login"),
    ],
    ids=["no worker", "no such room", "a path", "neither", "memory", "not logged in"],
)
async def test_what_leads_nowhere_is_a_sentence(lab: RoomLab, arguments: list[str], code: int, words: str) -> None:
    result = await lab.run("train", *arguments, "--auto-select", "-p", str(lab.package()))
    assert (result.code, result.err.count("error: ")) == (code, 1), result.err
    assert words in result.err


async def test_an_expired_room_says_so(lab: RoomLab) -> None:
    await lab.api.create_room("brief", 1)
    now = lab.service.service.clock()
    lab.service.service.clock = lambda: now + 2 * DAY_MS
    result = await lab.run("train", "--room", "brief", "--auto-select", "-p", str(lab.package()))
    assert result.code == 2
    assert "'brief' expired" in result.err


async def test_a_worker_is_chosen_in_a_terminal(lab: RoomLab) -> None:
    async with lab.worker("small", 8), lab.worker("large", 80), lab.worker("cpu"):
        terminal = await Terminal.open(lab, "train", "--room", "lab", "-p", str(lab.package()))
        shown = await terminal.until("Which one?")
        for words in ("worker", "GPU", "memory", "queue", "1  large", "80 GiB", "2  small", "3  cpu", "free"):
            assert words in shown
        terminal.type("7\n")
        await terminal.until("Which one?")
        terminal.type("2\n")
        assert await terminal.code() == 0
        assert [lab.starts(name) for name in ("small", "large", "cpu")] == [1, 0, 0]


async def test_ctrl_c_at_the_question_leaves_nothing_running(lab: RoomLab) -> None:
    async with lab.worker("small", 8), lab.worker("large", 80):
        terminal = await Terminal.open(lab, "train", "--room", "lab", "-p", str(lab.package()))
        await terminal.until("Which one?")
        assert await terminal.code(press="\x03") == 130
        await terminal.until("Interrupted before this command had a job")
        assert not list(lab.jobs_of("large").glob("j_*"))


async def test_a_ctrl_c_in_the_moment_a_step_ends_is_not_lost() -> None:
    interrupted: asyncio.Queue[int] = asyncio.Queue()
    interrupted.put_nowait(2)

    async def step() -> str:
        return "done"

    assert await _unless(interrupted, step()) == "done"
    assert interrupted.get_nowait() == 2


ROOM = RoomChoice("lab", auto_select=False, wish=Wish())
DEFAULT = Settings(default_room="lab", client=ClientSection(auto_select=True))


def typed(**values: object) -> WhereTyped:
    nothing = {
        "session_string": None, "session_typed": False, "room": None, "auto_select": None, "worker": None,
        "min_gpu_memory": None,
    }  # fmt: skip
    return WhereTyped(**(nothing | values))  # type: ignore[arg-type]


def test_where_to_train_comes_from_the_nearest_place() -> None:
    assert find_where(typed(room="lab"), Settings()) == ROOM
    assert find_where(typed(session_string="s", session_typed=True), DEFAULT) == "s"
    # from the environment: before the files, after what is typed
    assert find_where(typed(session_string="s"), DEFAULT) == "s"
    assert find_where(typed(session_string="s", room="lab"), Settings()) == ROOM
    assert find_where(typed(), DEFAULT) == RoomChoice("lab", auto_select=True, wish=Wish())
    assert find_where(typed(auto_select=False), DEFAULT) == ROOM
    found = find_where(typed(worker="a", min_gpu_memory="24GB"), DEFAULT)
    assert isinstance(found, RoomChoice)
    assert found.wish == Wish("a", 24 * 10**9)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"session_string": "s", "session_typed": True, "room": "lab"},
        {"session_string": "s", "worker": "a"},
        {"session_string": "s", "min_gpu_memory": "24GB"},
    ],
)
def test_contradictions_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        find_where(typed(**values), Settings())


async def start(lab: RoomLab, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sleap_rtc", *arguments, cwd=lab.folder, env=lab.environment(),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def said(process: asyncio.subprocess.Process, words: str) -> None:
    assert process.stderr
    async with asyncio.timeout(60):
        while line := (await process.stderr.readline()).decode():
            if words in line:
                return
    raise AssertionError(f"it never said '{words}'")


async def leave(process: asyncio.subprocess.Process) -> None:
    """Press Ctrl-C without a terminal: the job goes on."""
    process.terminate()
    async with asyncio.timeout(60):
        await process.communicate()


class Terminal:
    """A command in a pseudo-terminal."""

    def __init__(self, process: asyncio.subprocess.Process, descriptor: int) -> None:
        self._process = process
        self._descriptor = descriptor
        self._shown = ""
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    @classmethod
    async def open(cls, lab: RoomLab, *arguments: str) -> "Terminal":
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", IN_TERMINAL, *arguments, cwd=lab.folder,
            env=lab.environment() | {"TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        return cls(process, ours)

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    async def until(self, words: str) -> str:
        """Wait until `words` are shown; return all that was shown since the last time."""
        async with asyncio.timeout(60):
            while words not in self._shown:
                self._news.clear()
                await self._news.wait()
        shown, self._shown = self._shown, ""
        return shown

    async def code(self, *, press: str = "") -> int:
        """Wait for the end, pressing a key until it comes: one that falls between two reads is heard at the next."""
        ended = asyncio.ensure_future(self._process.wait())
        async with asyncio.timeout(60):
            while not ended.done():
                if press:
                    self.type(press)
                await asyncio.wait({ended}, timeout=0.5 if press else None)
        return ended.result()

    def _read(self) -> None:
        try:
            self._shown += os.read(self._descriptor, 65536).decode(errors="replace")
        except OSError:  # how a terminal whose program ended says so
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
        self._news.set()


# the terminal becomes the session's own, so that Ctrl-C typed there is a signal
IN_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from sleap_rtc.cli.main import run
run()
"""
