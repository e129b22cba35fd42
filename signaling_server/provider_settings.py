"""Who else may vouch for users: GitHub, and providers that speak OpenID Connect."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

from signaling_server.loopback import is_loopback

GITHUB = "https://github.com"
GITHUB_API = "https://api.github.com"
MIN_SECRET = 16
RESERVED = frozenset({"local", "dev"})
"""Ids that no provider may have: our own kinds of login have their pages there."""

ProviderId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")]
# what examples and manuals write where a secret belongs
_PLACEHOLDER = re.compile(
    r"change.?me|your.?(client|secret)|client.?secret|example|placeholder|\.\.\.|…", re.IGNORECASE
)
_FEWEST_CHARACTERS = 6


def checked_address(url: str) -> str:
    """The address `url` without a slash at its end, if a login may depend on it.

    Raises:
        ValueError: if it is no plain https address, nor an http one of this very machine.
    """
    parts = urlsplit(url)
    plain = url.isascii() and url.isprintable() and " " not in url and not (parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or not plain:
        raise ValueError("it must be an address such as https://login.lab.example")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("whoever reads the network could log in as anybody, so it must begin with https://")
    return url.rstrip("/")


class _Provider(BaseModel):
    """What all providers have.

    Attributes:
        client_id: what the provider calls this service.
        client_secret: what proves to the provider that we are this service.
        client_secret_file: a file that holds it, instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: ProviderId
    label: Label
    client_id: str = Field(min_length=1, max_length=255)
    client_secret: SecretStr = SecretStr("")
    client_secret_file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_secret(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "client_secret_file" not in values:
            return values
        if "client_secret" in values:
            raise ValueError("give client_secret or client_secret_file, not both")
        path = Path(str(values["client_secret_file"]))
        try:
            secret = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"client_secret_file {path} cannot be read") from error
        return values | {"client_secret": secret}

    @field_validator("id")
    @classmethod
    def _id(cls, given: str) -> str:
        if given in RESERVED:
            raise ValueError(f"'{given}' is the name of a login of our own; choose another id")
        return given

    @model_validator(mode="after")
    def _secret(self) -> Self:
        secret = self.client_secret.get_secret_value()
        if not secret:
            raise ValueError("client_secret or client_secret_file is missing")
        if len(secret) < MIN_SECRET or len(set(secret)) < _FEWEST_CHARACTERS or _PLACEHOLDER.search(secret):
            raise ValueError(
                f"its client_secret is shorter than {MIN_SECRET} characters or stands for another one; "
                "take the one that the provider made"
            )
        return self


class GitHubProvider(_Provider):
    """GitHub, or a GitHub Enterprise of one's own.

    Attributes:
        url: where its users log in.
        api_url: where its API is; a GitHub Enterprise has it at ``/api/v3``.
    """

    kind: Literal["github"]
    id: ProviderId = "github"
    label: Label = "GitHub"
    url: str = GITHUB
    api_url: str = GITHUB_API

    @field_validator("url", "api_url")
    @classmethod
    def _address(cls, url: str) -> str:
        return checked_address(url)


class OIDCProvider(_Provider):
    """A provider that speaks OpenID Connect, with discovery.

    Attributes:
        issuer: its address, exactly as it calls itself.
        scopes: what to ask for.
    """

    kind: Literal["oidc"]
    issuer: str
    scopes: str = Field(default="openid profile", pattern=r"^[!-~]+( [!-~]+)*$", max_length=255)

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, issuer: str) -> str:
        checked_address(issuer)
        return issuer  # with its slash, if it has one: the provider's own spelling counts

    @field_validator("scopes")
    @classmethod
    def _openid(cls, scopes: str) -> str:
        if "openid" not in scopes.split():
            raise ValueError("without the scope openid a provider does not say who somebody is")
        return scopes


Provider = Annotated[GitHubProvider | OIDCProvider, Field(discriminator="kind")]


def check_ids(providers: list[Provider]) -> list[Provider]:
    """The same list, if every provider can be told from the others.

    Raises:
        ValueError: if two have one id.
    """
    ids = [provider.id for provider in providers]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise ValueError(f"two providers have the id '{twice[0]}'; give each its own")
    return providers
