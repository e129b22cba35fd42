"""Providers at work: where a browser is sent, and who the provider says came back.

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
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signaling_server.auth.visits import Departure
from signaling_server.loopback import is_loopback
from signaling_server.provider_settings import GITHUB, GitHubProvider, OIDCProvider, Provider, checked_address
from sleap_rtc.errors import AuthenticationError, UnreachableError
from sleap_rtc.protocol.text import printable

logger = logging.getLogger(__name__)

ANSWER_WITHIN = 10.0
"""Seconds for one answer of a provider."""
WHOLE_WITHIN = 30.0
"""Seconds for all that is asked of a provider for one page."""
LEEWAY = 60
"""Seconds that a provider's clock may be off."""
MAX_NAME = 128
MAX_SUBJECT = 255
# what a provider says that it signs with counts only if nobody can make it who has the public key
_SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


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


def make_client(settings: Provider) -> ProviderClient:
    """The client for what an operator set."""
    return GitHubClient(settings) if isinstance(settings, GitHubProvider) else OIDCClient(settings)


class _GitHubUser(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: int = Field(strict=True, ge=1)
    login: str = Field(min_length=1)


class GitHubClient(ProviderClient):
    """GitHub: no OpenID Connect, so its API is asked who it is. No scope is asked for, and its token is not kept."""

    def __init__(self, settings: GitHubProvider) -> None:
        self.settings = settings
        own = "" if settings.url == GITHUB else f":{_fingerprint(settings.url)}"
        self._key = f"github{own}"
        self._api = settings.api_url
        self._app = _app(
            settings,
            settings.url,
            token_endpoint_auth_method="client_secret_post",  # noqa: S106 - a way, not a secret
            authorize_url=f"{settings.url}/login/oauth/authorize",
            access_token_url=f"{settings.url}/login/oauth/access_token",
        )

    async def departure_url(self, departure: Departure, redirect_uri: str) -> str:
        """See `ProviderClient`."""
        async with _translated(self.settings):
            return await _authorization_url(self._app, departure, redirect_uri)

    async def identify(self, code: str, departure: Departure, redirect_uri: str) -> Identity:
        """See `ProviderClient`."""
        async with _translated(self.settings):
            token = await self._app.fetch_access_token(
                redirect_uri=redirect_uri, code=code, code_verifier=departure.verifier
            )
            answer = await self._app.get(
                f"{self._api}/user", token=token, headers={"Accept": "application/vnd.github+json"}
            )
            answer.raise_for_status()
            user = _GitHubUser.model_validate(answer.json())
            return Identity(self._key, str(user.id), shown_name(user.login, str(user.id)))


class _Discovery(BaseModel):
    """What a provider says of itself (OpenID Connect Discovery §3)."""

    model_config = ConfigDict(extra="ignore")
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    id_token_signing_alg_values_supported: list[str] = ["RS256"]
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]

    def check(self, issuer: str) -> None:
        """Raise ValueError unless this is `issuer` speaking, of places where a login may go."""
        if self.issuer != issuer:
            raise ValueError(f"it calls itself {self.issuer!r}, and the setting 'issuer' must say the same")
        for url in (self.authorization_endpoint, self.token_endpoint, self.jwks_uri, self.userinfo_endpoint):
            if url is not None:
                checked_address(url.partition("?")[0])
        if not self.signatures:
            raise ValueError("it signs in no way that proves anything")

    @property
    def signatures(self) -> list[str]:
        """The ways it may sign that prove something."""
        return [each for each in self.id_token_signing_alg_values_supported if each in _SIGNATURES]


