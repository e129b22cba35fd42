"""What strangers write where an id belongs: refused like any id that is not there, by every route."""

import re
from itertools import product
from pathlib import Path

import pytest

from tests.service.peers import browser
from tests.service.people import dev_service, person
from tests.service.test_permissions import BODIES, routes

HOSTILE = [
    "..%2fx",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%00",
    "t_%00",
    "r_aaaaaaaa%00",
    "r_aaaaaaaa%0d%0aX-Evil:%201",
    "';DROP TABLE rooms;--",
    "-1",
    "%ff%fe",
    "r_%D0%B0%D0%B0%D0%B0%D0%B0%D0%B0%D0%B0%D0%B0%D0%B0",
    "%E2%80%AE",
    "'%20OR%201=1%20--",
    "x" * 10_000,
]


async def test_what_is_no_id_is_not_there(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        ada = await person(service, "ada")
        room = await ada.room()
        headers = {"Authorization": f"Bearer {ada.token}"}
        for route, hostile in product(sorted(routes(service.app)), HOSTILE):
            method, path = route.split(" ")
            body = {name: hostile if "{" in value else value for name, value in BODIES.get(route, {}).items()}
            for name in re.findall(r"{(\w+)}", path):
                others = path.replace(f"{{{name}}}", hostile).replace("{room_id}", room.room_id)
                filled = re.sub(r"{\w+}", "t_" + "0" * 32, others)
                answer = await client.request(method, filled, headers=headers, json=body or None)
                assert answer.status_code in (404, 422), (route, name, hostile[:99], answer.status_code)
                assert "x-evil" not in answer.headers
        assert [each.room_id for each in await ada.api.rooms()] == [room.room_id]


@pytest.mark.parametrize("hostile", ["\x00", "t_\x00", "\u202e", "x" * 10_000, "' OR 1=1 --", "../x"])
async def test_nor_is_it_within_a_body_or_a_question(tmp_path: Path, hostile: str) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        ada = await person(service, "ada")
        room = f"/api/v1/rooms/{(await ada.room()).room_id}"
        headers = {"Authorization": f"Bearer {ada.token}"}
        answers = [
            await client.post("/api/v1/ws-tickets", json={"room_id": hostile}, headers=headers),
            await client.post(f"{room}/transfer", json={"user_id": hostile}, headers=headers),
            await client.post("/api/v1/invites/redeem", json={"code": hostile}, headers=headers),
            await client.get(f"{room}/jobs", params={"before": hostile}, headers=headers),
            await client.get(f"{room}/jobs", params={"before": f"1:{hostile}"}, headers=headers),
            await client.get(f"{room}/models", params={"before": f"1:w:1:{hostile}"}, headers=headers),
            await client.get(f"{room}/log", params={"before": hostile}, headers=headers),
        ]
        assert all(answer.status_code in (200, 404, 422) for answer in answers), answers
        assert all(
            answer.json() in ({"jobs": [], "next": None}, {"models": [], "next": None})
            for answer in answers
            if answer.is_success
        )
