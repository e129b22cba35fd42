"""Accounts of the service's own: how they are made, how their holders log in, and how they end."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner, Result
from sqlalchemy import select

from signaling_server import housekeeping
from signaling_server.auth import passwords
from signaling_server.housekeeping import clean_up, recheck
from signaling_server.models import Enrolment, LocalAccount, Login, User
from signaling_server.operating import Invited, add_user, disable_user, enable_user, list_users, reset_user
from signaling_server.server import running
from signaling_server.settings import Settings
from sleap_rtc.errors import ConfigError, ConflictError, NotFoundError, UsageError
from sleap_rtc.protocol.tokens import check_token, make_token
from sleap_rtc.signaling.api import ServiceAPI
from tests.service import oauth
from tests.service.browsers import Browser, said
from tests.service.peers import peer
from tests.service.people import DAY, Clock, person
from tests.service.running import RunningService, running_service

PASSWORD = "correct horse battery"
ENROLLED = "mallard under the bridge"
ME = "/api/v1/me"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    # the dear ones are tested once, below
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._dummy.cache_clear()


@asynccontextmanager
async def local_service(tmp_path: Path, **settings: Any) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path, local_accounts=True, **settings) as service:
        yield service


def secret_of(invited: Invited) -> str:
    page, _, secret = invited.link.partition("#")
    assert page.endswith("/enrol")
    assert check_token(secret) == "enrolment"
    return secret


async def enrol(browser: Browser, code: str, password: str = PASSWORD, again: str | None = None) -> Any:
    return await browser.send("/enrol", code=code, password=password, again=password if again is None else again)


async def made(service: RunningService, name: str = "ada", password: str = PASSWORD) -> None:
    """An account with a password."""
    async with Browser(service) as browser:
        answer = await enrol(browser, secret_of(await add_user(service.settings, name)), password)
        assert answer.status_code == 303, said(answer)


async def log_in(browser: Browser, username: str = "ada", password: str = PASSWORD, **more: str) -> Any:
    return await browser.send("/login/local", username=username, password=password, **more)


async def test_a_link_makes_a_password_once(tmp_path: Path) -> None:
    async with local_service(tmp_path) as service, Browser(service) as browser, Browser(service) as later:
        invited = await add_user(service.settings, "Ada")
        secret = secret_of(invited)
        assert invited.link not in repr(invited)
        assert "Choose a password" in said(await browser.open("/enrol"))
        for wrong, status in (
            (await enrol(browser, secret, "short"), 422),
            (await enrol(browser, secret, "p" * 11), 422),
            (await enrol(browser, secret, "p" * 257), 422),
            (await enrol(browser, secret, PASSWORD, again="another one altogether"), 422),
        ):
            assert wrong.status_code == status
            assert f'value="{secret}"' in wrong.text  # so that it need not be opened again
        answer = await enrol(browser, secret)
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")
        assert (await browser.client.get(ME)).json()["name"] == "Ada"
        assert (await enrol(later, secret, "another password")).status_code == 401
        assert (await log_in(later, "ADA")).status_code == 303
        async with service.service.database.transaction() as session:
            (known,) = await session.scalars(select(LocalAccount.password_hash).where(LocalAccount.username == "ada"))
            assert str(known).startswith("$argon2id$")
            for enrolment in await session.scalars(select(Enrolment)):
                assert secret not in str(vars(enrolment))


async def test_two_at_once_with_one_link_are_one(tmp_path: Path) -> None:
    async with local_service(tmp_path) as service, Browser(service) as browser:
        secret = secret_of(await add_user(service.settings, "ada"))
        answers = await asyncio.gather(*(enrol(browser, secret, f"password number {n}") for n in range(8)))
        assert sorted(answer.status_code for answer in answers) == [303] + [401] * 7


async def test_links_that_do_not_work_look_alike(tmp_path: Path) -> None:
    async with local_service(tmp_path) as service, Browser(service) as browser:
        clock = Clock(service)
        expired = secret_of(await add_user(service.settings, "ada"))
        replaced = secret_of(await add_user(service.settings, "grace"))
        await reset_user(service.settings, "grace")
        disabled = secret_of(await add_user(service.settings, "alan"))
        await disable_user(service.settings, "alan")
        clock.now += DAY + 60_000
        wrong = [
            expired,
            replaced,
            disabled,
            "",
            "x",
            make_token("enrolment", bytes(32)),
            make_token("access", bytes(32)),
        ]
        answers = [await enrol(browser, secret) for secret in wrong]
        assert {answer.status_code for answer in answers} == {401}
        assert len({said(answer) for answer in answers}) == 1
        assert "was used already, is older than a day" in said(answers[0])
        await clean_up(service.service)
        async with service.service.database.transaction() as session:
            assert list(await session.scalars(select(Enrolment))) == []


async def test_wrong_passwords_and_unknown_names_look_alike(tmp_path: Path) -> None:
    checked: list[str | None] = []

    class Watched(passwords.Passwords):
        async def matches(self, password: str, known: str | None) -> bool:
            checked.append(known)
            return await super().matches(password, known)

    async with local_service(tmp_path) as service, Browser(service) as browser:
        service.service.passwords = Watched()
        await made(service)
        await add_user(service.settings, "grace")
        attempts = [("ada", "wrong password here"), ("nobody", PASSWORD), ("grace", PASSWORD), ("ada", PASSWORD + " ")]
        attempts += [
            ("ada", ""),
            ("", ""),
            ("ada\x00", PASSWORD),
            ("ada", "p" * 1000),
            ("n" * 1000, "p"),
            ("' OR 1=1 --", "p"),
        ]
        answers = [await log_in(browser, *attempt) for attempt in attempts]
        assert {answer.status_code for answer in answers} == {401}
        # but for the name that was typed, which stands there again
        pages = {
            answer.text.replace(f'value="{name}"', "") for answer, (name, _) in zip(answers[:4], attempts, strict=False)
        }
        assert len(pages) == 1
        assert all("The name or the password is wrong." in said(answer) for answer in answers)
        # and the same work was done for each
        assert len(checked) == len(attempts)
        assert checked[1] is None
        assert await log_in(browser, "ada", PASSWORD, return_to="/device")
        assert (await browser.client.get(ME)).json()["name"] == "ada"


async def test_a_password_is_hashed_as_dearly_as_argon2_advises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher())
    passwords._dummy.cache_clear()
    known = await passwords.Passwords().make_hash(PASSWORD)
    assert known.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await passwords.Passwords().matches(PASSWORD, known)
    assert not await passwords.Passwords().matches(PASSWORD + "!", known)
    assert not await passwords.Passwords().matches("nobody's password", None)
    assert not await passwords.Passwords().matches(PASSWORD, "damaged")
    passwords._dummy.cache_clear()


async def test_the_longest_password_is_whole(tmp_path: Path) -> None:
    async with local_service(tmp_path) as service, Browser(service) as browser:
        await made(service, "ada", "p" * 256)
        await made(service, "grace", "ü" * 12)
        assert (await log_in(browser, "ada", "p" * 257)).status_code == 401
        assert (await log_in(browser, "ada", "p" * 255)).status_code == 401
        assert (await log_in(browser, "ada", "p" * 256)).status_code == 303
        assert (await log_in(browser, "grace", "ü" * 12)).status_code == 303


async def test_an_old_hash_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with local_service(tmp_path) as service, Browser(service) as browser:
        await made(service)

        async def stored() -> str | None:
            async with service.service.database.transaction() as session:
                known = select(LocalAccount.password_hash).where(LocalAccount.username == "ada")
                return (await session.scalars(known)).one()

        before = await stored()
        assert (await log_in(browser)).status_code == 303
        assert await stored() == before
        monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
        assert (await log_in(browser)).status_code == 303
        assert "m=16,t=2" in str(await stored())
        assert (await log_in(browser)).status_code == 303


async def test_wrong_passwords_are_counted_by_account_and_address(tmp_path: Path) -> None:
    limits = {"wrong_passwords_per_account": 3, "wrong_passwords_per_address": 6}
    async with local_service(tmp_path, limits=limits, trusted_proxies=["127.0.0.1"]) as service:
        clock = Clock(service)
        await made(service)
        await made(service, "grace")

        async def attempt(username: str, password: str, address: str) -> int:
            async with Browser(service) as browser:
                browser.client.headers["X-Forwarded-For"] = address
                answer = await log_in(browser, username, password)
                if answer.status_code == 429:
                    assert "Too many wrong passwords" in said(answer)
                return int(answer.status_code)

        # what is right does not count, however often
        assert [await attempt("ada", PASSWORD, "192.0.2.1") for _ in range(4)] == [303] * 4
        assert [await attempt("Ada", "wrong", "192.0.2.1") for _ in range(3)] == [401] * 3
        # the account is closed from everywhere, another one is not, and one that is not there is closed as well
        assert await attempt("ada", PASSWORD, "192.0.2.2") == 429
        assert await attempt("grace", PASSWORD, "192.0.2.1") == 303
        assert [await attempt("nobody", "wrong", "192.0.2.1") for _ in range(4)] == [401] * 3 + [429]
        # now the address is closed, whoever types
        assert await attempt("grace", PASSWORD, "192.0.2.1") == 429
        assert await attempt("grace", PASSWORD, "192.0.2.3") == 303
        clock.now += 600_000
        assert await attempt("ada", PASSWORD, "192.0.2.2") == 303
        clock.now += 3_000_000
        assert await attempt("ada", PASSWORD, "192.0.2.1") == 303


async def test_many_guesses_at_once_are_no_way_round(tmp_path: Path) -> None:
    async with (
        local_service(tmp_path, limits={"wrong_passwords_per_account": 3}) as service,
        Browser(service) as browser,
    ):
        await made(service)
        answers = await asyncio.gather(*(log_in(browser, "ada", f"guess {n}") for n in range(20)))
        assert sorted(answer.status_code for answer in answers) == [401] * 3 + [429] * 17


async def test_a_command_line_is_let_in_by_an_account(tmp_path: Path) -> None:
    async with local_service(tmp_path) as service, Browser(service) as browser:
        await made(service)
        begun = await oauth.begin(service)
        sent = await log_in(browser, return_to="/device")
        assert sent.headers["location"] == "/device"
        await browser.send("/device/decision", code=begun["user_code"], decision="approve")
        assert (await oauth.poll(service, begun["device_code"])).body["name"] == "ada"


async def test_who_is_disabled_is_out_everywhere(tmp_path: Path) -> None:
    async with local_service(tmp_path, dev=True) as service, Browser(service) as browser:
        await made(service)
        await log_in(browser)
        grace = await person(service, "grace")
        room = await grace.room()
        async with peer(service, grace.token, room=room.room_id) as client:
            await disable_user(service.settings, grace.user_id)
            await disable_user(service.settings, "ada")
            await recheck(service.service)
            assert await client.closed() == 4403
        assert (await browser.client.get(ME)).status_code == 401
        refused = await log_in(browser)
        assert (refused.status_code, "lets you in no longer" in said(refused)) == (403, True)
        # a wrong password tells nothing of it
        assert (await log_in(browser, "ada", "wrong")).status_code == 401
        await enable_user(service.settings, "ada")
        assert (await browser.client.get(ME)).status_code == 401
        assert (await log_in(browser)).status_code == 303


@pytest.mark.parametrize("lock_out", [disable_user, reset_user])
async def test_who_is_locked_out_at_the_command_line_is_sent_away_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock_out: Callable[[Settings, str], Any]
) -> None:
    monkeypatch.setattr(housekeeping, "WATCH_SECONDS", 0.01)
    async with local_service(tmp_path) as service, Browser(service) as browser:
        await made(service)
        begun = await oauth.begin(service)
        await log_in(browser)
        await browser.send("/device/decision", code=begun["user_code"], decision="approve")
        grant = (await oauth.poll(service, begun["device_code"])).body
        room = await ServiceAPI(service.url, grant["access_token"]).create_room("lab", 30)
        async with peer(service, grant["access_token"], room=room.room_id) as client:
            await lock_out(service.settings, "ada")
            async with asyncio.timeout(10):
                assert await client.closed() == 4403


async def test_a_reset_ends_password_logins_and_older_links(tmp_path: Path) -> None:
    async with local_service(tmp_path) as service, Browser(service) as browser:
        await made(service)
        await log_in(browser)
        older = secret_of(await reset_user(service.settings, "ada"))
        newer = secret_of(await reset_user(service.settings, "ADA"))
        assert (await browser.client.get(ME)).status_code == 401
        assert (await log_in(browser)).status_code == 401
        assert (await enrol(browser, older)).status_code == 401
        assert (await enrol(browser, newer, ENROLLED)).status_code == 303
        async with service.service.database.transaction() as session:
            assert [user.name for user in await session.scalars(select(User))] == ["admin", "ada"]
            alive = [login for login in await session.scalars(select(Login)) if login.revoked_at is None]
            assert len(alive) == 1


async def test_a_password_that_changes_meanwhile_lets_nobody_in(tmp_path: Path) -> None:
    async with local_service(tmp_path) as service, Browser(service) as browser:
        await made(service)

        class Slow(passwords.Passwords):
            async def matches(self, password: str, known: str | None) -> bool:
                right = await super().matches(password, known)
                await reset_user(service.settings, "ada")
                return right

        service.service.passwords = Slow()
        assert (await log_in(browser)).status_code == 401


async def test_names_have_a_grammar_and_are_one_persons(tmp_path: Path) -> None:
    settings = Settings(local_accounts=True, database_url=f"sqlite+aiosqlite:///{tmp_path / 'x.db'}")
    await add_user(settings, "Ada")
    for taken in ("ada", "ADA"):
        with pytest.raises(ConflictError, match="user reset"):
            await add_user(settings, taken)
    for name in ("", "-x", "a b", "é", "<script>", "\x1b[31mred", "\u202eada", "n" * 65, "ada\n"):
        with pytest.raises(UsageError, match="letters"):
            await add_user(settings, name)
    for name in ("nobody", "u_aaaaaaaa", ""):
        with pytest.raises(NotFoundError, match="user list"):
            await disable_user(settings, name)
    (ada,) = await list_users(settings)
    assert (ada.name, ada.provider, ada.enrolled, ada.logins) == ("Ada", "local", False, 0)
    with pytest.raises(ConfigError, match="local_accounts = true"):
        await add_user(settings.model_copy(update={"local_accounts": False}), "grace")


async def test_a_name_that_several_have_is_not_enough(tmp_path: Path) -> None:
    async with local_service(tmp_path, dev=True) as service:
        ada = await person(service, "ada")
        async with service.service.database.transaction() as session:
            session.add(User(id="u_bbbbbbbb", provider="other", subject="7", name="ada", created_at=0))
        with pytest.raises(ConflictError, match=f"u_bbbbbbbb, {ada.user_id}"):
            await disable_user(service.settings, "ada")
        with pytest.raises(UsageError, match="another provider"):
            await reset_user(service.settings, ada.user_id)
        await disable_user(service.settings, "u_bbbbbbbb")
        states = {user.user_id: user.disabled_at is None for user in await list_users(service.settings)}
        assert (states["u_bbbbbbbb"], states[ada.user_id]) == (False, True)


async def test_the_first_start_makes_the_first_link(tmp_path: Path) -> None:
    settings = Settings(port=0, local_accounts=True, database_url=f"sqlite+aiosqlite:///{tmp_path / 'x.db'}")
    async with running(settings) as first:
        assert first.first_link is not None
        assert first.first_link.startswith(f"{first.url}/enrol#slpe_")
        assert first.first_link not in repr(first)
    # nobody used it: the next start makes another one, and the first one ends
    async with running(settings) as second:
        assert second.first_link is not None
        service = RunningService(second.url, settings, second.app, second)
        async with Browser(service) as browser:
            assert (await enrol(browser, first.first_link.partition("#")[2])).status_code == 401
            assert (await enrol(browser, second.first_link.partition("#")[2])).status_code == 303
            assert (await browser.client.get(ME)).json()["name"] == "admin"
    async with running(settings) as third:
        assert third.first_link is None
    async with running(settings.model_copy(update={"local_accounts": False})) as fourth:
        assert fourth.first_link is None
        async with Browser(RunningService(fourth.url, settings, fourth.app, fourth)) as browser:
            assert (await browser.open("/enrol")).status_code == 404
            assert (await log_in(browser, "admin")).status_code == 404


async def test_an_operator_who_was_first_gets_no_first_link(tmp_path: Path) -> None:
    settings = Settings(port=0, local_accounts=True, database_url=f"sqlite+aiosqlite:///{tmp_path / 'x.db'}")
    await add_user(settings, "ada")
    async with running(settings) as service:
        assert service.first_link is None


def operator(tmp_path: Path, *words: str) -> Result:
    from sleap_rtc.cli.server import server

    environ = {"SLEAP_RTC_SERVER_LOCAL_ACCOUNTS": "true", "SLEAP_RTC_SERVER_PUBLIC_URL": "https://rtc.lab.example"}
    return CliRunner().invoke(server, ["user", *words, "--database", str(tmp_path / "x.db")], env=environ)


def test_an_operator_at_the_command_line(tmp_path: Path) -> None:
    nobody = operator(tmp_path, "list")
    assert (nobody.exit_code, nobody.stdout) == (0, "")
    added = operator(tmp_path, "add", "ada")
    assert added.exit_code == 0, added.output
    assert re.search(r"^  https://rtc\.lab\.example/enrol#slpe_\w+$", added.stdout, re.MULTILINE)
    made = json.loads(operator(tmp_path, "add", "grace", "--json").stdout)
    assert set(made) == {"user", "name", "link", "expires_at"}
    listed = operator(tmp_path, "list").stdout.splitlines()
    assert listed[0].split() == ["name", "by", "state", "logins", "since", "id"]
    assert [line.split()[0] for line in listed[1:]] == ["ada", "grace"]
    assert "no password yet" in listed[1]
    assert json.loads(operator(tmp_path, "disable", "ada", "--json").stdout)["disabled_at"] > 0
    assert "disabled" in operator(tmp_path, "list").stdout
    assert "may log in again" in operator(tmp_path, "enable", "ada").stdout
    again = operator(tmp_path, "reset", "ada")
    assert re.search(r"^  https://rtc\.lab\.example/enrol#slpe_\w+$", again.stdout, re.MULTILINE)
    users = json.loads(operator(tmp_path, "list", "--json").stdout)
    assert [(user["name"], user["enrolled"], user["disabled_at"]) for user in users] == [
        ("ada", False, None),
        ("grace", False, None),
    ]
    assert isinstance(operator(tmp_path, "disable", "nobody").exception, NotFoundError)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to stop it gracefully")
def test_the_first_link_is_told_on_the_terminal_and_not_in_the_log(tmp_path: Path) -> None:
    program = "from sleap_rtc.cli.server import server; server()"
    command = [sys.executable, "-c", program, "--port", "0", "--database", str(tmp_path / "x.db")]
    environ = os.environ | {"SLEAP_RTC_SERVER_LOCAL_ACCOUNTS": "true"}
    with subprocess.Popen(
        command, env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    link = lines[3].strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/enrol#slpe_\w{36}", link)
    assert link.partition("#")[2] not in out + err
