"""Tickets: one WebSocket each, within a minute, for whoever can set no header."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from sleap_rtc.protocol.tokens import make_token
from sleap_rtc.signaling.api import Room
from tests.service.browsers import Browser
from tests.service.peers import Peer, browser, open_room, peer
from tests.service.people import Clock, Person, dev_service, join, leave, person
from tests.service.running import RunningService

LIFE = 60_000


async def ticket(service: RunningService, somebody: Person, room: Room) -> str:
    answer = await asked(service, somebody, room)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["ticket"])


async def asked(service: RunningService, somebody: Person, room: Room) -> Any:
    headers = {"Authorization": f"Bearer {somebody.token}"}
    async with browser(service) as client:
        return await client.post("/api/v1/ws-tickets", headers=headers, json={"room_id": room.room_id})


@asynccontextmanager
async def entered(service: RunningService, *names: str, query: str = "", **options: Any) -> AsyncIterator[Peer]:
    """Open a WebSocket with these among its subprotocols, as a browser does."""
    offered = [Subprotocol(name) for name in ("sleap-rtc.v1", *names)]
    async with connect(service.ws_url + query, subprotocols=offered, proxy=None, **options) as socket:
        assert socket.subprotocol == "sleap-rtc.v1"
        yield Peer(socket, json.loads(await socket.recv()))


async def refusal(service: RunningService, *names: str, query: str = "", **options: Any) -> tuple[int, bytes]:
    with pytest.raises(InvalidStatus) as caught:
        async with entered(service, *names, query=query, **options):
            pass
    return caught.value.response.status_code, bytes(caught.value.response.body)


@asynccontextmanager
async def lab(folder: Path) -> AsyncIterator[tuple[RunningService, Person, Room]]:
    async with dev_service(folder) as service:
        ada = await person(service, "ada")
        yield service, ada, await ada.room()


@pytest.mark.spread
async def test_a_ticket_opens_what_its_login_may_enter(tmp_path: Path) -> None:
    async with lab(tmp_path) as (service, ada, room):
        text = await ticket(service, ada, room)
        async with (
            entered(service, f"ticket.{text}") as browsing,
            peer(service, ada.token, room=room.room_id) as typing,
        ):
            mine, usual = browsing.welcome["principal"], typing.welcome["principal"]
            assert mine | {"session": ""} == usual | {"session": ""}
            # bound to the login it was made by: the socket ends with it
            await ada.api.logout()
            assert await browsing.closed() == 4403


@pytest.mark.spread
async def test_a_ticket_is_used_once_and_by_one(tmp_path: Path) -> None:
    async def attempt() -> int:
        try:
            async with entered(service, f"ticket.{text}"):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    async with lab(tmp_path) as (service, ada, room):
        text = await ticket(service, ada, room)
        assert sorted(await asyncio.gather(*(attempt() for _ in range(8)))) == [101] + [401] * 7
        assert await attempt() == 401


@pytest.mark.spread
async def test_a_ticket_lives_for_a_minute(tmp_path: Path) -> None:
    async with lab(tmp_path) as (service, ada, room):
        clock = Clock(service)
        early, late = await ticket(service, ada, room), await ticket(service, ada, room)
        clock.now += LIFE - 1
        async with entered(service, f"ticket.{early}"):
            pass
        clock.now += 1
        assert (await refusal(service, f"ticket.{late}"))[0] == 401


@pytest.mark.spread
async def test_a_ticket_is_for_one_room(tmp_path: Path) -> None:
    async with lab(tmp_path) as (service, ada, room):
        other = await ada.room("other")
        text = await ticket(service, ada, room)
        assert (await refusal(service, f"ticket.{text}", query=f"?room={other.room_id}"))[0] == 401
        text = await ticket(service, ada, room)
        async with entered(service, f"ticket.{text}", query=f"?room={room.room_id}") as here:
            assert here.welcome["principal"]["room"] == room.room_id


async def test_a_ticket_is_worth_no_more_than_what_it_was_made_by(tmp_path: Path) -> None:
    async with lab(tmp_path) as (service, _, room):
        grace = await person(service, "grace")
        await join(service, grace, room)
        first, second = await ticket(service, grace, room), await ticket(service, grace, room)
        await leave(service, grace, room)
        assert (await refusal(service, f"ticket.{first}"))[0] == 404
        await grace.api.logout()
        status, body = await refusal(service, f"ticket.{second}")
        assert (status, b"was ended" in body) == (401, True)


async def test_a_credential_is_good_in_its_own_place_alone(tmp_path: Path) -> None:
    async with lab(tmp_path) as (service, ada, room):
        token = (await ada.worker_token(room)).token
        text, good = await ticket(service, ada, room), {"Authorization": f"Bearer {ada.token}"}
        session = (await open_room(service)).session_token
        here = f"?room={room.room_id}"
        answers = [
            await refusal(service),
            await refusal(service, "ticket."),
            await refusal(service, f"ticket.{make_token('ticket', bytes(32))}"),
            await refusal(service, f"ticket.{ada.token}", query=here),
            await refusal(service, f"ticket.{token}"),
            await refusal(service, f"ticket.{session}"),
            await refusal(service, f"ticket.{text}", f"ticket.{text}"),
            await refusal(service, text),
            await refusal(service, additional_headers={"Authorization": f"Bearer {text}"}),
            # in the address it is refused even beside a good one
            await refusal(service, query=f"{here}&ticket={text}"),
            await refusal(service, query=f"{here}&token={ada.token}", additional_headers=good),
            await refusal(service, query=f"{here}&x={token}", additional_headers=good),
            await refusal(service, query=f"{here}&{ada.token}", additional_headers=good),
            await refusal(service, query=f"{here}&t=%73lpu_{ada.token[5:]}", additional_headers=good),
            await refusal(service, query=f"?room={session}", additional_headers=good),
        ]
        assert {status for status, _ in answers} == {401}
        assert len({body for _, body in answers}) == 1
        async with entered(service, f"ticket.{text}"):
            pass  # none of them has used it up


async def test_a_cookie_opens_nothing_by_itself(tmp_path: Path) -> None:
    async with lab(tmp_path) as (service, _, room), Browser(service) as browsing:
        await browsing.log_in_dev("ada")
        ((name, value),) = browsing.cookies.items()
        headers = {"Cookie": f"{name}={value}"}
        for origin in (None, "https://evil.example"):
            status, _body = await refusal(
                service, query=f"?room={room.room_id}", additional_headers=headers, origin=origin
            )
            assert status == 401


@pytest.mark.spread
async def test_a_login_has_few_tickets_waiting(tmp_path: Path) -> None:
    async with lab(tmp_path) as (service, ada, room):
        clock = Clock(service)
        texts = [await ticket(service, ada, room) for _ in range(8)]
        assert (await asked(service, ada, room)).status_code == 429
        assert (await asked(service, await person(service, "ada"), room)).status_code == 201
        async with entered(service, f"ticket.{texts[0]}"):
            await ticket(service, ada, room)
        assert (await asked(service, ada, room)).status_code == 429
        clock.now += LIFE
        await ticket(service, ada, room)


async def test_a_page_of_the_service_brings_its_cookie(tmp_path: Path) -> None:
    async with lab(tmp_path) as (service, ada, room), Browser(service) as browsing:
        await browsing.log_in_dev("ada")
        cookie = "; ".join(f"{name}={value}" for name, value in browsing.cookies.items())
        query, ours = f"?room={room.room_id}", service.url
        async with entered(service, query=query, origin=ours, additional_headers={"Cookie": cookie}) as page:
            assert page.welcome["principal"]["user"] == ada.user_id
            assert (await browsing.send("/logout")).status_code == 303
            assert await page.closed() == 4403
        await browsing.log_in_dev("ada")
        fresh = "; ".join(f"{name}={value}" for name, value in browsing.cookies.items())
        answers = [
            await refusal(service, query=query),
            # without a page, by another site's, or as another credential it is worth nothing
            await refusal(service, query=query, additional_headers={"Cookie": fresh}),
            await refusal(
                service, query=query, additional_headers={"Cookie": fresh.replace("slpc_", "slpu_")}, origin=ours
            ),
            await refusal(service, query=query, additional_headers={"Cookie": f"x={ada.token}"}, origin=ours),
            await refusal(
                service, query=query, additional_headers={"Authorization": f"Bearer {fresh.partition('=')[2]}"}
            ),
        ]
        assert {status for status, _ in answers} == {401}
        assert len({body for _, body in answers}) == 1
        foreign = await refusal(
            service, query=query, additional_headers={"Cookie": fresh}, origin="https://evil.example"
        )
        assert foreign[0] == 401


async def test_a_page_of_another_site_uses_no_ticket(tmp_path: Path) -> None:
    async with lab(tmp_path) as (service, ada, room):
        text = await ticket(service, ada, room)
        assert (await refusal(service, f"ticket.{text}", origin="https://evil.example"))[0] == 401
        async with entered(service, f"ticket.{text}", origin=service.url):
            pass
