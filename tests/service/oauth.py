"""The token endpoint as a test speaks to it, and somebody who lets a command line in."""

from dataclasses import dataclass
from typing import Any

import httpx2

from signaling_server.auth import devices, users
from signaling_server.auth.routes import DEVICE_GRANT
from signaling_server.models import User
from tests.service.peers import browser
from tests.service.running import RunningService


@dataclass(frozen=True)
class Answer:
    """What the token endpoint said.

    Attributes:
        refused: its word for why it hands out nothing; empty where it does.
    """

    status: int
    refused: str
    body: dict[str, Any]


async def begin(service: RunningService, device: str = "laptop") -> dict[str, Any]:
    """Begin the login of a command line."""
    async with browser(service) as client:
        answer = await client.post("/api/v1/auth/device", json={"device": device})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def ask(service: RunningService, **form: str) -> Answer:
    """Ask the token endpoint."""
    async with browser(service) as client:
        return read(await client.post("/api/v1/auth/token", data=form))


async def poll(service: RunningService, device_code: str) -> Answer:
    """Ask whether a command line may come in."""
    return await ask(service, grant_type=DEVICE_GRANT, device_code=device_code)


async def refresh(service: RunningService, token: str) -> Answer:
    """Exchange a refresh token."""
    return await ask(service, grant_type="refresh_token", refresh_token=token)


def read(answer: httpx2.Response) -> Answer:
    """Check the form of an answer, which is the same whatever it says."""
    body = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    if answer.status_code == 400:
        assert set(body) == {"error", "error_description"}
        # RFC 6749 §5.2: printable ASCII without quotes and backslashes
        assert all(" " <= letter <= "~" and letter not in '"\\' for letter in body["error_description"])
    else:
        assert (answer.status_code, body["token_type"]) == (200, "Bearer")
    return Answer(answer.status_code, body.get("error", ""), body)


async def somebody(service: RunningService, name: str = "ada") -> User:
    """A user of a provider that a browser logs in with."""
    async with service.service.database.transaction() as session:
        return await users.user_of(session, provider="local", subject=name, name=name, now=service.service.clock())


async def let_in(service: RunningService, user: User, user_code: str, *, approve: bool = True) -> None:
    """Type a code as the page does, and decide about who waits."""
    inside = service.service
    guess = inside.limiters.codes.guess(user.id, "127.0.0.1", inside.clock())
    async with guess, inside.database.transaction() as session:
        code = await devices.find_pending(session, inside.pepper, user_code, now=inside.clock())
        await devices.decide(session, code, user=user, approve=approve, now=inside.clock())
