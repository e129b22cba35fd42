"""``sleap-rtc worker``: which room it serves, by whose leave, and how it ends."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from signaling_server.housekeeping import recheck
from sleap_rtc.cli import serving
from sleap_rtc.cli.options import settings_for
from sleap_rtc.cli.serving import WorkerRequest, serve
from sleap_rtc.cli.times import DAY_MS
from sleap_rtc.client.client import join_session
from sleap_rtc.config.clock import utc_ms
from sleap_rtc.config.credentials import Credentials
from sleap_rtc.config.room_secrets import RoomSecretStore
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.config.settings import Settings
from sleap_rtc.errors import AuthenticationError, ConfigError, ConflictError, NotFoundError, SleapRTCError, UsageError
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.protocol.tokens import make_token
from sleap_rtc.signaling.account import Account, login_of
from sleap_rtc.signaling.api import NewToken, Room, ServiceAPI
from tests.cli.shell import Shell, make_shell
from tests.service.people import Clock
from tests.service.running import RunningService, running_service

SECRET = RoomSecret.make(bytes(range(32)), 1_800_000_000)
GONE_S = 6.0
"""Three times as long as a revoked worker may stay."""


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker here gets a job, so none imports sleap-nn to check one."""
    monkeypatch.setattr(serving, "Preflight", lambda *_, **__: None)


class Lab:
    """A room, its owner's login, and workers of this process."""

    def __init__(self, service: RunningService, shell: Shell, api: ServiceAPI, room: Room) -> None:
        self.service = service
        self.shell = shell
        self.api = api
        self.room = room

    async def key(self, name: str = "gpu") -> NewToken:
        return await self.api.create_token(self.room.room_id, name, 7)

    def start(self, **options: Any) -> "asyncio.Task[int]":
        """Start what `sleap-rtc worker` starts, with the settings as they are now."""
        asked: dict[str, Any] = {
            "name": None,
            "room": None,
            "session": False,
            "jobs": None,
            "store": None,
            "drain": False,
        } | options
        typed = {name: asked.pop(name, None) for name in ("api_key", "server", "slots", "gpus")}
        settings = settings_for(**typed)
        return asyncio.create_task(serve(WorkerRequest(settings, **asked)))

    @asynccontextmanager
    async def serving(self, **options: Any) -> AsyncIterator["asyncio.Task[int]"]:
        """Run a worker until it can be dialled, and while the body runs."""
        task = self.start(**options)
        try:
            async with asyncio.timeout(30):
                while "Waiting for clients" not in self.printed():
                    if task.done():
                        task.result()
                    await asyncio.sleep(0.02)
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, SleapRTCError):
                await task

    def printed(self) -> str:
        """Everything printed since this was emptied."""
        out, err = self.shell.capsys.readouterr()
        self._said = getattr(self, "_said", "") + out + err
        return self._said

    async def until_printed(self, text: str) -> None:
        async with asyncio.timeout(30):
            while True:
                if text in self.printed():
                    return
                await asyncio.sleep(0.02)

    def emptied(self) -> str:
        text, self._said = self.printed(), ""
        return text


@pytest_asyncio.fixture
async def lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Lab]:
    shell = make_shell(tmp_path, monkeypatch, capsys)
    async with running_service(tmp_path, dev=True) as service:
        shell.export("SLEAP_RTC_SERVER", service.url)
        grant = await ServiceAPI(service.url).login_dev("ada")
        Credentials().keep_login(service.url, login_of(grant, utc_ms()))
        api = ServiceAPI(service.url, Account(service.url))
        yield Lab(service, shell, api, await api.create_room("Fly lab", 30))


