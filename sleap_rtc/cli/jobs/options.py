"""Options that the commands about jobs share, and what was typed of them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sleap_rtc.cli.options import (
    relay_option,
    room_option,
    room_secret_option,
    secrets_for,
    server_option,
    session_option,
    settings_for,
    transport_option,
    with_options,
)

if TYPE_CHECKING:
    from sleap_rtc.cli.jobs.reaching import Request

F = TypeVar("F", bound=Callable[..., Any])

_WHERE = (
    session_option,
    room_option,
    click.option("--worker", metavar="WORKER", help="Look on this worker of the room alone: its name or id."),
    room_secret_option,
    server_option,
    transport_option,
    relay_option,
)
NAMES = ("session_string", "room", "worker", "room_secret", "server", "transport", "ice_policy")
"""The parameters that `where_options` adds."""


def where_options(command: F) -> F:
    """Add what says where to look for jobs."""
    return with_options(command, _WHERE)


def job_argument(command: F) -> F:
    """Add JOB, as `job`."""
    return click.argument("job")(command)


def read_request(options: dict[str, Any]) -> "Request":
    """Take the parameters of `where_options` out of `options`.

    Raises:
        ConfigError: if the settings of this machine are wrong.
    """
    from sleap_rtc.cli.jobs.reaching import Request

    taken = {name: options.pop(name) for name in NAMES}
    settings = settings_for(**{name: taken[name] for name in ("server", "transport", "ice_policy")})
    source = click.get_current_context().get_parameter_source("session_string")
    return Request(
        session_string=taken["session_string"],
        session_typed=source is click.core.ParameterSource.COMMANDLINE,
        room=taken["room"],
        worker=taken["worker"],
        settings=settings,
        secrets=secrets_for(settings, taken["room_secret"]),
    )
