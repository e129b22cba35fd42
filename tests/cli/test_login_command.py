"""``sleap-rtc login`` with a code, ``whoami`` and ``logout``, typed at a real service."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from sleap_rtc.cli.logging_in import browser_is_seen
from sleap_rtc.config.credentials import Credentials
from sleap_rtc.signaling import grants
from tests.cli.shell import Shell
from tests.service.oauth import let_in, somebody
from tests.service.people import Clock
from tests.service.running import RunningService, running_service

WAIT = 60
CODE = re.compile(r"^  ([B-Z]{4}-[B-Z]{4})$", re.MULTILINE)


@pytest_asyncio.fixture
async def service(tmp_path: Path, shell: Shell) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path, poll_seconds=1, local_accounts=True) as service:
        shell.export("SLEAP_RTC_SERVER", service.url)
        yield service


class Process:
    """``sleap-rtc login`` as a program, without a terminal."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def code(self) -> str:
        """The code that it shows."""
        assert self.process.stderr
        async with asyncio.timeout(WAIT):
            while not (found := CODE.search(self.said)):
                line = await self.process.stderr.readline()
                assert line, self.said
                self.said += line.decode()
        return found[1]

    async def ended(self) -> tuple[int, str, str]:
        async with asyncio.timeout(WAIT):
            out, err = await self.process.communicate()
        return self.process.returncode or 0, out.decode(), self.said + err.decode()


@asynccontextmanager
async def typed_login(*words: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sleap_rtc", "login", *words, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ,
    )  # fmt: skip
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def logged_in(service: RunningService, name: str = "ada") -> None:
    """Log this machine in as somebody."""
    async with typed_login() as login:
        await let_in(service, await somebody(service, name), await login.code())
        code, _, err = await login.ended()
        assert code == 0, err


async def test_a_code_lets_this_machine_in(shell: Shell, service: RunningService) -> None:
    ada = await somebody(service)
    async with typed_login() as login:
        user_code = await login.code()
        assert f"  {service.url}/device\n" in login.said
        await let_in(service, ada, user_code)
        code, out, err = await login.ended()
    assert (code, err.count("Waiting for you there; the code is good for 15 minutes.")) == (0, 1)
    assert re.fullmatch(rf"Logged in to {service.url} as ada; it expires .*, in 30 days\.\n", out)
    kept = Credentials().login(service.url)
    assert kept is not None
    assert (kept.user_id, kept.name) == (ada.id, "ada")
    assert not any(secret in out + err for secret in (kept.access_token, kept.refresh_token))
    assert f"ada ({ada.id}) at {service.url}" in await shell.ok("whoami")


async def test_a_script_gets_json_on_stdout_and_the_code_beside_it(shell: Shell, service: RunningService) -> None:
    ada = await somebody(service)
    async with typed_login("--json", "--no-browser") as login:
        await let_in(service, ada, await login.code())
        code, out, _ = await login.ended()
    answer = json.loads(out)
    assert (code, answer["server"], answer["user"], answer["name"]) == (0, service.url, ada.id, "ada")


async def test_who_is_refused_is_told_and_has_no_login(shell: Shell, service: RunningService) -> None:
    async with typed_login() as login:
        await let_in(service, await somebody(service), await login.code(), approve=False)
        code, _, err = await login.ended()
    assert (code, err.endswith("error: The login was refused in the browser.\n")) == (3, True)
    assert Credentials().login(service.url) is None


async def test_a_code_that_nobody_types_ends(shell: Shell, service: RunningService) -> None:
    clock = Clock(service)
    async with typed_login() as login:
        await login.code()
        clock.now += 15 * 60_000
        code, _, err = await login.ended()
    assert code == 3
    assert "Nobody let this machine in in time. Log in again: sleap-rtc login" in err


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
async def test_ctrl_c_leaves_nothing_behind(shell: Shell, service: RunningService) -> None:
    async with typed_login() as login:
        await login.code()
        login.process.send_signal(signal.SIGINT)
        code, out, err = await login.ended()
    assert (code, out, err.endswith("Interrupted.\n")) == (130, "", True)
    assert Credentials().login(service.url) is None


async def test_a_new_login_takes_the_old_ones_place(shell: Shell, service: RunningService) -> None:
    await logged_in(service)
    before = Credentials().login(service.url)
    await logged_in(service)
    after = Credentials().login(service.url)
    assert before is not None
    assert after is not None
    (only,) = json.loads(await shell.ok("whoami", "--devices", "--json"))
    assert (only["login_id"], only["current"], only["kind"]) == (after.login_id, True, "device")
    assert before.login_id != after.login_id


