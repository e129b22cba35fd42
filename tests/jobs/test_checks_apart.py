"""What a file can do that takes over the check which reads it: nothing to anybody else.

A helper that obeys its files stands for one with a flaw. Without a sandbox the canaries sing, so it is known that they
can.
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from sleap_rtc.jobs.checking import Preflight, PreflightSettings
from sleap_rtc.jobs.findings import Findings
from sleap_rtc.jobs.folder import JobFolder
from tests.sandboxes import sandbox_for

from .conftest import eventually, lives, names_in, words

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="checks have processes of their own on Linux"),
    pytest.mark.xdist_group("apart"),
    pytest.mark.asyncio(loop_scope="module"),
]
HELPER = Path(__file__).with_name("hostile_check.py")
MINE, OTHER = "j_11111111", "j_22222222"
inside = pytest.mark.parametrize("checks", ["bwrap"], indirect=True, scope="module")
crashes = pytest.mark.parametrize(
    "code",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "import os; os._exit(0)",
        "raise SystemExit",
        "bytearray(64 << 30)",
        "found.append('x' * 2_000_000)",
    ],
    ids=["crash", "end", "exit", "memory", "flood"],
)


class Checks:
    """A helper that obeys, and the jobs that it checks."""

    def __init__(self, jobs: Path, mount: Path, preflight: Preflight, *, sandboxed: bool) -> None:
        self.jobs, self.mount, self.sandboxed = jobs, mount, sandboxed
        self.keys = mount / "keys"
        self._preflight = preflight

    def job(self, name: str, code: str = "") -> JobFolder:
        folder = JobFolder(self.jobs / name)
        for path in (folder.inputs, folder.control):
            path.mkdir(parents=True, exist_ok=True)
        (folder.control / "state.json").touch()
        (folder.inputs / "do.py").write_text(code)
        return folder

    async def of(self, name: str, code: str) -> Findings:
        return await self._preflight.check(self.job(name, code), ())

    async def found(self, name: str, code: str) -> Any:
        findings = await self.of(name, code)
        assert not findings.unchecked, findings
        return json.loads("".join(findings.notices))

    async def helper(self) -> int:
        """The pid of the process that forks the checks, as they see it."""
        (pid,) = await self.found(MINE, "import os; found.append(os.getppid())")
        return int(pid)


@asynccontextmanager
async def at_work(folder: Path, within: float, *, sandboxed: bool) -> AsyncIterator[Checks]:
    jobs, mount = folder / "jobs", folder / "mount"
    (mount / "keys").mkdir(parents=True)
    (mount / "keys" / "key").touch()
    sandbox = sandbox_for(jobs, readable=(HELPER.parent,), writable=(mount,)) if sandboxed else None
    if sandbox is not None:
        sandbox = replace(sandbox, private=(*sandbox.private, str(mount / "keys")))
    settings = PreflightSettings(
        patience=60, answer=within, grace=60, helper=(sys.executable, str(HELPER), str(within))
    )
    preflight = Preflight(jobs / ".preflight", sandbox=sandbox, settings=settings)
    async with preflight.at_work():
        yield Checks(jobs, mount, preflight, sandboxed=sandboxed)


@pytest_asyncio.fixture(params=["none", "bwrap"], scope="module", loop_scope="module")
async def checks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Checks]:
    async with at_work(tmp_path_factory.mktemp("checks"), 60, sandboxed=request.param == "bwrap") as checks:
        yield checks


def looking(*, read: Sequence[Path] = (), write: Sequence[Path | str] = ()) -> str:
    """Code that tries to read and write there, and finds what it could."""
    places = {"read": [str(path) for path in read], "write": [str(path) for path in write]}
    return f"from sleap_rtc.jobs.sandbox.witness import look; found.append(look({places!r}))"


async def test_a_check_reads_its_own_job_and_nothing_else(checks: Checks) -> None:
    job, other = checks.job(MINE), checks.job(OTHER)
    token = Path.home() / ".sleap-rtc" / "credentials.json"
    token.parent.mkdir()
    token.touch()
    own = job.inputs / "do.py"
    log, control = checks.jobs / ".preflight" / "log.txt", job.control / "state.json"
    secrets = [token, other.inputs / "do.py", control, log, checks.keys / "key"]
    (seen,) = await checks.found(MINE, looking(read=[own, checks.mount, *secrets]))
    granted = [own, checks.mount]
    assert seen["read"] == [str(path) for path in (granted if checks.sandboxed else [*granted, *secrets])]


async def test_a_check_writes_nowhere(checks: Checks) -> None:
    job = checks.job(MINE)
    ours = [job.inputs, job.path, checks.jobs, checks.mount, checks.keys]
    of_the_sandbox = ["/", "/tmp", "/dev", "/dev/shm", "/proc", ".", sys.prefix] if checks.sandboxed else []
    (seen,) = await checks.found(MINE, looking(write=[*ours, *of_the_sandbox]))
    assert seen["write"] == ([] if checks.sandboxed else list(map(str, ours)))


async def test_a_check_reaches_no_network(checks: Checks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; found.append(socket.socket().connect_ex({server.getsockname()!r}))"
        (refused,) = await checks.found(MINE, code)
    assert bool(refused) is checks.sandboxed


async def test_what_an_earlier_check_was_shown_is_gone(checks: Checks) -> None:
    listing = f"import os; found += sorted(os.listdir({str(checks.jobs)!r}))"
    await checks.found(MINE, listing)
    seen = await checks.found(OTHER, listing)
    if checks.sandboxed:
        assert seen == [OTHER]
        assert names_in(checks.jobs / ".preflight" / "shown") == []
    else:
        assert {MINE, OTHER} <= set(seen)


SEARCH = """
import ctypes, re
for line in open("/proc/self/maps").read().splitlines():
    place, rights, *_ = line.split()
    if rights.startswith("rw"):
        start, end = (int(side, 16) for side in place.split("-"))
        memory = ctypes.string_at(start, end - start)
        found += [each.decode() for each in re.findall(rb"j_(?:1111111[1]|2222222[2])", memory)]
        del memory
