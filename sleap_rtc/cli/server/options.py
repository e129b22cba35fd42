"""What the commands for a service's operator share: where its settings and its database are."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sleap_rtc.cli.options import with_options
from sleap_rtc.errors import DependencyError, UsageError

if TYPE_CHECKING:
    from signaling_server.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

DATABASE = "sleap-rtc.db"

PLACE = (
    click.option(
        "--database",
        metavar="PATH|URL",
        help="Where rooms and tokens are kept.  [default: service/sleap-rtc.db in ~/.sleap-rtc]",
    ),
    click.option(
        "--settings",
        "settings_file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Settings file.  [default: sleap-rtc-server.toml in this folder, if it is there]",
    ),
)
"""Which service is meant; `service_settings` takes what was typed."""


def place_options(command: F) -> F:
    """Add the options of `PLACE` to a command."""
    return with_options(command, PLACE)


def service_settings(database: str | None, settings_file: Path | None, **flags: Any) -> "Settings":
    """The settings of the service on this machine.

    Args:
        database: a file or a URL; None where it was not typed.
        settings_file: the settings file; None for the usual one.
        flags: settings that were typed; None: not typed.

    Raises:
        DependencyError: if the service is not installed.
        ConfigError: if a setting is refused.
    """
    if find_spec("fastapi") is None or find_spec("sqlalchemy") is None:
        raise DependencyError('The service\'s parts are not installed. Run: pip install "sleap-rtc[server]"')
    from signaling_server import load_settings

    given = flags | {"database_url": _url(database)}
    return load_settings(os.environ, settings_file, default_database_url=_default_url(), **given)


def _url(database: str | None) -> str | None:
    if database is None or "://" in database:
        return database
    if not database:
        raise UsageError("--database is empty. Give a file or a URL, or leave it out.")
    return f"sqlite+aiosqlite:///{Path(database).expanduser().absolute()}"


def _default_url() -> str:
    from sleap_rtc.config.paths import home

    return f"sqlite+aiosqlite:///{home() / 'service' / DATABASE}"
