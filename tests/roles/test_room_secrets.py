"""A real worker and a real client in a room with a secret: who may meet whom, and when it changes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sleap_rtc.client.client import Client
from sleap_rtc.config.room_secrets import GRACE_MS, RoomSecretStore
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.errors import AuthenticationError
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.signaling.account import Account
from tests.cli.room_lab import RoomLab, room_lab
from tests.roles.times import TIMEOUTS

OLD, NEW, NEWEST = (RoomSecret.make(bytes([number]) * 32, 1_800_000_000 + number) for number in (1, 2, 3))


class Machine:
    """A machine with a home of its own and a clock that stands."""

    def __init__(self, lab: RoomLab, name: str) -> None:
        self._server, self._room = lab.service.url, lab.room.room_id
        self.now = 1_800_000_000_000
        self.store = RoomSecretStore(lab.folder / f"{name}-secrets.json", clock=lambda: self.now)
        self._lookup = SecretLookup(store=self.store)

    def keep(self, *secrets: RoomSecret, end_old: bool = False) -> None:
        for secret in secrets:
            self.store.keep(self._server, self._room, secret, end_old=end_old)

    def secrets(self) -> tuple[RoomSecret, ...]:
        return self._lookup.secrets(self._server, self._room)

    async def dial(self) -> str:
        """Dial the only worker and ask it something; return why that was refused, or nothing."""
        account = Account(self._server)
        try:
            async with Client.join(
                self._server, account, room=self._room, timeouts=TIMEOUTS, secrets=self._lookup.secrets
            ) as client:
                [present] = await client.workers()
                async with client.dial(present.worker_id) as worker:
                    assert await worker.jobs() == []
        except AuthenticationError as error:
            return error.sentence
        return ""


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        yield found


async def test_only_who_has_the_secret_meets(lab: RoomLab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    host, member, stranger, other = (Machine(lab, name) for name in ("host", "member", "stranger", "other"))
    host.keep(NEW)
    member.keep(NEW)
    other.keep(OLD)
    clients: list[str] = []
    async with lab.worker("gpu", 8, secrets=host.secrets, on_client=clients.append):
        assert await member.dial() == ""
        assert "this machine has none" in await stranger.dial()
        assert "a newer secret" in await other.dial()
        # rotation, without a restart of anything: both are good for a day, then the newest alone
        host.keep(NEWEST)
        assert await member.dial() == ""
        other.store.forget(lab.service.url, lab.room.room_id)
        other.keep(NEWEST)
        assert await other.dial() == ""
        host.now += GRACE_MS
        assert "a newer secret" in await member.dial()
    assert clients == ["ada"] * 3
    assert not any(lab.jobs_of("gpu").glob("j_*"))
    assert "slrs_" not in caplog.text.replace("slrs_…", "")


async def test_an_old_secret_that_was_ended_is_refused_at_once(lab: RoomLab) -> None:
    host, member = Machine(lab, "host"), Machine(lab, "member")
    host.keep(OLD)
    member.keep(OLD)
    async with lab.worker("gpu", 8, secrets=host.secrets):
        host.keep(NEW, end_old=True)
        assert "a newer secret" in await member.dial()
        member.keep(NEW)
        assert await member.dial() == ""


async def test_a_client_with_a_secret_sends_nothing_to_a_worker_without(lab: RoomLab) -> None:
    member, clients = Machine(lab, "member"), list[str]()
    member.keep(NEW)
    async with lab.worker("gpu", 8, on_client=clients.append):
        assert "the worker has no secret of this room" in await member.dial()
        # the secret is gone, and the room is one with a secret all the same
        path = member.store.path
        path.write_text(path.read_text().replace(f'"{NEW.text}"', ""))
        assert f"sleap-rtc room set-secret --server {lab.service.url} {lab.room.room_id}" in await member.dial()
    assert not clients


async def test_a_worker_that_lost_its_secret_serves_nobody_until_it_has_it_again(lab: RoomLab) -> None:
    host, member = Machine(lab, "host"), Machine(lab, "member")
    host.keep(NEW)
    text = host.store.path.read_text()
    host.store.path.write_text(text.replace(f'"{NEW.text}"', ""))
    async with lab.worker("gpu", 8, secrets=host.secrets):
        assert "cannot prove who it is" in await member.dial()
        host.store.path.write_text(text)
        member.keep(NEW)
        assert await member.dial() == ""
