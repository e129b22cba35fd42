"""``sleap-rtc server run``."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.server.options import place_options, service_settings

if TYPE_CHECKING:
    from signaling_server.place import Listening
    from signaling_server.settings import Settings


@click.command(
    epilog="""\b
Examples:
  sleap-rtc server run --dev
  sleap-rtc server run --settings /etc/sleap-rtc-server.toml
  sleap-rtc server run --database /srv/sleap-rtc/service.db
"""
)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [default: 8000]")
@place_options
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    help="Processes that serve together; more than one need redis_url. SIGHUP replaces them one by one.  [default: 1]",
)
@click.option("--no-anonymous-rooms", is_flag=True, help="Open no rooms for workers without a token.")
@click.option("--dev", is_flag=True, help="Let anybody on this machine log in under any name, to try things out.")
def run(
    host: str | None,
    port: int | None,
    database: str | None,
    settings_file: Path | None,
    workers: int | None,
    no_anonymous_rooms: bool,
    dev: bool,
) -> None:
    """Start the service; Ctrl-C stops it. The same as `sleap-rtc server` alone."""
    settings = service_settings(
        database,
        settings_file,
        host=host,
        port=port,
        workers=workers,
        anonymous_rooms=False if no_anonymous_rooms else None,
        dev=dev or None,
    )
    from signaling_server import serve
    from signaling_server.inheritance import VARIABLE

    if VARIABLE not in os.environ:  # in a process of several the parent has said it
        _warn(settings)
    asyncio.run(serve(settings, _announce))


def _warn(settings: "Settings") -> None:
    from sleap_rtc.cli.output import warn
    from sleap_rtc.signaling.address import service_address

    if settings.dev:
        warn("Anybody on this machine may log in to this service under any name (--dev).")
    if not service_address(f"http://{_bracketed(settings.host)}").local:
        warn(
            f"{settings.host} can be reached from other machines, and peers send no token over plain http: "
            "put a proxy with TLS in front, and give its address as --server."
        )


def _announce(service: "Listening") -> None:
    from sleap_rtc.cli.output import say

    say(f"The signaling service listens on {service.url} (Ctrl-C stops it).")
    if service.first_link is not None:
        say("Nobody has an account yet. Make the first one with this link, which works once, within a day:")
        say()
        say(f"  {service.first_link}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