async def test_the_dashboards_file_is_enough(lab: Lab) -> None:
    """The whole program, without an option, in a folder with the example of the dashboard."""
    key = await lab.key("another name")
    (lab.shell.folder / "sleap-rtc.toml").write_text(
        f"""# Default room for commands
default_room = "{lab.room.room_id}"
# Worker configuration
[worker]
api_key = "{key.token}"
name = "lab-gpu-1"
# Room secrets (optional)
[secrets]
"{lab.room.room_id}" = "{SECRET.text}"
"room-id-2" = "secret-for-room-2"
# Client configuration
[client]
auto_select = true
"""
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sleap_rtc", "worker", cwd=lab.shell.folder, env=os.environ,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    assert process.stderr
    async with asyncio.timeout(60):
        lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(5)]
    assert lines[0].startswith("worker lab-gpu-1 (w_")
    assert lines[1].startswith("Sandbox: ")
    assert lines[2:] == [
        f"Serving the room 'Fly lab' ({lab.room.room_id}). Its members train here with:",
        f"  sleap-rtc train --server {lab.service.url} --room {lab.room.room_id} --pkg-path PACKAGE.zip",
        "Waiting for clients; Ctrl-C ends.",
    ]
    (present,) = await lab.api.workers(lab.room.room_id)
    assert present.name == "lab-gpu-1"
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 0
    assert "sleap-session:" not in (text := out.decode() + err.decode())
    assert f"room set-secret --server {lab.service.url} {lab.room.room_id}" in text
    assert key.token not in text
    assert SECRET.text not in text


async def test_a_worker_is_called_as_its_key_unless_told_otherwise(lab: Lab) -> None:
    key = await lab.key("gpu-of-ada")
    async with lab.serving(api_key=key.token):
        assert lab.emptied().startswith("worker gpu-of-ada (")
    async with lab.serving(api_key=key.token, name="other", room="FLY LAB"):
        assert lab.printed().startswith("worker other (")
        assert [each.name for each in await lab.api.workers(lab.room.room_id)] == ["other"]


async def test_a_revoked_key_ends_its_worker_at_once_with_the_reason(lab: Lab) -> None:
    key = await lab.key()
    async with lab.serving(api_key=key.token) as task:
        await lab.api.revoke_token(lab.room.room_id, key.token_id)
        with pytest.raises(AuthenticationError, match="revoked"):
            await asyncio.wait_for(task, GONE_S)
    with pytest.raises(AuthenticationError, match="revoked"):
        await lab.start(api_key=key.token)


async def test_a_key_that_ends_within_a_day_is_said_at_the_start(lab: Lab) -> None:
    key = await lab.key()
    async with lab.serving(api_key=key.token):
        pass
    assert "ends in" not in lab.printed()
    clock = lab.service.service.clock
    lab.service.service.clock = lambda: clock() + 6 * DAY_MS + DAY_MS // 2
    async with lab.serving(api_key=key.token):
        await lab.until_printed("warning: The key or the room of this worker ends in 11 h 5")


async def test_an_expired_key_says_so(lab: Lab) -> None:
    key = await lab.key()
    clock = lab.service.service.clock
    lab.service.service.clock = lambda: clock() + 8 * DAY_MS
    with pytest.raises(AuthenticationError, match="expired"):
        await lab.start(api_key=key.token)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: "your-api-key", "from the command line is not whole"),
        (lambda: make_token("worker", os.urandom(32))[:-1] + "!", "is not whole"),
        (lambda: make_token("session", os.urandom(32)), "is no worker token: one begins with slp_"),
        (lambda: make_token("worker", os.urandom(32)), ""),
    ],
    ids=["placeholder", "mistyped", "another kind", "unknown"],
)
async def test_a_key_that_opens_nothing_is_a_sentence(lab: Lab, make: Any, words: str) -> None:
    key = make()
    with pytest.raises(AuthenticationError) as caught:
        await lab.start(api_key=key)
    assert words in caught.value.sentence
    assert key not in caught.value.sentence


async def test_a_key_of_another_room_than_asked_for_is_refused(lab: Lab) -> None:
    key = await lab.key()
    other = await lab.api.create_room("Mice", 30)
    for wanted in ("Mice", other.room_id, "r_nowhere00"):
        with pytest.raises(UsageError, match="opens the room 'Fly lab'"):
            await lab.start(api_key=key.token, room=wanted)


