"""Walks ``permissions.txt``: every route and message of the service, asked by everybody."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import WebSocketRoute
from websockets.exceptions import InvalidStatus

from signaling_server.app import create_app
from signaling_server.models import JobSummary, ModelAlias, RoomModel, RoomModelName, RoomModelVersion
from signaling_server.settings import Settings
from sleap_rtc.protocol.signaling import SIGNALING
from tests.service.peers import Key, Peer, browser, peer
from tests.service.people import dev_service, join, leave, person
from tests.service.running import RunningService
from tests.service.test_websocket import VERBS

NAMED, LATER, UNNAMED = "1" * 64, "2" * 64, "3" * 64
JOB = "j_somebodys"
ACTORS = ("anonymous", "stranger", "removed", "member", "owner", "worker", "foreign")
SOCKET = "WS /api/v1/ws"
BODIES = {
    "POST /api/v1/auth/dev": {"name": "ada"},
    "POST /api/v1/auth/device": {"device": "laptop"},
    "POST /api/v1/rooms": {"name": "lab"},
    "PATCH /api/v1/rooms/{room_id}": {"name": "mice"},
    "POST /api/v1/rooms/{room_id}/transfer": {"user_id": "{user_id}"},
    "POST /api/v1/rooms/{room_id}/tokens": {"name": "gpu"},
    "POST /api/v1/rooms/{room_id}/models": {"name": "{model_name}", "digest": "{named}"},
    "PUT /api/v1/rooms/{room_id}/models/{model_name}/aliases/{alias}": {"version": "1"},
    "POST /api/v1/ws-tickets": {"room_id": "{room_id}"},
    "POST /api/v1/invites/redeem": {"code": "{code}"},
}
# beside those that answer 204, which take something away and have nothing to say
SPENDING = ("DELETE /api/v1/rooms/{room_id}/members/{user_id}", "POST /api/v1/invites/redeem")


def table() -> dict[str, dict[str, str]]:
    lines = (Path(__file__).parent / "permissions.txt").read_text("utf-8").splitlines()
    (_, *actors), *rows = [re.split(r"\s{2,}", line) for line in lines if line and not line.startswith("#")]
    assert tuple(actors) == ACTORS
    found = {row: dict(zip(actors, cells, strict=True)) for row, *cells in rows}
    assert len(found) == len(rows)
    return found


TABLE = table()
REST = [row for row in TABLE if not row.startswith("WS ")]


def routes(app: FastAPI) -> Iterator[str]:
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, WebSocketRoute):
            yield f"WS {route.path}"
        elif route.methods:
            yield from (f"{method} {route.path}" for method in route.methods if method != "HEAD")
        else:
            raise AssertionError(f"nothing here checks what {route.original_route} allows")


@pytest.mark.one_database
def test_every_route_and_message_has_a_row(tmp_path: Path) -> None:
    app = create_app(Settings(database_url=f"sqlite+aiosqlite:///{tmp_path / 'x.db'}"))
    verbs = {f"{SOCKET} {verb}" for verb in ("connect", *(message.TYPE for message in SIGNALING.messages))}
    assert set(TABLE) == (set(routes(app)) - {SOCKET}) | verbs
    assert SOCKET in set(routes(app))


@dataclass(frozen=True)
class World:
    """A fresh room with everybody around it."""

    names: dict[str, str]
    credentials: dict[str, str | None]

    @property
    def room_id(self) -> str:
        return self.names["{room_id}"]

    def fill(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text


async def add_models(service: RunningService, room_id: str, user_id: str) -> None:
    """Two versions of a model, one of them with an alias, and one without a name; `user_id` made all of them."""
    shared = {"title": "", "size": 1, "job_id": "", "user_id": user_id, "created_at": 1, "updated_at": 1, "facts": "{}"}
    by = {"room_id": room_id, "name": "fly", "created_by": user_id, "created_by_name": "", "created_at": 1}
    async with service.service.database.transaction() as session:
        session.add_all(RoomModel(room_id=room_id, digest=each, **shared) for each in (NAMED, LATER, UNNAMED))
        session.add(RoomModelName(room_id=room_id, name="fly", folded="fly", last_version=2, created_at=1))
        await session.flush()
        session.add_all(RoomModelVersion(version=n, digest=each, **by) for n, each in ((1, NAMED), (2, LATER)))
        await session.flush()
        alias = {"alias": "production", "moved_by": user_id, "moved_at": 1}
        session.add(ModelAlias(room_id=room_id, name="fly", version=1, **alias))


async def add_job(service: RunningService, room_id: str, user_id: str) -> None:
    """A job of somebody's."""
    about = {"worker_id": "w_gone0000", "worker_name": "gone", "user_id": user_id, "user_name": "", "kind": "train"}
    when = {"created_at": 1, "updated_at": 1}
    async with service.service.database.transaction() as session:
        session.add(JobSummary(room_id=room_id, job_id=JOB, state="done", facts="{}", **about, **when))


