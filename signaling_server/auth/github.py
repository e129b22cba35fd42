"""Logging in with GitHub, or a GitHub Enterprise."""

from pydantic import BaseModel, ConfigDict, Field

from signaling_server.auth.providers import (
    Identity,
    ProviderClient,
    authorization_url,
    fingerprint,
    oauth_app,
    shown_name,
    translated,
)
from signaling_server.auth.visits import Departure
from signaling_server.provider_settings import GITHUB, GitHubProvider


class _GitHubUser(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: int = Field(strict=True, ge=1)
    login: str = Field(min_length=1)


class GitHubClient(ProviderClient):
    """GitHub: no OpenID Connect, so its API is asked who it is. No scope is asked for, and its token is not kept."""

    def __init__(self, settings: GitHubProvider) -> None:
        self.settings = settings
        own = "" if settings.url == GITHUB else f":{fingerprint(settings.url)}"
        self._key = f"github{own}"
        self._api = settings.api_url
        self._app = oauth_app(
            settings,
            settings.url,
            token_endpoint_auth_method="client_secret_post",  # noqa: S106 - a way, not a secret
            authorize_url=f"{settings.url}/login/oauth/authorize",
            access_token_url=f"{settings.url}/login/oauth/access_token",
        )

    async def departure_url(self, departure: Departure, redirect_uri: str) -> str:
        """See `ProviderClient`."""
        async with translated(self.settings):
            return await authorization_url(self._app, departure, redirect_uri)

    async def identify(self, code: str, departure: Departure, redirect_uri: str) -> Identity:
        """See `ProviderClient`."""
        async with translated(self.settings):
            token = await self._app.fetch_access_token(
                redirect_uri=redirect_uri, code=code, code_verifier=departure.verifier
            )
            answer = await self._app.get(
                f"{self._api}/user", token=token, headers={"Accept": "application/vnd.github+json"}
            )
            answer.raise_for_status()
            user = _GitHubUser.model_validate(answer.json())
            return Identity(self._key, str(user.id), shown_name(user.login, str(user.id)))
