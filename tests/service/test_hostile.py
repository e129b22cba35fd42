"""Requests nobody of ours would make: fuzzed by the API's own description, with odd ids, without a credential."""

import asyncio
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from sleap_rtc.protocol.tokens import make_token
from tests.service.peers import browser
from tests.service.people import dev_service, person
from tests.service.test_permissions import REST, TABLE

EXAMPLES = 5
OPEN = [row for row in REST if TABLE[row]["anonymous"] != "401"]
"""What asks for no credential."""


def tried(schema: dict[str, Any], url: str, token: str | None, room_id: str) -> list[str]:
    """Ask for everything the schema describes; the answers that no request may get."""
    found: list[str] = []
    turns = itertools.count()
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    bounded = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with requests.Session() as session:
        session.trust_env = False
        for operation in operations(schema):

            def ask(case: Any) -> None:
                # half of them about a room that is there, which the schema alone cannot know
                if case.path_parameters and "room_id" in case.path_parameters and next(turns) % 2:
                    case.path_parameters["room_id"] = room_id
                answer = case.call(base_url=url, session=session, headers=headers, timeout=30)
                if answer.status_code >= 500:
                    found.append(f"{case.method} {case.formatted_path}: {answer.status_code}")

            bounded(given(case=operation.as_strategy())(ask))()
    return found


def operations(schema: dict[str, Any]) -> Iterator[Any]:
    """All operations, those last that end what others need."""
    described: Any = schemathesis.openapi.from_dict(schema).get_all_operations()
    found = [result.ok() for result in described]
    yield from sorted(found, key=lambda each: (each.path.endswith("/logout"), each.method.upper() == "DELETE"))


@pytest.mark.parametrize("who", ["anonymous", "user", "worker"])
async def test_no_request_breaks_the_service(tmp_path: Path, who: str) -> None:
    async with dev_service(tmp_path, anonymous_rooms_per_hour=10_000) as service, browser(service) as client:
        ada = await person(service, "ada")
        room = await ada.room()
        token = {"anonymous": None, "user": ada.token, "worker": (await ada.worker_token(room)).token}[who]
        schema = (await client.get("/api/v1/openapi.json")).json()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tool's own parts
            assert await asyncio.to_thread(tried, schema, service.url, token, room.room_id) == []
        assert (await client.get("/health")).status_code == 200


async def answer_to(client: httpx2.AsyncClient, row: str, ids: dict[str, str], token: str | None) -> httpx2.Response:
    method, path = row.split(" ")
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", value)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = {"name": "lab"} if method in ("POST", "PUT", "PATCH") else None
    return await client.request(method, path, headers=headers, json=body)


def parameters(row: str) -> list[str]:
    return [part[1:-1] for part in row.split("/") if part.startswith("{")]


async def test_without_a_credential_everything_looks_alike(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        ada = await person(service, "ada")
        room = await ada.room()
        token = await ada.worker_token(room)
        there = {"room_id": room.room_id, "token_id": token.token_id}
        absent = {"room_id": "r_aaaaaaaaaaaaaaaa", "token_id": "t_" + "0" * 32}
        wrong = make_token("access", bytes(32)), make_token("worker", bytes(32)), ada.token[:-1], "x"
        answers = {
            (answer.status_code, answer.text)
            for row in REST
            if row not in OPEN
            for ids in (there, absent)
            for credential in (None, *wrong)
            for answer in [await answer_to(client, row, dict.fromkeys(parameters(row), "x") | ids, credential)]
        }
        assert len(answers) == 1
        assert next(iter(answers))[0] == 401
