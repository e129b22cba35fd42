"""Refresh tokens: exchanged once, for a moment twice, and never later; and where one is logged in."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select

from signaling_server.housekeeping import clean_up
from signaling_server.models import Login, RefreshToken, User
from sleap_rtc.errors import AuthenticationError, NotFoundError
from sleap_rtc.signaling.api import ServiceAPI
from tests.service.browsers import Browser
from tests.service.oauth import begin, poll, read, refresh
from tests.service.peers import browser, peer
from tests.service.people import DAY, HOUR, Clock, dev_service, person
from tests.service.running import RunningService

GRACE = 30_000


async def name_of(service: RunningService, access_token: str) -> str:
    return (await ServiceAPI(service.url, access_token).me()).name


async def alive(service: RunningService) -> int:
    """How many logins have not been ended."""
    async with service.service.database.transaction() as session:
        return await session.scalar(select(func.count()).select_from(Login).where(Login.revoked_at.is_(None))) or 0


async def test_a_refresh_token_is_exchanged_for_the_next_pair(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        token, seen = ada.refresh_token, {ada.token, ada.refresh_token}
        for _ in range(30):
            clock.now += 2 * DAY
            body = (await refresh(service, token)).body
            token = body["refresh_token"]
            assert (body["login_id"], body["name"]) == (ada.login_id, "ada")
            assert not seen & {token, body["access_token"]}
            seen |= {token, body["access_token"]}
            assert await name_of(service, body["access_token"]) == "ada"
        assert await alive(service) == 1


async def test_a_lost_answer_is_asked_for_again(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        lost = (await refresh(service, ada.refresh_token)).body
        clock.now += GRACE
        again = (await refresh(service, ada.refresh_token)).body
        assert again["refresh_token"] != lost["refresh_token"]
        for body in (lost, again):
            assert body["login_id"] == ada.login_id
            assert await name_of(service, body["access_token"]) == "ada"
        clock.now += HOUR
        for body in (lost, again):
            assert (await refresh(service, body["refresh_token"])).status == 200


async def test_a_refresh_token_that_comes_back_later_ends_the_login(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada, other = await person(service, "ada"), await person(service, "ada")
        room = await ada.room()
        new = (await refresh(service, ada.refresh_token)).body
        async with (
            peer(service, new["access_token"], room=room.room_id) as here,
            peer(service, other.token, room=room.room_id) as elsewhere,
        ):
            clock.now += GRACE + 1
            late = await refresh(service, ada.refresh_token)
            assert late.refused == "invalid_grant"
            assert "renewed twice" in late.body["error_description"]
            assert "sleap-rtc login" in late.body["error_description"]
            async with asyncio.timeout(2):
                assert await here.closed() == 4403
            assert await elsewhere.silent()
        told = await refresh(service, new["refresh_token"])
        assert (told.refused, "renewed twice" in told.body["error_description"]) == ("invalid_grant", True)
        with pytest.raises(AuthenticationError, match="was ended just now, because a token of it was renewed twice"):
            await name_of(service, new["access_token"])
        assert await name_of(service, other.token) == "ada"


async def test_fifty_at_once_all_get_a_pair_of_one_login(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        form = {"grant_type": "refresh_token", "refresh_token": ada.refresh_token}
        async with browser(service) as client:
            asked = [client.post("/api/v1/auth/token", data=form, timeout=60) for _ in range(50)]
            answers = [read(each) for each in await asyncio.gather(*asked)]
        assert {answer.status for answer in answers} == {200}
        assert {answer.body["login_id"] for answer in answers} == {ada.login_id}
        assert len({answer.body["refresh_token"] for answer in answers}) == 50
        assert await alive(service) == 1
        async with service.service.database.transaction() as session:
            used = select(func.count()).select_from(RefreshToken).where(RefreshToken.used_at.is_not(None))
            assert await session.scalar(used) == 1


async def test_tokens_of_another_kind_are_exchanged_for_nothing(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        for token in (ada.token, (await ada.worker_token(room)).token, ada.refresh_token[:-1], ada.login_id):
            assert (await refresh(service, token)).refused == "invalid_grant"
        async with browser(service) as client:
            answer = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {ada.refresh_token}"})
        assert answer.status_code == 401
        assert (await refresh(service, ada.refresh_token)).status == 200


async def test_a_login_that_has_ended_is_not_renewed(tmp_path: Path) -> None:
    async with dev_service(tmp_path, login_days=3) as service:
        clock = Clock(service)
        gone, idle, locked_out = [await person(service, name) for name in ("ada", "grace", "mary")]
        await gone.api.logout()
        assert "was ended just now" in (await refresh(service, gone.refresh_token)).body["error_description"]
        async with service.service.database.transaction() as session:
            (await session.get_one(User, locked_out.user_id)).disabled_at = clock.now
        assert "operator" in (await refresh(service, locked_out.refresh_token)).body["error_description"]
        clock.now += 3 * DAY
        assert "expired just now" in (await refresh(service, idle.refresh_token)).body["error_description"]


async def test_used_refresh_tokens_are_remembered_as_long_as_a_login_can_sleep(tmp_path: Path) -> None:
    async with dev_service(tmp_path, login_days=3) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        first, token = ada.refresh_token, ada.refresh_token
        for _ in range(3):
            clock.now += DAY - 1
            token = (await refresh(service, token)).body["refresh_token"]
            await clean_up(service.service)
        clock.now += DAY
        await clean_up(service.service)
        assert (await refresh(service, first)).body["error_description"].startswith("This refresh token is unknown")
        assert (await refresh(service, token)).status == 200
        async with service.service.database.transaction() as session:
            assert await session.scalar(select(func.count()).select_from(RefreshToken)) == 4


async def test_where_one_is_logged_in(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        await person(service, "grace")
        await ServiceAPI(service.url).login_dev("ada", "lab workstation\x1b[2J")
        clock.now += HOUR
        ada = await person(service, "ada")
        mine, other = await ada.api.logins()
        assert (mine.login_id, mine.current, mine.kind, mine.address) == (ada.login_id, True, "dev", "127.0.0.1")
        assert (other.device, other.current, other.last_used_at) == ("lab workstation", False, None)
        assert (other.created_at, other.expires_at) == (clock.now - HOUR, clock.now - HOUR + 30 * DAY)


async def test_a_login_is_ended_from_another_one(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, lost, grace = [await person(service, name) for name in ("ada", "ada", "grace")]
        room = await ada.room()
        with pytest.raises(NotFoundError, match="no such login"):
            await grace.api.end_login(lost.login_id)
        async with peer(service, lost.token, room=room.room_id) as there, peer(service, ada.token, room=room.room_id):
            await ada.api.end_login(lost.login_id)
            async with asyncio.timeout(2):
                assert await there.closed() == 4403
        assert (await refresh(service, lost.refresh_token)).refused == "invalid_grant"
        with pytest.raises(AuthenticationError, match="was ended just now from elsewhere"):
            await lost.api.me()
        assert [each.login_id for each in await ada.api.logins()] == [ada.login_id]
        for wrong in ("a_00000000", "../rooms", "a_", "%2e%2e"):
            with pytest.raises(NotFoundError):
                await ada.api.end_login(wrong)


async def test_one_logs_out_everywhere_at_once(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, other, grace = [await person(service, name) for name in ("ada", "ada", "grace")]
        room = await ada.room()
        async with peer(service, other.token, room=room.room_id) as there:
            await ada.api.end_logins()
            async with asyncio.timeout(2):
                assert await there.closed() == 4403
        for each in (ada, other):
            with pytest.raises(AuthenticationError, match="was ended"):
                await each.api.me()
        assert (await grace.api.me()).name == "grace"


@pytest.mark.parametrize("everywhere", [False, True])
async def test_who_was_let_in_by_a_stolen_login_does_not_come_in_after_its_end(
    tmp_path: Path, everywhere: bool
) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as thief:
        ada, begun = await person(service, "ada"), await begin(service)
        await thief.log_in_dev("ada")
        await thief.send("/device/decision", code=begun["user_code"], decision="approve")
        stolen = next(each for each in await ada.api.logins() if each.kind == "browser")
        await (ada.api.end_logins() if everywhere else ada.api.end_login(stolen.login_id))
        assert (await poll(service, begun["device_code"])).refused == "access_denied"


async def test_who_comes_in_at_the_very_moment_of_the_end_is_out_with_the_others(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        for _ in range(5):
            ada, begun = await person(service, "ada"), await begin(service)
            async with Browser(service) as browsing:
                await browsing.log_in_dev("ada")
                await browsing.send("/device/decision", code=begun["user_code"], decision="approve")
            await asyncio.gather(poll(service, begun["device_code"]), ada.api.end_logins())
            assert await alive(service) == 0


async def test_who_logs_out_in_the_browser_has_let_the_device_in(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        begun = await begin(service)
        await browser.log_in_dev("ada")
        await browser.send("/device/decision", code=begun["user_code"], decision="approve")
        await browser.send("/logout")
        assert (await poll(service, begun["device_code"])).body["name"] == "ada"


async def test_a_refresh_token_that_nobody_used_ends_by_itself(tmp_path: Path) -> None:
    async with dev_service(tmp_path, login_days=3) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        copy = (await refresh(service, ada.refresh_token)).body["refresh_token"]
        token = (await refresh(service, ada.refresh_token)).body["refresh_token"]
        for _ in range(3):
            clock.now += DAY
            token = (await refresh(service, token)).body["refresh_token"]
        late = await refresh(service, copy)
        assert (late.refused, "expired" in late.body["error_description"]) == ("invalid_grant", True)
        assert (await refresh(service, token)).status == 200
