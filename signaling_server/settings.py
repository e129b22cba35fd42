"""Everything an operator may set: by flag, environment (``SLEAP_RTC_SERVER_…``) or ``sleap-rtc-server.toml``."""

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from signaling_server.limit_settings import Limits
from signaling_server.loopback import is_loopback
from signaling_server.provider_settings import Provider, check_ids
from signaling_server.redis_settings import checked_url
from signaling_server.secrets_given import MIN_LENGTH, is_guessable, stands_for_another
from signaling_server.turn_settings import check_static, checked_urls
from sleap_rtc.protocol.sdp import IceServer

ENVIRONMENT_PREFIX = "SLEAP_RTC_SERVER_"
# nothing that a terminal, a page or a shell would act on, no user, and no path: pages and cookies are the whole host's
_PUBLIC_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(:[0-9]{1,5})?/?")
MAX_DAYS = 36_500
"""The longest a room or token can be made for, unless it is made for ever."""


class Settings(BaseModel):
    """The service's settings.

    Attributes:
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        database_url: SQLAlchemy's URL: ``sqlite+aiosqlite:///path`` or ``postgresql+asyncpg://user:password@host/name``.
        redis_url: Redis, through which several processes of the service find each other: ``redis://:password@host/0``.
        redis_prefix: what the names of all keys there begin with; another one for another service.
        workers: how many processes ``sleap-rtc server run`` starts; more than one need ``redis_url``.
        metrics_token: what a scraper on another machine shows as a bearer token at ``/metrics``.
        pepper: the key tokens are hashed under; without it a file beside the SQLite database is made.
        anonymous_rooms: whether ``sleap-rtc worker`` without an account may open a room.
        anonymous_rooms_per_hour: such rooms one address may open within an hour.
        session_string_hours: how long an unused session string lives.
        idle_room_days: how long a redeemed anonymous room lives after its worker was last seen.
        recheck_seconds: how often the credentials of connected peers are looked at again.
        ice_servers: STUN and TURN servers handed to peers as they are.
        turn_urls: TURN servers for which each peer gets credentials of its own, as
            ``turn:turn.lab.example:3478?transport=udp``.
        turn_secret: what these servers know as ``static-auth-secret``.
        turn_secret_file: a file that holds it, instead.
        turn_minutes: how long these credentials live; peers that stay are told new ones.
        anonymous_turn: whether those who came without an account are told of TURN servers, too.
        trusted_proxies: addresses whose X-Forwarded-For is believed.
        dev: whether anybody on this machine may log in under any name; only where no other machine reaches the service.
        public_url: the address at which browsers reach the service, if it is not the one that command lines use.
        providers: who else may vouch for users; each sends browsers back to ``public_url``.
        local_accounts: whether the service has accounts with passwords of its own.
        login_days: how long a login lasts that is not used.
        browser_days: how long a login in a browser lasts that is not used.
        access_minutes: how long an access token lasts; command lines renew theirs by themselves.
        refresh_grace_seconds: how long a refresh token may be used again after its first use, for lost answers.
        device_code_minutes: how long ``sleap-rtc login`` waits for somebody to type its code in a browser.
        device_codes_per_hour: such logins one address may begin within an hour.
        poll_seconds: how often ``sleap-rtc login`` asks meanwhile.
        room_days: how long a room lives if its maker does not say.
        max_room_days: the longest a room may be made for; without it also for ever.
        token_days: how long a worker token lives if its maker does not say.
        max_token_days: the longest a worker token may be made for; without it also for ever.
        summary_days: how long jobs and models are remembered after their worker last told of them.
        log_level: ``debug``, ``info``, ``warning`` or ``error``; refusals and changes are told from ``info`` on.
        log_format: ``text`` for people, ``json`` for machines: one object a line.
        limits: bounds on what one stranger can cost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    port: int = Field(default=8000, ge=0, le=65535)
    database_url: str = Field(default="sqlite+aiosqlite:///sleap-rtc.db", repr=False)
    redis_url: str | None = Field(default=None, repr=False)
    redis_prefix: str = Field(default="sleap-rtc:", pattern=r"^[A-Za-z0-9:_.-]{1,64}$")
    # behind redis_url: its check looks there
    workers: int = Field(default=1, ge=1, le=64)
    metrics_token: SecretStr | None = None
    pepper: SecretStr | None = None
    anonymous_rooms: bool = True
    anonymous_rooms_per_hour: int = Field(default=60, ge=1)
    session_string_hours: float = Field(default=2.0, gt=0)
    idle_room_days: float = Field(default=30.0, gt=0)
    recheck_seconds: float = Field(default=60.0, gt=0)
    # a welcome has place for 16: one is for those of turn_urls
    ice_servers: list[IceServer] = Field(default_factory=list, max_length=15)
    turn_urls: list[str] = Field(default_factory=list, max_length=8)
    turn_secret: SecretStr | None = None
    turn_secret_file: Path | None = None
    turn_minutes: float = Field(default=60.0, gt=0, le=60)
    anonymous_turn: bool = False
    trusted_proxies: list[str] = Field(default_factory=list)
    # behind host and trusted_proxies: its check looks at both
    dev: bool = False
    public_url: str | None = None
    # behind public_url: its check looks there
    providers: list[Provider] = Field(default_factory=list, max_length=16)
    local_accounts: bool = False
    login_days: float = Field(default=30.0, gt=0, le=366)
    browser_days: float = Field(default=30.0, gt=0, le=366)
    access_minutes: float = Field(default=60.0, gt=0, le=24 * 60)
    refresh_grace_seconds: float = Field(default=30.0, ge=0, le=600)
    device_code_minutes: float = Field(default=15.0, gt=0, le=60)
    device_codes_per_hour: int = Field(default=60, ge=1)
    poll_seconds: int = Field(default=5, ge=1, le=60)
    room_days: int = Field(default=30, ge=1, le=MAX_DAYS)
    max_room_days: int | None = Field(default=None, ge=1, le=MAX_DAYS)
    token_days: int = Field(default=7, ge=1, le=MAX_DAYS)
    max_token_days: int | None = Field(default=None, ge=1, le=MAX_DAYS)
    summary_days: float = Field(default=90.0, gt=0)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    limits: Limits = Limits()

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, url: str) -> str:
        try:
            driver = make_url(url).drivername
        except ArgumentError as error:
            raise ValueError("not a database URL") from error
        if driver not in ("sqlite+aiosqlite", "postgresql+asyncpg"):
            raise ValueError("the database must be sqlite+aiosqlite:///… or postgresql+asyncpg://…")
        return url

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, url: str | None) -> str | None:
        return None if url is None else checked_url(url)

    @field_validator("workers")
    @classmethod
    def _workers(cls, workers: int, info: ValidationInfo) -> int:
        if workers > 1 and info.data.get("redis_url") is None:
            raise ValueError("several processes find each other through Redis, so redis_url must be set")
        return workers

    @field_validator("pepper", "metrics_token")
    @classmethod
    def _random(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret is None:
            return None
        text, name = secret.get_secret_value(), (info.field_name or "").replace("_", " ")
        if len(text) < MIN_LENGTH:
            raise ValueError(f"the {name} must have at least {MIN_LENGTH} characters")
        if is_guessable(text):
            raise ValueError(f"the {name} must be random. Make one: openssl rand -hex 32")
        return secret

    @field_validator("ice_servers")
    @classmethod
    def _ice_servers(cls, servers: list[IceServer]) -> list[IceServer]:
        for url in (url for server in servers for url in server.urls):
            check_static(url)
        if any(stands_for_another(server.credential or "") for server in servers):
            raise ValueError(
                "a TURN server's credential must be random, or everybody relays there. Make one: openssl rand -hex 32"
            )
        return servers

    @field_validator("turn_urls")
    @classmethod
    def _turn_urls(cls, urls: list[str]) -> list[str]:
        return checked_urls(urls)

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, url: str | None) -> str | None:
        return None if url is None else checked_public_url(url)

    @field_validator("providers")
    @classmethod
    def _providers(cls, providers: list[Provider], info: ValidationInfo) -> list[Provider]:
        if providers and info.data.get("public_url") is None:
            raise ValueError("a provider sends browsers back to a fixed address, so public_url must be set")
        return check_ids(providers)

    @field_validator("trusted_proxies")
    @classmethod
    def _trusted_proxies(cls, proxies: list[str], info: ValidationInfo) -> list[str]:
        # whoever reaches the service could then say to be at any address: no limit by address would hold
        if not is_loopback(str(info.data.get("host"))) and any(_means_everybody(proxy) for proxy in proxies):
            raise ValueError("name the proxy: beyond this machine everybody may claim any address otherwise")
        return proxies

    @field_validator("dev")
    @classmethod
    def _dev(cls, dev: bool, info: ValidationInfo) -> bool:
        if dev and not is_loopback(str(info.data.get("host"))):
            raise ValueError("a login without a password needs host = 127.0.0.1, ::1 or localhost")
        if dev and info.data.get("trusted_proxies"):
            raise ValueError(
                "a login without a password must not stand behind a proxy, so trusted_proxies must be empty"
            )
        return dev

    @property
    def database_file(self) -> Path | None:
        """The SQLite database's file; None for another database or one in memory."""
        url = make_url(self.database_url)
        if not url.drivername.startswith("sqlite") or not url.database or url.database == ":memory:":
            return None
        return Path(url.database)

    @property
    def pepper_file(self) -> Path | None:
        """Where the pepper lies if it is not given: beside the SQLite database; None for another database."""
        return None if self.database_file is None else self.database_file.with_suffix(".pepper")


def _means_everybody(proxy: str) -> bool:
    return proxy.strip() == "*" or proxy.strip().endswith("/0")


def checked_public_url(url: str) -> str:
    """The address `url` without a slash at its end, if browsers may log in there.

    Raises:
        ValueError: if it is no plain https address, nor an http one of this very machine.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not _PUBLIC_URL.fullmatch(url) or not host or parts.port == 0:
        raise ValueError("it must be an address such as https://rtc.lab.example")
    if parts.scheme != "https" and not is_loopback(host):
        raise ValueError("passwords are typed there, so it must begin with https://")
    return url.rstrip("/")
