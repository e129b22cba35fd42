"""The files of the page, from the installed package, and the headers that they are served with."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
INDEX = "index.html"

HEADERS: Mapping[str, str] = {
    # what a page of names, logs and labels may do: nothing that is not a file of ours, no HTML made out of text
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    # with no-referrer browsers would not say where the form comes from that logs out, not even to us
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Of every answer that is a part of the page."""


@dataclass(frozen=True)
class Asset:
    """A file of the page.

    Attributes:
        content: its bytes.
        media_type: what it is.
        etag: names these bytes, for a browser that asks whether it has them (RFC 9110 §8.8.3).
    """

    content: bytes
    media_type: str
    etag: str

    @property
    def headers(self) -> dict[str, str]:
        """What it is served with: asked for again each time, so that an upgrade is one reload away."""
        return dict(HEADERS) | {"ETag": self.etag, "Cache-Control": "no-cache"}


def asset(path: str) -> Asset | None:
    """The file at `path` below ``static/``; None if the page has no such file."""
    return _assets().get(path)


@cache
def _assets() -> Mapping[str, Asset]:
    return dict(_found(files("signaling_server.dashboard") / "static", ""))


def _found(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _found(entry, f"{prefix}{entry.name}/")
        elif media_type := _TYPES.get("." + entry.name.rpartition(".")[2]):
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found.append((f"{prefix}{entry.name}", Asset(content, media_type, etag)))
    return found
