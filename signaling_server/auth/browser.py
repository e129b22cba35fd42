"""What browsers bring along: a cookie, and word of where their request began."""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from sleap_rtc.errors import ForbiddenError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# the longest that browsers keep one; when a login ends, the service says
_KEPT_SECONDS = 400 * 86_400
# RFC 6265bis §4.1.3.2: with this prefix a browser takes a cookie from nobody but this very host, over TLS
_HOST_PREFIX = "__Host-"
_NAME = "sleap-rtc"
_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (
    ("Windows", "Windows"), ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip
# no second slash, no backslash and nothing encoded: what browsers take for another site begins with one of these
_OWN_PATH = re.compile(r"/(?:[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*/?)?(?:\?[A-Za-z0-9._~=&-]*)?")
_LONGEST_PATH = 512
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Site:
    """The service as a browser sees it.

    Attributes:
        origin: scheme, host and port (RFC 6454).
    """

    origin: str

    @classmethod
    def at(cls, url: str) -> Self:
        """The site at a checked address, as browsers write it: a port that goes without saying is not said."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
        return cls(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}")

    @property
    def secure(self) -> bool:
        """Whether it is reached by TLS."""
        return self.origin.startswith("https://")

    @property
    def login_cookie(self) -> str:
        """The name of the cookie of a login."""
        return self._cookie("")

    @property
    def visit_cookie(self) -> str:
        """The name of the cookie of a browser on its way to a provider."""
        return self._cookie("-visit")

    def set_cookie(self, response: Response, name: str, value: str, seconds: int = _KEPT_SECONDS) -> None:
        """Give the browser a cookie that no script reads and no other site's form brings."""
        response.set_cookie(name, value, max_age=seconds, path="/", secure=self.secure, httponly=True, samesite="lax")

    def clear_cookie(self, response: Response, name: str) -> None:
        """Take it back."""
        response.delete_cookie(name, path="/", secure=self.secure, httponly=True, samesite="lax")

    def _cookie(self, purpose: str) -> str:
        if self.secure:
            return f"{_HOST_PREFIX}{_NAME}{purpose}"
        # browsers refuse the prefix without TLS, and tell the ports of one machine not apart
        return f"{_NAME}-{urlsplit(self.origin).port or 80}{purpose}"


def check_origin(site: Site, connection: HTTPConnection) -> None:
    """Refuse a request that changes something unless a page of this very site makes it.

    Raises:
        ForbiddenError: if its Origin or Sec-Fetch-Site says otherwise, or nothing.
    """
    headers = connection.headers
    if headers.get("origin") != site.origin or headers.get("sec-fetch-site") != "same-origin":
        raise ForbiddenError(
            f"This request did not come from a page of {site.origin}, so nothing was changed. Open the page there and "
            "try again."
        )


def is_own_path(text: str) -> bool:
    """Whether `text` leads to a page of ours, and certainly nowhere else."""
    return len(text) <= _LONGEST_PATH and _OWN_PATH.fullmatch(text) is not None


def browser_name(user_agent: str) -> str:
    """A browser in words, for lists of logins: ``Firefox on Linux``."""
    name = next((name for mark, name in _BROWSERS if f"{mark}/" in user_agent), "a browser")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), None)
    return name if system is None else f"{name} on {system}"