class OIDCClient(ProviderClient):
    """Any provider of OpenID Connect; who somebody is stands in the ID token, which is checked."""

    settings: OIDCProvider

    def __init__(self, settings: OIDCProvider) -> None:
        self.settings = settings
        # an id may be given to another provider one day, whose users are other people
        self._key = f"oidc:{_fingerprint(settings.issuer)}"

    async def departure_url(self, departure: Departure, redirect_uri: str) -> str:
        """See `ProviderClient`."""
        async with _translated(self.settings):
            return await _authorization_url(await self._discovered(), departure, redirect_uri, nonce=departure.nonce)

    async def identify(self, code: str, departure: Departure, redirect_uri: str) -> Identity:
        """See `ProviderClient`."""
        async with _translated(self.settings):
            app = await self._discovered()
            token = await app.fetch_access_token(redirect_uri=redirect_uri, code=code, code_verifier=departure.verifier)
            claims = await app.parse_id_token(
                token, nonce=departure.nonce, claims_options=self._claims(), leeway=LEEWAY
            )
            if claims is None:
                raise ValueError("it sent no ID token")
            subject = claims["sub"]
            if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT or "\0" in subject:
                raise ValueError("it sent no usable 'sub'")
            return Identity(self._key, subject, shown_name(await _claimed_name(app, token, claims), subject))

    async def _discovered(self) -> StarletteOAuth2App:
        # asked anew each time: two small requests a login, and a provider may change its keys and places
        issuer = self.settings.issuer
        async with httpx2.AsyncClient(**_network(issuer)) as client:
            answer = await client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        answer.raise_for_status()
        found = _Discovery.model_validate(answer.json())
        found.check(issuer)
        basic = "client_secret_basic" in found.token_endpoint_auth_methods_supported
        return _app(
            self.settings,
            issuer,
            token_endpoint_auth_method="client_secret_basic" if basic else "client_secret_post",
            scope=self.settings.scopes,
            metadata={
                "issuer": found.issuer,
                "authorization_endpoint": found.authorization_endpoint,
                "token_endpoint": found.token_endpoint,
                "jwks_uri": found.jwks_uri,
                "userinfo_endpoint": found.userinfo_endpoint,
                "id_token_signing_alg_values_supported": found.signatures,
            },
        )

    def _claims(self) -> dict[str, dict[str, Any]]:
        # OpenID Connect Core §3.1.3.7; the nonce is checked beside these
        return {
            "iss": {"essential": True, "value": self.settings.issuer},
            "aud": {"essential": True, "value": self.settings.client_id},
            "exp": {"essential": True},
            "nonce": {"essential": True},
            "sub": {"essential": True},
        }


def shown_name(name: str, otherwise: str) -> str:
    """A stranger's name as others may see it: one line, nothing that steers a terminal or turns letters around."""
    for text in (name, otherwise):
        shown = " ".join(printable(text, limit=MAX_NAME).split())
        if shown:
            return shown
    return "somebody"


async def _claimed_name(app: StarletteOAuth2App, token: dict[str, Any], claims: dict[str, Any]) -> str:
    name = _name_in(claims)
    if name or not app.server_metadata.get("userinfo_endpoint"):
        return name
    # some say no more than the subject in the ID token (OpenID Connect Core §5.4)
    told = await app.userinfo(token=token)
    if told.get("sub") != claims["sub"]:  # §5.3.2
        raise ValueError("its user info is about somebody else")
    return _name_in(told)


def _name_in(claims: dict[str, Any]) -> str:
    found = (claims.get(key) for key in ("name", "preferred_username", "nickname"))
    return next((name for name in found if isinstance(name, str) and name.strip()), "")


async def _authorization_url(app: StarletteOAuth2App, departure: Departure, redirect_uri: str, **more: str) -> str:
    made = await app.create_authorization_url(
        redirect_uri, state=departure.state, code_verifier=departure.verifier, **more
    )
    return str(made["url"])


def _app(
    settings: Provider,
    place: str,
    *,
    token_endpoint_auth_method: str,
    scope: str | None = None,
    metadata: dict[str, Any] | None = None,
    **endpoints: str,
) -> StarletteOAuth2App:
    return StarletteOAuth2App(
        None,  # where authlib would keep what it needs on the way back; `auth.visits` does
        name=settings.id,
        client_id=settings.client_id,
        client_secret=settings.client_secret.get_secret_value(),
        client_kwargs={
            "code_challenge_method": "S256",
            "token_endpoint_auth_method": token_endpoint_auth_method,
            "scope": scope,
            **_network(place),
        },
        **endpoints,
        **(metadata or {}),
    )


def _network(place: str) -> dict[str, Any]:
    # a proxy from the environment is for the world outside, never for this machine
    trust_env = not is_loopback(urlsplit(place).hostname or "")
    return {"timeout": ANSWER_WITHIN, "trust_env": trust_env, "verify": _authorities()}


@cache
def _authorities() -> ssl.SSLContext:
    # a client is made for every question, and to read all certificates of the world again would take longest
    return httpx2.create_ssl_context()


def _fingerprint(url: str) -> str:
    return sha256(url.encode()).hexdigest()[:32]


@asynccontextmanager
async def _translated(settings: Provider) -> AsyncIterator[None]:
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