found[:] = sorted(set(found))
"""


async def test_what_an_earlier_check_was_asked_is_not_in_memory(checks: Checks) -> None:
    # at the end of a long request, where the next one leaves it
    checks.job(OTHER).write_video_arguments(("--video-paths", OTHER))
    assert await checks.found(OTHER, SEARCH) == [OTHER]
    assert await checks.found(MINE, SEARCH) == [MINE]


DAEMON = """
import os, time
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(write, str(os.getpid()).encode())
        time.sleep(3600)
    os._exit(0)
os.wait()
found.append(int(os.read(read, 20)))
"""
LIVES = "import os; found.append(os.path.exists('/proc/%d'))"


async def test_what_a_check_left_running_is_gone_before_the_next(checks: Checks) -> None:
    (pid,) = await checks.found(MINE, DAEMON)
    assert await checks.found(MINE, LIVES % pid) == [False]
    assert await checks.found(MINE, DAEMON + "found.pop();" + LIVES % 1) == [True]


@crashes
async def test_a_check_that_ends_badly_costs_its_own_job_alone(checks: Checks, code: str) -> None:
    helper = await checks.helper()
    findings = await checks.of(OTHER, code)
    assert findings.unchecked
    assert "ended over what it was to look at" in findings.notices[0]
    assert await checks.helper() == helper


async def test_a_check_that_hangs_is_ended_and_costs_its_own_job_alone(tmp_path: Path) -> None:
    async with at_work(tmp_path, 2, sandboxed=True) as checks:
        helper = await checks.helper()
        findings = await checks.of(OTHER, "import time; time.sleep(3600)")
        assert "took longer than 2 seconds" in findings.notices[0]
        assert await checks.helper() == helper


async def test_a_check_cannot_answer_for_the_next(checks: Checks) -> None:
    code = """
import os
for descriptor in range(3, 256):
    try:
        os.write(descriptor, b'{"problems": ["forged"]}\\n' * 3)
    except OSError:
        pass
"""
    assert (await checks.of(OTHER, code)).problems == ("forged",)
    assert await checks.found(MINE, "found.append(1)") == [1]


OWNER = """
import asyncio, json, sys
from pathlib import Path
from sleap_rtc.jobs.checking import Preflight, PreflightSettings
from sleap_rtc.jobs.sandbox.settings import SandboxSettings

async def main(folder, sandbox, helper):
    settings = PreflightSettings(helper=tuple(helper))
    sandbox = SandboxSettings.from_dict(json.loads(sandbox))
    async with Preflight(Path(folder), sandbox=sandbox, settings=settings).at_work():
        await asyncio.sleep(3600)

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
"""


async def test_a_sandbox_of_checks_dies_with_its_worker(tmp_path: Path) -> None:
    sandbox = sandbox_for(tmp_path, readable=(HELPER.parent,))
    inside = [sys.executable, str(HELPER), "60"]
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(tmp_path / ".preflight"), json.dumps(asdict(sandbox)), *inside
    )

    def helpers() -> list[psutil.Process]:
        below = psutil.Process(owner.pid).children(recursive=True)
        return [process for process in below if words(process) == inside]

    try:
        await eventually(lambda: len(helpers()) == 1)
        (helper,) = helpers()
    finally:
        owner.kill()
        await owner.wait()
    await eventually(lambda: not lives(helper.pid))


@inside
async def test_a_check_cannot_reach_into_the_process_that_forks_the_next(checks: Checks) -> None:
    code = """
import os
for path in ("mem", "fd/0", "environ", "maps"):
    try:
        open(f"/proc/{os.getppid()}/{path}", "rb").read(1)
    except PermissionError:
        found.append(path)
"""
    assert await checks.found(MINE, code) == ["mem", "fd/0", "environ", "maps"]


@inside
async def test_a_check_cannot_change_any_process_that_outlives_it(checks: Checks) -> None:
    """Whoever could, would see what the next one is shown."""
    code = """
import os
for pid in filter(str.isdecimal, os.listdir("/proc")):
    if int(pid) != os.getpid():
        try:
            os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
            found.append(pid)
        except PermissionError:
            pass
"""
    assert await checks.found(MINE, code) == []


@inside
async def test_a_check_does_not_see_where_things_lie_outside(checks: Checks) -> None:
    code = "from pathlib import Path; found += [path.read_text() for path in Path('/proc').glob('[0-9]*/cmdline')]"
    commands = await checks.found(MINE, code)
    assert all(HELPER.name in command for command in commands)
    assert not [command for command in commands if str(Path.home()) in command or "--tmpfs" in command]