async def test_devices_are_listed_and_ended(shell: Shell, service: RunningService) -> None:
    await logged_in(service)
    first = Credentials().login(service.url)
    assert first is not None
    Credentials().forget_login(service.url)
    await logged_in(service)
    second = Credentials().login(service.url)
    assert second is not None
    lines = (await shell.ok("whoami", "--devices")).splitlines()
    assert lines[0].split() == ["device", "kind", "from", "logged", "in", "last", "seen", "ends", "id"]
    assert {line.startswith("*") for line in lines if second.login_id in line} == {True}
    assert {line.startswith("*") for line in lines if first.login_id in line} == {False}
    assert "is ended" in await shell.ok("logout", "--device", first.login_id[:12])
    assert first.login_id not in await shell.ok("whoami", "--devices")
    unknown = await shell.run("logout", "--device", first.login_id)
    assert (unknown.code, "sleap-rtc whoami --devices" in unknown.err) == (2, True)
    await shell.ok("logout", "--device", second.login_id)
    assert Credentials().login(service.url) is None


async def test_logging_out_everywhere(shell: Shell, service: RunningService) -> None:
    await logged_in(service)
    other = Credentials().login(service.url)
    assert other is not None
    Credentials().forget_login(service.url)
    await logged_in(service)
    assert "everywhere" in await shell.ok("logout", "--everywhere")
    Credentials().keep_login(service.url, other)
    refused = await shell.run("whoami")
    assert (refused.code, "This login was ended" in refused.err) == (3, True)
    assert (await shell.run("logout", "--everywhere", "--device", "a_1")).code == 2


async def test_several_services_side_by_side(shell: Shell, service: RunningService, tmp_path: Path) -> None:
    assert "logged in to no service" in await shell.ok("whoami", "--all")
    await logged_in(service)
    other_home = tmp_path / "other"
    other_home.mkdir()
    async with running_service(other_home, dev=True) as other:
        await shell.ok("login", "--name", "grace", "--server", other.url)
        found = {each["server"]: each for each in json.loads(await shell.ok("whoami", "--all", "--json"))}
        assert {(each["name"], each["state"]) for each in found.values()} == {("ada", "good"), ("grace", "good")}
        kept = Credentials().login(other.url)
        assert kept is not None
        await shell.ok("logout", "--server", other.url)
        Credentials().keep_login(other.url, kept)
        assert "This login was ended" in await shell.ok("whoami", "--all")
    found = {each["server"]: each for each in json.loads(await shell.ok("whoami", "--all", "--json"))}
    assert (found[other.url]["state"], found[service.url]["state"]) == ("unknown", "good")


async def test_where_nobody_can_log_in_it_says_so(shell: Shell, tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        refused = await shell.run("login", "--server", service.url)
    assert (refused.code, "its operator has set no way to" in refused.err) == (3, True)


@pytest.mark.parametrize(
    ("environ", "platform", "seen"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "linux", False),
        ({"DISPLAY": ""}, "linux", False),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}, "linux", False),
        ({}, "darwin", True),
        ({}, "win32", True),
        ({"SSH_TTY": "/dev/pts/1"}, "darwin", False),
    ],
)
def test_a_browser_is_opened_only_where_it_is_seen(
    environ: dict[str, str], platform: str, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sleap_rtc.cli.logging_in.can_ask", lambda: True)
    assert browser_is_seen(environ, platform) is seen
    monkeypatch.setattr("sleap_rtc.cli.logging_in.can_ask", lambda: False)
    assert not browser_is_seen(environ, platform)


async def test_it_asks_as_often_as_it_may_and_survives_a_service_that_is_away(
    service: RunningService, tmp_path: Path
) -> None:
    from sleap_rtc.config.timeouts import Timeouts
    from sleap_rtc.signaling.address import service_address
    from sleap_rtc.signaling.api import ServiceAPI

    clock = Clock(service)
    begun = await ServiceAPI(service.url).begin_login("laptop")
    ada = await somebody(service)
    waited: list[float] = []
    address = service_address(service.url)

    async def pause(seconds: float) -> None:
        waited.append(seconds)
        # the third question comes too early by the service's clock
        clock.now += int(seconds * 1000) if len(waited) != 3 else 0
        if len(waited) == 5:
            await let_in(service, ada, begun.user_code)

    grant = await grants.wait_to_be_let_in(address, begun, Timeouts(), pause=pause, clock=lambda: sum(waited))
    assert (grant.user_id, waited) == (ada.id, [1, 1, 1, 6, 6])

    begun = await ServiceAPI(service.url).begin_login("laptop")
    nobody = service_address("http://127.0.0.1:9")
    waited.clear()
    with pytest.raises(Exception, match="Nobody typed the code in time"):
        await grants.wait_to_be_let_in(nobody, begun, Timeouts(), pause=pause, clock=lambda: sum(waited))
    assert waited[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
