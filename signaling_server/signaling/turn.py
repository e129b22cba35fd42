"""Which STUN and TURN servers a peer is told of, and its TURN credentials, which end by themselves.

coturn's ``use-auth-secret`` (draft-uberti-behave-turn-rest-00, section 2.2): a user's name carries the time at which it
ends, and its password is an HMAC over that name. The relay needs no list of users, and the service no word with it.
"""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.protocol.signaling import Principal


def password(secret: bytes, username: str) -> str:
    """What opens the relay to `username`: base64(HMAC-SHA1(secret, username))."""
    return b64encode(hmac.digest(secret, username.encode(), "sha1")).decode()


@dataclass(frozen=True)
class Relays:
    """The servers of this service.

    Attributes:
        static: servers that are handed out as they are.
        urls: those for which each peer gets credentials of its own; none without a secret.
        secret: what the relays and this service share.
        seconds: how long credentials live.
        for_guests: whether those who came without an account may use a relay.
    """

    static: tuple[IceServer, ...] = ()
    urls: tuple[str, ...] = ()
    secret: bytes = field(default=b"", repr=False)
    seconds: int = 3600
    for_guests: bool = False

    def renewed_after(self, *, guest: bool) -> float | None:
        """Seconds until a peer needs other credentials: half of their life, so that one lost message does no harm."""
        return self.seconds / 2 if self.urls and (self.for_guests or not guest) else None

    def servers(self, principal: Principal, *, guest: bool, now: int) -> list[IceServer]:
        """What to tell a peer.

        Args:
            principal: who it is; a relay's log names it.
            guest: whether nobody vouches for it: rooms without an account are open to strangers.
            now: UTC milliseconds.
        """
        if guest and not self.for_guests:
            return _without_relays(self.static)
        if not self.urls:
            return list(self.static)
        username = f"{now // 1000 + self.seconds}:{principal.user}.{principal.session}"
        return [
            *self.static,
            IceServer(urls=list(self.urls), username=username, credential=password(self.secret, username)),
        ]


def _without_relays(servers: Sequence[IceServer]) -> list[IceServer]:
    found = [(server, [url for url in server.urls if not url.lower().startswith("turn")]) for server in servers]
    return [server if urls == server.urls else IceServer(urls=urls) for server, urls in found if urls]
