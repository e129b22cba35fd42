"""``sleap-rtc server``: run a signaling service."""

import asyncio
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from sleap_rtc.errors import DependencyError, UsageError

DATABASE = "sleap-rtc.db"


class _RunByDefault(click.Group):
    """A group whose options alone mean its command `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault)
def server() -> None:
    """Run the signaling service through which clients and workers find each other.

    It sees who talks to whom, and never the data. Without a command: run, with its options.
    """


@server.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [default: 8000]")
@click.option(
    "--database",
    metavar="PATH|URL",
    help="Where rooms and tokens are kept.  [default: service/sleap-rtc.db in ~/.sleap-rtc]",
)
@click.option("--no-anonymous-rooms", is_flag=True, help="Open no rooms for workers without a token.")
@click.option("--dev", is_flag=True, help="Let anybody on this machine log in under any name, to try things out.")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings file.  [default: sleap-rtc-server.toml in this folder, if it is there]",
)
def run(
    host: str | None,
    port: int | None,
    database: str | None,
    no_anonymous_rooms: bool,
    dev: bool,
    settings_file: Path | None,
) -> None:
    """Start the service; Ctrl-C stops it. The same as `sleap-rtc server` alone."""
    _check_installed()
    from signaling_server import load_settings, serve
    from sleap_rtc.cli.output import say, warn
    from sleap_rtc.signaling.address import service_address

    flags: dict[str, Any] = {"host": host, "port": port, "database_url": _url(database)}
    if no_anonymous_rooms:
        flags["anonymous_rooms"] = False
    if dev:
        flags["dev"] = True
    settings = load_settings(os.environ, settings_file, default_database_url=_default_url(), **flags)
    if settings.dev:
        warn("Anybody on this machine may log in to this service under any name (--dev).")
    if not service_address(f"http://{_bracketed(settings.host)}").local:
        warn(
            f"{settings.host} can be reached from other machines, and peers send no token over plain http: "
            "put a proxy with TLS in front, and give its address as --server."
        )
    asyncio.run(serve(settings, lambda url: say(f"The signaling service listens on {url} (Ctrl-C stops it).")))


def _check_installed() -> None:
    if find_spec("fastapi") is None or find_spec("sqlalchemy") is None:
        raise DependencyError('The service\'s parts are not installed. Run: pip install "sleap-rtc[server]"')


def _url(database: str | None) -> str | None:
    if database is None or "://" in database:
        return database
    if not database:
        raise UsageError("--database is empty. Give a file or a URL, or leave it out.")
    return f"sqlite+aiosqlite:///{Path(database).expanduser().absolute()}"


def _default_url() -> str:
    from sleap_rtc.config.paths import home

    return f"sqlite+aiosqlite:///{home() / 'service' / DATABASE}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
