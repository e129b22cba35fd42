"""Login, rooms and tokens, typed one after the other at a real service."""

import json
import re
from pathlib import Path

import pytest
import pytest_asyncio

from sleap_rtc.cli.options import DEFAULT_SERVER
from sleap_rtc.cli.times import DAY_MS, HOUR_MS, format_date, format_expiry, format_time
from sleap_rtc.config.credentials import Credentials
from sleap_rtc.protocol.tokens import check_token
from tests.cli.shell import Shell
from tests.protocol.test_reports import job, model
from tests.service.peers import Key, worker
from tests.service.running import RunningService, running_service


@pytest_asyncio.fixture
async def ada(service: RunningService, shell: Shell) -> Shell:
    """A shell in which ada is logged in."""
    await shell.ok("login", "--name", "ada")
    return shell


async def made_room(shell: Shell, name: str = "Fly lab", *more: str) -> str:
    room = json.loads(await shell.ok("room", "create", "--name", name, "--json", *more))["room_id"]
    assert isinstance(room, str)
    return room


async def test_login_whoami_logout(shell: Shell, service: RunningService) -> None:
    refused = await shell.run("whoami")
    assert refused.code == 3
    assert refused.err == (
        f"error: You are not logged in to {service.url}. Run: sleap-rtc login --server {service.url}\n"
    )
    out = await shell.ok("login", "--name", "ada")
    assert re.fullmatch(rf"Logged in to {service.url} as ada; it expires .*, in 30 days\.\n", out)
    assert re.fullmatch(rf"ada \(u_\w+\) at {service.url}\n", await shell.ok("whoami"))
    me = json.loads(await shell.ok("whoami", "--json"))
    assert (me["server"], me["name"]) == (service.url, "ada")
    assert await shell.ok("logout") == f"ada is logged out of {service.url}.\n"
    assert await shell.ok("logout") == f"Nobody is logged in to {service.url}.\n"
    assert (await shell.run("whoami")).code == 3


async def test_login_takes_the_machines_user_where_nobody_can_be_asked(shell: Shell, service: RunningService) -> None:
    shell.export("LOGNAME", "grace")
    assert json.loads(await shell.ok("login", "--json"))["name"] == "grace"


async def test_a_login_that_ended_elsewhere_is_forgotten(ada: Shell, service: RunningService) -> None:
    login = Credentials().login(service.url)
    assert login is not None
    await ada.ok("logout")
    Credentials().keep_login(service.url, login)
    refused = await ada.run("whoami")
    assert (refused.code, "Log in again" in refused.err) == (3, True)
    await ada.ok("logout")
    assert Credentials().login(service.url) is None


