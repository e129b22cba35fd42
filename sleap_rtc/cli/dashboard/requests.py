"""The page's requests to the service, passed on with this machine's login.

Of what a browser sends only the method, the path, the query and a JSON body reach the service; of what the service
answers only the status and a JSON body reach the page. The access token is added here, and nowhere else.
"""

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import Response

from sleap_rtc.errors import ForbiddenError, NotFoundError, ProtocolError, UnreachableError
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.address import API, ServiceAddress
from sleap_rtc.signaling.http import MAX_ANSWER
from sleap_rtc.signaling.policy import not_ours, unreachable

if TYPE_CHECKING:
    import httpx2

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
JSON = "application/json"
# logging in and out is the command line's business, and so is whatever hands out another credential for this login
_PASSED = re.compile(r"(?:me|rooms|invites)(?:/.+)?")
_LOGINS = "me/logins"
# by the service's clock the page tells how long ago something was
_KEPT = ("date", "retry-after")
# nothing that could end the line which it becomes a part of
_QUERY = re.compile(rb"[!-~]*")


@dataclass
class Upstream:
    """The service, as this machine's login reaches it.

    Attributes:
        address: where it is.
        account: the login; it renews itself, and a login that was made anew is used at once.
        client: speaks HTTP with it.
    """

    address: ServiceAddress
    account: Account = field(repr=False)
    client: "httpx2.AsyncClient" = field(repr=False)


async def pass_on(request: Request, path: str, upstream: Upstream) -> Response:
    """Ask the service what the page asks.

    Args:
        request: the page's; its path was checked by the `Guard`.
        path: what follows ``/api/v1/`` in it.
        upstream: the service.

    Raises:
        AuthenticationError: if the login has ended.
        ForbiddenError: if it is the command line's business.
        NotFoundError: if no page needs such a path.
        UnreachableError: if the service cannot be reached, or something else answers.
    """
    _check_path(request.method, path, upstream.account)
    body = await request.body()
    if body and not request.headers.get("content-type", "").startswith(JSON):
        raise ProtocolError("The body of a request is JSON.")
    query: bytes = request.scope["query_string"]
    if not _QUERY.fullmatch(query):
        raise ProtocolError("The query of a request is printable ASCII.")
    where = f"{API}/{path}" + (f"?{query.decode()}" if query else "")
    token = await upstream.account.token()
    answer = await _ask(upstream, request.method, where, body, token)
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        # refused before anything was done, so asking again does nothing twice
        another = await upstream.account.renewed(token, connected=False)
        if another is not None:
            answer = await _ask(upstream, request.method, where, body, another)
    return answer


def _check_path(method: str, path: str, account: Account) -> None:
    if not _PASSED.fullmatch(path) or "//" in path:
        raise NotFoundError("The dashboard on this machine has no such address.")
    if method == "DELETE" and path.rstrip("/") in (_LOGINS, f"{_LOGINS}/{account.login().login_id}"):
        raise ForbiddenError(
            "This page uses the login of this machine's command line, so it does not end it. In a terminal, type: "
            "sleap-rtc logout (or, for all of your devices: sleap-rtc logout --everywhere)"
        )


async def _ask(upstream: Upstream, method: str, where: str, body: bytes, token: str) -> Response:
    import httpx2

    url = upstream.address.url
    headers = {"Authorization": f"Bearer {token}", "Accept": JSON, "Accept-Encoding": "identity"}
    if body:
        headers["Content-Type"] = JSON
    try:
        async with upstream.client.stream(method, url + where, content=body or None, headers=headers) as answer:
            if answer.is_redirect:
                raise UnreachableError(
                    f"{url} points to another address, which is not followed. Use the final address."
                )
            content = await _bounded(answer, url)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise unreachable(url, error) from error
    # what is no JSON is none of the service's words, and the page's own origin must not become a place for it
    if content and answer.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise not_ours(url)
    kept = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
    return Response(content, answer.status_code, kept | {"Cache-Control": "no-store"}, JSON if content else None)


async def _bounded(answer: "httpx2.Response", url: str) -> bytes:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise not_ours(url)
    content = bytearray()
    async for part in answer.aiter_raw():
        content += part
        if len(content) > MAX_ANSWER:
            raise UnreachableError(f"The answer of {url} is longer than {MAX_ANSWER >> 20} MiB, so it was not read.")
    return bytes(content)
