"""HTTP as the service is spoken to: no redirects, no proxy for this machine, errors of ours."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ProtocolError, UnreachableError
from sleap_rtc.protocol.codec import parse_json
from sleap_rtc.signaling.address import ServiceAddress, tls_context
from sleap_rtc.signaling.policy import error_in, not_ours, unreachable

if TYPE_CHECKING:
    import httpx2

_Answer = TypeVar("_Answer")

NO_CONTENT = 204
MAX_ANSWER = 4 * 1024 * 1024
"""Largest answer read, in bytes: lists of workers and tokens can be long."""


@asynccontextmanager
async def http_client(address: ServiceAddress, timeouts: Timeouts) -> "AsyncIterator[httpx2.AsyncClient]":
    """An HTTP client for one service, closed when the block ends.

    Args:
        address: where the service is.
        timeouts: how long to wait.

    Raises:
        UnreachableError: if a request in the block finds nobody.
    """
    # imported here: commands that never ask the service must not pay for it
    import httpx2

    try:
        async with httpx2.AsyncClient(
            timeout=timeouts.request,
            follow_redirects=False,
            # whoever speaks to the service shows a token, and nothing else
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=not address.local,
            # plain http never looks at it, and the library's default one takes a while to load
            verify=tls_context(address) or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        ) as client:
            yield client
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise unreachable(address.url, error) from error


def read_answer(response: "httpx2.Response", answer: type[_Answer], url: str) -> _Answer:
    """What the service answered.

    Args:
        response: its response.
        answer: the form a good one has.
        url: the service's address, for the sentence.

    Raises:
        SleapRTCError: what the service says instead.
        UnreachableError: if it is not our service that answers.
    """
    if response.is_success:
        try:
            body = None if response.status_code == NO_CONTENT else parse_json(response.text, limit=MAX_ANSWER)
            return TypeAdapter(answer).validate_python(body)
        except (ValidationError, ProtocolError) as error:
            raise not_ours(url) from error
    if response.is_redirect:
        raise UnreachableError(f"{url} points to another address, which is not followed. Use the final address.")
    raise error_in(response.content) or not_ours(url)
