"""What commands do when the access token has ended: one of them renews it, and all of them go on."""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from signaling_server.models import Login as LoginRow
from signaling_server.models import RefreshToken
from sleap_rtc.config.credentials import Credentials, Login
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import AuthenticationError, StorageError
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import ServiceAPI
from sleap_rtc.signaling.client import SignalingClient
from tests.cli.shell import Shell
from tests.forked import Result, sleap_rtc
from tests.service.oauth import refresh
from tests.service.people import HOUR, Clock
from tests.service.running import RunningService

QUICK = Timeouts(reconnect_first=0.05, reconnect_most=0.5)
AT_ONCE = 10


@pytest_asyncio.fixture
async def service(service: RunningService, shell: Shell) -> RunningService:
    """A service at which ada is logged in."""
    await shell.ok("login", "--name", "ada")
    return service


def kept(service: RunningService) -> Login:
    login = Credentials().login(service.url)
    assert login is not None
    return login


async def at_once(*words: str) -> list[Result]:
    """Run a command ten times, each as a program of its own."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return await asyncio.gather(*(loop.run_in_executor(pool, sleap_rtc, *words) for _ in range(AT_ONCE)))


@pytest.mark.parametrize("clock_is_right", [True, False])
async def test_ten_commands_at_once_renew_it_once(service: RunningService, clock_is_right: bool) -> None:
    before = kept(service)
    Clock(service).now += HOUR
    if clock_is_right:  # else the commands learn it from the service's refusal
        Credentials().keep_login(service.url, replace(before, expires_at=1))
    ended = await at_once("room", "list")
    assert [each.code for each in ended] == [0] * AT_ONCE, ended
    after = kept(service)
    assert (after.login_id, after.user_id) == (before.login_id, before.user_id)
    async with service.service.database.transaction() as session:
        living = select(func.count()).select_from(LoginRow).where(LoginRow.revoked_at.is_(None))
        assert await session.scalar(living) == 1
        assert await session.scalar(select(func.count()).select_from(RefreshToken)) == 2


async def test_a_lost_answer_logs_nobody_out(shell: Shell, service: RunningService) -> None:
    clock = Clock(service)
    clock.now += HOUR
    # another command was killed between the service's answer and writing it down
    assert (await refresh(service, kept(service).refresh_token)).status == 200
    clock.now += 30_000
    assert "ada" in await shell.ok("whoami")
    assert "ada" in await shell.ok("whoami")


async def test_after_that_it_says_to_log_in_again(shell: Shell, service: RunningService) -> None:
    clock = Clock(service)
    clock.now += HOUR
    assert (await refresh(service, kept(service).refresh_token)).status == 200
    clock.now += 30_001
    for _ in range(2):
        refused = await shell.run("whoami")
        assert (refused.code, refused.err.count("error: ")) == (3, 1)
        assert "renewed twice" in refused.err
        assert "Log in again: sleap-rtc login" in " ".join(refused.err.split())
    await shell.ok("login", "--name", "ada")
    assert "ada" in await shell.ok("whoami")


async def test_a_login_from_before_there_were_refresh_tokens_goes_on_until_it_ends(
    shell: Shell, service: RunningService
) -> None:
    clock = Clock(service)
    path = Path(os.environ["SLEAP_RTC_HOME"]) / "credentials.json"
    login = kept(service)
    path.write_text(
        json.dumps(
            {
                service.url: {
                    "login": {
                        "access_token": login.access_token,
                        "user_id": login.user_id,
                        "name": "ada",
                        "expires_at": 1,
                    }
                }
            }
        )
    )
    assert "ada" in await shell.ok("whoami")
    clock.now += HOUR
    refused = await shell.run("whoami")
    assert (refused.code, "log in again" in " ".join(refused.err.lower().split())) == (3, True)


async def test_what_could_not_be_kept_is_not_asked_for(service: RunningService) -> None:
    clock = Clock(service)
    clock.now += HOUR
    home = Path(os.environ["SLEAP_RTC_HOME"])
    # where the new file would be written before it is renamed
    in_the_way = home / f".credentials.json.{os.getpid()}.tmp"
    in_the_way.mkdir()
    api = ServiceAPI(service.url, Account(service.url))
    with pytest.raises(StorageError, match="cannot be written"):
        await api.me()
    in_the_way.rmdir()
    clock.now += HOUR
    assert (await api.me()).name == "ada"


async def test_who_logs_out_meanwhile_stays_logged_out(service: RunningService) -> None:
    credentials = Credentials()
    login = kept(service)
    credentials.forget_login(service.url)
    credentials.replace_login(service.url, login, replace(login, access_token="slpu_other"))
    assert credentials.login(service.url) is None


async def test_a_command_does_not_go_on_as_somebody_else(shell: Shell, service: RunningService) -> None:
    api = ServiceAPI(service.url, Account(service.url))
    assert (await api.me()).name == "ada"
    await shell.ok("login", "--name", "grace")
    with pytest.raises(AuthenticationError, match="grace has logged in"):
        await api.me()


async def until_back(client: SignalingClient, seen: set[str]) -> None:
    """Wait until a client has a connection that was not seen before."""
    while True:
        await client.welcome()
        if client.principal.session not in seen:
            return
        await asyncio.sleep(0.01)


async def test_a_connection_comes_back_after_hours(service: RunningService) -> None:
    clock = Clock(service)
    account = Account(service.url)
    room = await ServiceAPI(service.url, account).create_room("lab", None)
    async with SignalingClient(service.url, account, timeouts=QUICK, room=room.room_id) as client:
        await client.welcome()
        seen = {client.principal.session}
        for hours in (0, 5, 50):
            clock.now += hours * HOUR
            await service.service.hub.end_all("the service restarts", 1012, room=room.room_id)
            async with asyncio.timeout(30):
                await until_back(client, seen)
            seen.add(client.principal.session)
            assert await client.workers() == []


async def test_a_connection_whose_login_was_ended_does_not_come_back(service: RunningService) -> None:
    account = Account(service.url)
    api = ServiceAPI(service.url, account)
    room = await api.create_room("lab", None)
    async with SignalingClient(service.url, account, timeouts=QUICK, room=room.room_id) as client:
        await client.welcome()
        await api.logout()
        with pytest.raises(AuthenticationError, match="You logged out"):
            async with asyncio.timeout(30):
                await client.receive()
