"""Providers at work: where a browser is sent, and who the provider says came back; what all of them share.

authlib speaks the protocols; it keeps nothing, as what must survive a browser's absence is in `auth.visits`.
Nothing here may run inside a database session: all of it waits for the network.
"""

import asyncio
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import StarletteOAuth2App
from joserfc.errors import JoseError
from pydantic import ValidationError

from signaling_server.auth.visits import Departure
from signaling_server.loopback import is_loopback
from signaling_server.provider_settings import Provider
from sleap_rtc.errors import AuthenticationError, UnreachableError
from sleap_rtc.protocol.text import printable

logger = logging.getLogger(__name__)

ANSWER_WITHIN = 10.0
"""Seconds for one answer of a provider."""
WHOLE_WITHIN = 30.0
"""Seconds for all that is asked of a provider for one page."""
MAX_NAME = 128


@dataclass(frozen=True)
class Identity:
    """Who somebody is, as a provider says.

    Attributes:
        provider: the key under which its users are kept.
        subject: what the provider calls them, for ever.
        name: what to show.
    """

    provider: str
    subject: str
    name: str


class ProviderClient(ABC):
    """One provider, as the login pages use it."""

    settings: Provider

    @abstractmethod
    async def departure_url(self, departure: Departure, redirect_uri: str) -> str:
        """Where to send a browser.

        Raises:
            UnreachableError: if the provider cannot be asked where that is.
        """

    @abstractmethod
    async def identify(self, code: str, departure: Departure, redirect_uri: str) -> Identity:
        """Who it is that came back with `code`.

        Raises:
            AuthenticationError: if the provider, or our check of what it said, refuses.
            UnreachableError: if it cannot be asked, or answers what is no answer.
        """


def shown_name(name: str, otherwise: str) -> str:
    """A stranger's name as others may see it: one line, nothing that steers a terminal or turns letters around."""
    for text in (name, otherwise):
        shown = " ".join(printable(text, limit=MAX_NAME).split())
        if shown:
            return shown
    return "somebody"


async def authorization_url(app: StarletteOAuth2App, departure: Departure, redirect_uri: str, **more: str) -> str:
    """Where `app` wants browsers to go, with the state and the challenge of this departure."""
    made = await app.create_authorization_url(
        redirect_uri, state=departure.state, code_verifier=departure.verifier, **more
    )
    return str(made["url"])


def oauth_app(
    settings: Provider,
    place: str,
    *,
    token_endpoint_auth_method: str,
    scope: str | None = None,
    metadata: dict[str, Any] | None = None,
    **endpoints: str,
) -> StarletteOAuth2App:
    """Authlib's client of a provider, with PKCE (RFC 7636) by S256.

    Args:
        settings: what the operator set.
        place: the address of the provider.
        token_endpoint_auth_method: how it wants to see the client's secret.
        scope: what to ask for; nothing by default.
        metadata: what an OpenID provider says of itself.
        endpoints: where things are, for another one.
    """
    return StarletteOAuth2App(
        None,  # where authlib would keep what it needs on the way back; `auth.visits` does
        name=settings.id,
        client_id=settings.client_id,
        client_secret=settings.client_secret.get_secret_value(),
        client_kwargs={
            "code_challenge_method": "S256",
            "token_endpoint_auth_method": token_endpoint_auth_method,
            "scope": scope,
            **network(place),
        },
        **endpoints,
        **(metadata or {}),
    )


def network(place: str) -> dict[str, Any]:
    """How an HTTP client reaches `place`."""
    # a proxy from the environment is for the world outside, never for this machine
    trust_env = not is_loopback(urlsplit(place).hostname or "")
    return {"timeout": ANSWER_WITHIN, "trust_env": trust_env, "verify": _authorities()}


@cache
def _authorities() -> ssl.SSLContext:
    # a client is made for every question, and to read all certificates of the world again would take longest
    return httpx2.create_ssl_context()


def fingerprint(url: str) -> str:
    """An address in as many characters as a table has room for."""
    return sha256(url.encode()).hexdigest()[:32]


@asynccontextmanager
async def translated(settings: Provider) -> AsyncIterator[None]:
    """Turn whatever can go wrong at a provider into a sentence; the log says what it was."""
    try:
        async with asyncio.timeout(WHOLE_WITHIN):
            yield
    except AuthlibBaseError as error:
        _note(settings, error)
        raise AuthenticationError(
            f"{settings.label} did not confirm this login. Begin again from the login page."
        ) from error
    except JoseError as error:
        _note(settings, error)
        raise AuthenticationError(
            f"What {settings.label} sent about this login does not hold, so it was not used. Begin again from the "
            "login page; if it comes again, tell the operator of this service."
        ) from error
    except (TimeoutError, httpx2.TransportError) as error:
        _note(settings, error)
        raise UnreachableError(f"{settings.label} cannot be reached just now. Try again in a moment.") from error
    except (
        httpx2.HTTPError, httpx2.InvalidURL, ValidationError, ValueError, TypeError, AttributeError, LookupError,
        RuntimeError,
    ) as error:  # fmt: skip
        # authlib takes an answer apart as if it were one; whatever that leads to means that it was none
        _note(settings, error)
        raise UnreachableError(
            f"{settings.label} answered something that is no login. Try again later, or tell the operator of this "
            "service: the reason is in its log."
        ) from error


def _note(settings: Provider, error: Exception) -> None:
    # a provider's own words, cut to one line; codes and tokens are in none of these
    reason = " ".join(printable(f"{type(error).__name__}: {error}", limit=300).split())
    logger.warning("the login provider '%s' failed: %s", settings.id, reason)