async def test_two_machines_with_one_key_stay_and_one_machine_twice_does_not(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await lab.key()
    async with lab.serving(api_key=key.token) as first:
        lab.emptied()
        monkeypatch.setenv("SLEAP_RTC_HOME", str(tmp_path / "second"))
        async with lab.serving(api_key=key.token) as second:
            lab.emptied()
            assert len(await lab.api.workers(lab.room.room_id)) == 2
            async with lab.serving(api_key=key.token) as again:
                with pytest.raises(ConflictError, match="started again"):
                    await asyncio.wait_for(second, GONE_S)
                assert not again.done()
                assert not first.done()
                assert len(await lab.api.workers(lab.room.room_id)) == 2


async def test_an_owner_needs_no_key(lab: Lab) -> None:
    async with lab.serving(room="Fly lab", name="here"):
        assert "sleap-session:" not in lab.emptied()
    async with lab.serving(room=lab.room.room_id):
        assert lab.printed().startswith("worker here (")
    (token,) = await lab.api.tokens(lab.room.room_id)
    assert token.name == "here"
    clock = lab.service.service.clock
    lab.service.service.clock = lambda: clock() + 8 * DAY_MS
    lab.emptied()
    async with lab.serving(room="Fly lab", name="later"):
        pass
    assert [each.name for each in await lab.api.tokens(lab.room.room_id)] == ["here", "later"]


async def test_the_token_that_it_made_for_itself_is_renewed_while_it_runs(lab: Lab) -> None:
    clock = Clock(lab.service)
    async with lab.serving(room="Fly lab", name="here") as task:
        (first,) = await lab.api.tokens(lab.room.room_id)
        clock.now += 7 * DAY_MS
        await recheck(lab.service.service)
        await lab.until_printed("is back")
        (present,) = await lab.api.workers(lab.room.room_id)
        assert (present.name, task.done()) == ("here", False)
        before, after = await lab.api.tokens(lab.room.room_id)
        assert (before.token_id, before.state, after.state) == (first.token_id, "expired", "active")
        kept = Credentials().worker_token(lab.service.url, lab.room.room_id)
        assert kept is not None
        assert (kept.token_id, kept.expires_at) == (after.token_id, after.expires_at)


async def test_it_is_renewed_a_day_before_its_end_at_a_new_connection(lab: Lab) -> None:
    clock = Clock(lab.service)
    room = lab.room.room_id
    async with lab.serving(room="Fly lab", name="here"):
        kept = Credentials().worker_token(lab.service.url, room)
        assert kept is not None
        assert kept.expires_at == clock.now + 7 * DAY_MS
        for left, tokens in ((DAY_MS + 60_000, 1), (DAY_MS - 60_000, 2)):
            lab.emptied()
            # the worker goes by this machine's clock
            soon = replace(kept, expires_at=utc_ms() + left)
            await asyncio.to_thread(Credentials().keep_worker_token, lab.service.url, room, soon)
            await lab.service.service.hub.end_all("the service restarts", 1012, room=room)
            await lab.until_printed("is back")
            assert [each.state for each in await lab.api.tokens(room)] == ["active"] * tokens


async def test_a_revoked_machine_makes_itself_no_new_key(lab: Lab) -> None:
    async with lab.serving(room="Fly lab") as task:
        (token,) = await lab.api.tokens(lab.room.room_id)
        await lab.api.revoke_token(lab.room.room_id, token.token_id)
        with pytest.raises(AuthenticationError):
            await asyncio.wait_for(task, GONE_S)
    with pytest.raises(AuthenticationError, match="was revoked"):
        await lab.start(room="Fly lab")
    assert len(await lab.api.tokens(lab.room.room_id)) == 1


async def test_a_room_without_key_and_login_is_a_sentence(lab: Lab) -> None:
    with pytest.raises(NotFoundError):
        await lab.start(room="Mice")
    Credentials().forget_login(lab.service.url)
    with pytest.raises(AuthenticationError, match="You are not logged in"):
        await lab.start(room="Fly lab")


async def test_a_session_string_and_a_secret_both_hold(lab: Lab, tmp_path: Path) -> None:
    """Whoever has the string and not the secret sees that a worker is there, and no more of it."""
    async with lab.serving(session=True, secrets=SecretLookup(given=SECRET.text)):
        [string] = re.findall(r"sleap-session:\S+", lab.printed())
        elsewhere = RoomSecretStore(tmp_path / "elsewhere.json")
        for given in (None, SECRET.text):
            lookup = SecretLookup(Settings(), given, store=elsewhere)
            reaching = join_session(string, default_server=lab.service.url, secrets=lookup.secrets)
            if given is None:
                with pytest.raises(AuthenticationError, match="this machine has none"):
                    await reaching.__aenter__()
            else:
                async with reaching as (worker, _):
                    assert await worker.jobs() == []
    assert "slrs_" not in lab.printed()


async def test_a_worker_does_not_start_without_the_secret_that_its_room_had(lab: Lab) -> None:
    key = await lab.key()
    async with lab.serving(api_key=key.token, secrets=SecretLookup(given=SECRET.text)):
        assert f"room set-secret --server {lab.service.url} {lab.room.room_id}" in lab.printed()
    with pytest.raises(AuthenticationError, match="has a secret and this machine does not have it"):
        await lab.start(api_key=key.token)
    with pytest.raises(ConfigError, match="cannot be used"):
        await lab.start(api_key=key.token, secrets=SecretLookup(given="hunter2"))


async def test_a_key_that_the_service_gives_to_another_room_is_not_used(lab: Lab) -> None:
    key = await lab.key()
    lookup = SecretLookup()
    lookup.store.keep(lab.service.url, "r_before00", SECRET)
    lookup.check_worker_key(lab.service.url, key.token, "r_before00")
    with pytest.raises(AuthenticationError, match="A key never changes its room"):
        await lab.start(api_key=key.token)


async def test_a_session_string_can_be_forced(lab: Lab) -> None:
    key = await lab.key()
    async with lab.serving(api_key=key.token, session=True):
        assert "sleap-session:" in lab.printed()
    assert not await lab.api.workers(lab.room.room_id)


async def test_a_foreign_server_in_a_projects_file_gets_nothing(lab: Lab) -> None:
    key = await lab.key()
    met = []

    def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(writer)
        writer.close()

    foreign = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with foreign:
        port = foreign.sockets[0].getsockname()[1]
        lab.shell.monkeypatch.delenv("SLEAP_RTC_SERVER")
        await lab.shell.ok("config", "set", "server", lab.service.url)
        await lab.shell.ok("config", "set", "worker.api_key", key.token)
        (lab.shell.folder / "sleap-rtc.toml").write_text(f'server = "http://127.0.0.1:{port}"\n')
        with pytest.raises(ConfigError, match="so it is not used with"):
            await lab.start()
        assert not met
        async with lab.serving(server=lab.service.url):
            assert len(await lab.api.workers(lab.room.room_id)) == 1
        assert not met


async def test_the_service_a_file_chose_is_said(lab: Lab) -> None:
    lab.shell.monkeypatch.delenv("SLEAP_RTC_SERVER")
    path = lab.shell.folder / "sleap-rtc.toml"
    path.write_text(f'server = "{lab.service.url}"\n[worker]\napi_key = "{(await lab.key()).token}"\n')
    async with lab.serving():
        assert f"The service {lab.service.url} is the one that {path} names." in lab.printed()


async def test_slots_are_announced(lab: Lab) -> None:
    lab.shell.export("CUDA_VISIBLE_DEVICES", "")
    key = await lab.key()
    async with lab.serving(api_key=key.token, slots="3"):
        (present,) = await lab.api.workers(lab.room.room_id)
        assert (present.info.slots, present.info.busy) == (3, 0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--gpus", "0,9"], "'0' is no GPU that this worker may use: there is none."),
        (["--gpus", ""], "must be one line of text, and not empty"),
        (["--slots", "0"], "0 is not in the range 1<=x<=64"),
    ],
)
def test_gpus_and_slots_that_make_no_sense_are_a_sentence(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    typed = make_shell(tmp_path, monkeypatch, capsys).now("worker", "--session", *words)
    assert (typed.code, sentence in " ".join(typed.err.split())) == (2, True), typed.err


@pytest.mark.parametrize("words", [["--room", "x"], ["--api-key", "slp_x"]])
def test_session_excludes_rooms_and_keys(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = make_shell(tmp_path, monkeypatch, capsys).now("worker", "--session", *words)
    assert (typed.code, "leave --api-key and --room out" in typed.err) == (2, True)
