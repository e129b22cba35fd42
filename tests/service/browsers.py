"""A browser without a screen: keeps cookies, says where its forms come from, and follows links by hand."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.service.peers import http_client
from tests.service.running import RunningService


class Browser:
    """One browser at a service.

    Args:
        service: where it goes.
        origin: what it takes for the service's address.
    """

    def __init__(self, service: RunningService, origin: str | None = None) -> None:
        self.origin = origin or service.url
        self.client = http_client(service)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()

    async def open(self, path: str, **params: str) -> httpx2.Response:
        """Type an address, or be sent to it."""
        return await self.client.get(path, params=params or None, headers={"Sec-Fetch-Site": "none"})

    async def send(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form of the service's own page."""
        headers = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        return await self.client.post(path, data=fields, headers=headers)

    async def log_in_dev(self, name: str = "ada") -> None:
        assert (await self.send("/login/dev", name=name)).status_code == 303

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self.client.cookies.items())


@asynccontextmanager
async def other_site() -> AsyncIterator[httpx2.AsyncClient]:
    """The same browser at another site, whose cookies are of no concern."""
    async with http_client() as client:
        yield client


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def said(answer: httpx2.Response) -> str:
    """What a page says, without its markup."""
    text = re.sub(r"<[^>]+>", " ", answer.text)
    return " ".join(unescape(text).split())


def headers_of(answer: httpx2.Response, *names: str) -> dict[str, Any]:
    return {name: answer.headers.get(name) for name in names}
