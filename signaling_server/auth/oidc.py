"""Logging in with a provider that speaks OpenID Connect."""

from typing import Any

import httpx2
from authlib.integrations.starlette_client import StarletteOAuth2App
from pydantic import BaseModel, ConfigDict

from signaling_server.auth.providers import (
    Identity,
    ProviderClient,
    authorization_url,
    fingerprint,
    network,
    oauth_app,
    shown_name,
    translated,
)
from signaling_server.auth.visits import Departure
from signaling_server.provider_settings import OIDCProvider, checked_address

LEEWAY = 60
"""Seconds that a provider's clock may be off."""
MAX_SUBJECT = 255
# what a provider says that it signs with counts only if nobody can make it who has the public key
_SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


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
        self._key = f"oidc:{fingerprint(settings.issuer)}"

    async def departure_url(self, departure: Departure, redirect_uri: str) -> str:
        """See `ProviderClient`."""
        async with translated(self.settings):
            return await authorization_url(await self._discovered(), departure, redirect_uri, nonce=departure.nonce)

    async def identify(self, code: str, departure: Departure, redirect_uri: str) -> Identity:
        """See `ProviderClient`."""
        async with translated(self.settings):
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
        async with httpx2.AsyncClient(**network(issuer)) as client:
            answer = await client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        answer.raise_for_status()
        found = _Discovery.model_validate(answer.json())
        found.check(issuer)
        basic = "client_secret_basic" in found.token_endpoint_auth_methods_supported
        return oauth_app(
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