async def test_without_dev_the_service_says_so(shell: Shell, tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        refused = await shell.run("login", "--name", "ada", "--server", service.url)
    assert refused.code != 0
    assert refused.err.count("error: ") == 1


async def test_logout_without_the_service_forgets_all_the_same(ada: Shell, service: RunningService) -> None:
    login = Credentials().login(service.url)
    assert login is not None
    Credentials().keep_login("http://127.0.0.1:9", login)
    typed = await ada.run("logout", "--server", "http://127.0.0.1:9")
    assert typed.code == 0
    assert "warning: " in typed.err
    assert Credentials().login("http://127.0.0.1:9") is None


async def test_a_rooms_life(ada: Shell, service: RunningService) -> None:
    assert await ada.ok("room", "list") == ""
    typed = await ada.run("room", "create", "--name", "Fly lab")
    found = re.fullmatch(r"The room 'Fly lab' is made: (r_\w+); it expires .*, in 30 days\.\n", typed.out)
    assert found
    room = found[1]
    assert f"  sleap-rtc token create --server {service.url} --room {room} --name gpu-1\n" in typed.err
    await ada.ok("room", "create", "--name", "Mice", "--expires", "never")
    assert "The default room is 'Fly lab'" in await ada.ok("room", "set-default", "fly lab")
    lines = (await ada.ok("room", "list")).splitlines()
    assert lines[0].split() == ["room", "you", "are", "workers", "expires", "id"]
    assert lines[1].startswith("*  Fly lab  owner    0 ")
    assert lines[2].startswith("   Mice     owner    0        never ")
    listed = json.loads(await ada.ok("room", "list", "--json"))
    assert [(each["name"], each["default"], each["expires_at"] is None) for each in listed] == [
        ("Fly lab", True, False),
        ("Mice", False, True),
    ]
    info = await ada.ok("room", "info")
    assert info.startswith(f"Fly lab ({room}), made ")
    assert "ada" in info
    assert "No worker is online." in info
    assert json.loads(await ada.ok("room", "info", "Mice", "--json"))["people"][0]["name"] == "ada"
    typed = await ada.run("room", "delete", "Fly lab")
    assert (typed.code, "Add --yes" in typed.err) == (2, True)
    typed = await ada.run("room", "delete", "Fly lab", "--yes")
    assert typed.out == f"The room 'Fly lab' ({room}) is deleted.\n"
    assert "now there is none" in typed.err
    assert "default_room" not in (await ada.ok("config", "show", "--json")).replace(
        '"default_room": {"value": null', ""
    )


async def test_a_room_that_is_not_meant_clearly_is_a_sentence(ada: Shell) -> None:
    first, second = await made_room(ada), await made_room(ada)
    typed = await ada.run("room", "info")
    assert (typed.code, "Which room?" in typed.err) == (2, True)
    typed = await ada.run("room", "info", "Fly lab")
    assert typed.code == 2
    assert first in typed.err
    assert second in typed.err
    assert (await ada.run("room", "info", first)).code == 0
    typed = await ada.run("token", "create", "--room", "../../.ssh/id_rsa", "--name", "x")
    assert (typed.code, "no room with the id or name" in typed.err) == (2, True)


@pytest.mark.parametrize("expires", ["", "0d", "soon", "-1d", "1.5d", "7 years"])
async def test_an_expiry_that_is_no_time_is_usage(ada: Shell, expires: str) -> None:
    typed = await ada.run("room", "create", "--name", "x", f"--expires={expires}")
    assert (typed.code, "Write it as 7d, 30d or never" in typed.err) == (2, True)


async def test_a_tokens_life(ada: Shell, service: RunningService) -> None:
    room = await made_room(ada)
    out = await ada.ok("token", "create", "--room", room, "--name", "gpu-1")
    lines = out.splitlines()
    assert re.fullmatch(r"The token 'gpu-1' of the room 'Fly lab' is made; it expires .*, in 7 days\.", lines[0])
    token = lines[3].strip()
    assert check_token(token) == "worker"
    assert f"  sleap-rtc worker --server {service.url} --api-key {token}" in lines
    assert lines[-3:] == [
        f"  export SLEAP_RTC_SERVER={service.url}",
        f"  export SLEAP_RTC_API_KEY={token}",
        "  sleap-rtc worker",
    ]
    listed = await ada.ok("token", "list", "-r", "Fly lab")
    assert listed.splitlines()[1].split()[:3] == ["gpu-1", f"{token[:10]}…", "active"]
    assert token not in listed
    typed = await ada.run("token", "revoke", "gpu-2", "--room", room)
    assert (typed.code, "no token called 'gpu-2'" in typed.err) == (2, True)
    out = await ada.ok("token", "revoke", "gpu-1", "--room", room)
    assert out == f"The token 'gpu-1' ({token[:10]}…) of the room 'Fly lab' is revoked; its workers are gone.\n"
    assert json.loads(await ada.ok("token", "list", "--room", room, "--json"))[0]["state"] == "revoked"
    typed = await ada.run("token", "revoke", "gpu-1", "--room", room)
    assert (typed.code, "is revoked already" in typed.err) == (2, True)


async def test_tokens_of_one_name_are_told_apart_by_id_or_first_characters(ada: Shell) -> None:
    room = await made_room(ada)
    made = [
        json.loads(await ada.ok("token", "create", "-r", room, "-n", "gpu", "--expires", "never", "--json"))
        for _ in range(3)
    ]
    assert made[0]["expires_at"] is None
    typed = await ada.run("token", "revoke", "gpu", "-r", room)
    assert typed.code == 2
    assert all(each["token_id"] in typed.err for each in made)
    await ada.ok("token", "revoke", made[0]["token_id"], "-r", room)
    await ada.ok("token", "revoke", made[1]["token"][:10], "-r", room)
    await ada.ok("token", "revoke", "gpu", "-r", room)
    states = [each["state"] for each in json.loads(await ada.ok("token", "list", "-r", room, "--json"))]
    assert states == ["revoked"] * 3
    typed = await ada.run("token", "revoke", made[0]["token"] + "x", "-r", "Fly lab")
    assert made[0]["token"] not in typed.err


async def test_nobody_sees_a_strangers_room(ada: Shell) -> None:
    room = await made_room(ada)
    await ada.ok("login", "--name", "eve")
    for words in (["room", "info", room], ["token", "list", "-r", room], ["room", "delete", room, "--yes"]):
        typed = await ada.run(*words)
        assert (typed.code, "You belong to no room" in typed.err) == (2, True)


async def test_a_projects_foreign_server_gets_no_login(ada: Shell, service: RunningService) -> None:
    ada.monkeypatch.delenv("SLEAP_RTC_SERVER")
    (ada.folder / "sleap-rtc.toml").write_text('server = "http://127.0.0.1:9"\n')
    typed = await ada.run("room", "list")
    assert typed.code == 3
    assert "You are not logged in to http://127.0.0.1:9." in typed.err


def test_times_are_said_as_people_do() -> None:
    day = 20_000 * DAY_MS
    assert format_time(None) == "never"
    assert format_time(10**30) == "?"
    assert re.fullmatch(r"2024-10-0\d \d\d:\d\d", format_time(day))
    assert re.fullmatch(r"2024-10-0\d", format_date(day))
    assert format_expiry(None, day) == "it never expires"
    assert format_expiry(day + 30 * DAY_MS, day).endswith(", in 30 days")
    assert format_expiry(day + 5 * HOUR_MS, day).endswith(", in 5 hours")
    assert format_expiry(day + 1, day).endswith(", in less than an hour")
    assert format_expiry(day - 1, day).startswith("it expired ")


def test_the_usual_server_needs_no_words() -> None:
    from sleap_rtc.config.servers import DEFAULT_SERVER as KNOWN
    from sleap_rtc.config.servers import server_words

    assert KNOWN == DEFAULT_SERVER
    assert server_words(KNOWN) == ""


async def test_room_info_counts_what_workers_told(ada: Shell, service: RunningService) -> None:
    room = await made_room(ada)
    token = json.loads(await ada.ok("token", "create", "--room", room, "--name", "gpu", "--json"))["token"]
    assert "have told" not in await ada.ok("room", "info", room)
    async with worker(service, token, Key(1)) as gpu:
        await gpu.ask("report_jobs", id=1, jobs=[job(1)])
        await gpu.ask("report_models", id=2, models=[model(1), model(2)], complete=True)
    assert (await ada.ok("room", "info", room)).endswith("\nIts workers have told of 1 job and 2 models.\n")
    shown = json.loads(await ada.ok("room", "info", room, "--json"))
    assert (shown["jobs"], shown["models"]) == (1, 2)