async def make_world(service: RunningService) -> World:
    people = {name: await person(service, name) for name in ("stranger", "removed", "member", "owner")}
    room, other = await people["owner"].room(), await people["stranger"].room()
    for name in ("member", "removed"):
        await join(service, people[name], room)
    await leave(service, people["removed"], room)
    token, foreign = await people["owner"].worker_token(room), await people["stranger"].worker_token(other)
    invite = await people["owner"].api.create_invite(room.room_id)
    await add_models(service, room.room_id, people["owner"].user_id)
    await add_job(service, room.room_id, people["owner"].user_id)
    return World(
        {
            "{room_id}": room.room_id,
            "{token_id}": token.token_id,
            "{user_id}": people["member"].user_id,
            "{login_id}": people["owner"].login_id,
            "{invite_id}": invite.invite_id,
            "{code}": invite.code,
            "{name}": "style.css",
            "{model_name}": "fly",
            "{alias}": "production",
            "{version}": "2",
            "{named}": NAMED,
            "{digest}": UNNAMED,
            "{job_id}": JOB,
        },
        {
            "anonymous": None,
            **{name: somebody.token for name, somebody in people.items()},
            "worker": token.token,
            "foreign": foreign.token,
        },
    )


async def asked(client: httpx2.AsyncClient, row: str, actor: str, world: World) -> str:
    method, path = row.split(" ")
    credential = world.credentials[actor]
    headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
    body = {key: world.fill(value) for key, value in BODIES[row].items()} if row in BODIES else None
    client.cookies.clear()  # somebody else asks each time
    answer = await client.request(method, world.fill(path), headers=headers, json=body)
    return str(answer.status_code)


async def test_who_may_ask_what(tmp_path: Path) -> None:
    found: dict[str, dict[str, str]] = {}
    async with dev_service(tmp_path) as service, browser(service) as client:
        world = await make_world(service)
        for row in REST:
            found[row] = {}
            for actor in ACTORS:
                status = found[row][actor] = await asked(client, row, actor, world)
                # what it took away must be there for the next actor
                if status == "204" or (status == "200" and row in SPENDING):
                    world = await make_world(service)
    assert found == {row: TABLE[row] for row in REST}


async def test_who_may_say_what(tmp_path: Path) -> None:
    found: dict[str, dict[str, str]] = {f"{SOCKET} {verb}": {} for verb in ("connect", *VERBS)}
    async with dev_service(tmp_path) as service:
        world = await make_world(service)
        for actor in ACTORS:
            try:
                async with peer(service, world.credentials[actor], room=world.room_id) as made:
                    verdicts = {"connect": "101"} | await said(made, actor)
            except InvalidStatus as refused:
                verdicts = {"connect": str(refused.response.status_code)} | dict.fromkeys(VERBS, "-")
            for verb, verdict in verdicts.items():
                found[f"{SOCKET} {verb}"][actor] = verdict
    assert found == {row: cells for row, cells in TABLE.items() if row not in REST}


async def said(made: Peer, actor: str) -> dict[str, str]:
    """The verdict on every message of a connected actor."""
    if actor == "worker":
        assert (await made.register(Key(2)))["type"] == "registered"
    verdicts = {}
    for verb, fields in VERBS.items():
        await made.say(verb, id=7, **fields)
        # what is served in silence is followed by something that is always answered; a report is answered when stored
        await made.say("error", id=8)
        answers = {answer["re"]: answer for answer in [await made.hear()]}
        if 7 in answers or (verb.startswith(("report_", "register_")) and actor == "worker"):
            answers |= {answer["re"]: answer for answer in [await made.hear()]}
        assert 8 in answers
        verdicts[verb] = answers.get(7, {}).get("error", {}).get("code", "ok")
    return verdicts
