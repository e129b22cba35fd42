"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_SERVER = "http://127.0.0.1:8000"


def server_option(command: F) -> F:
    """Add ``--server``."""
    return click.option(
        "--server",
        metavar="URL",
        envvar="SLEAP_RTC_SERVER",
        default=DEFAULT_SERVER,
        show_default=True,
        show_envvar=True,
        help="The signaling service.",
    )(command)


def transport_option(command: F) -> F:
    """Add ``--transport``."""
    return click.option(
        "--transport",
        type=click.Choice(["auto", "libwebrtc", "aiortc"]),
        envvar="SLEAP_RTC_TRANSPORT",
        default="auto",
        show_default=True,
        show_envvar=True,
        help="The WebRTC engine; auto takes the faster one that runs here.",
    )(command)
