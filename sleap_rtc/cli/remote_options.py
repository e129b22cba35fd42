"""Options of every command that sends a job: where it runs, and how to go about it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sleap_rtc.cli.options import (
    events_option,
    give_up_option,
    logs_option,
    relay_option,
    room_option,
    room_secret_option,
    secrets_for,
    server_option,
    session_option,
    settings_for,
    transport_option,
)
from sleap_rtc.client.choice import RULE

if TYPE_CHECKING:
    from sleap_rtc.cli.submitting import Remote

F = TypeVar("F", bound=Callable[..., Any])

IN_ROOM = (
    room_option,
    click.option(
        "--auto-select/--no-auto-select",
        default=None,
        help=f"Choose the room's worker by itself: {RULE}.  [default: client.auto_select of the configuration]",
    ),
    click.option("--worker", metavar="WORKER", help="Use this worker of the room: its name or id."),
    click.option(
        "--min-gpu-memory",
        metavar="SIZE",
        help="Only on a worker with a GPU of at least this memory, such as 24GB.",
    ),
    room_secret_option,
)
"""Where a job runs that is about a room's models."""

WHERE = (session_option, *IN_ROOM)
"""Where the job runs."""

HOW = (
    logs_option,
    events_option,
    click.option("--detach", is_flag=True, help="End when the worker has the job, and print its id."),
    click.option("--new", is_flag=True, help="Make a new job, even if this one is under way."),
    give_up_option,
    server_option,
    transport_option,
    relay_option,
)
"""How to go about it."""


def read_remote(options: dict[str, Any]) -> "Remote":
    """Take the parameters of `WHERE`, or `IN_ROOM`, and `HOW` out of `options`.

    Raises:
        UsageError: if they contradict each other, or nothing says where.
        ConfigError: if the settings of this machine are wrong.
    """
    from sleap_rtc.cli.submitting import Remote
    from sleap_rtc.cli.where import WhereTyped, find_where

    source = click.get_current_context().get_parameter_source("session_string")
    typed = WhereTyped(
        session_typed=source is click.core.ParameterSource.COMMANDLINE,
        session_string=options.pop("session_string", None),
        **{name: options.pop(name) for name in ("room", "auto_select", "worker", "min_gpu_memory")},
    )
    settings = settings_for(**{name: options.pop(name) for name in ("server", "transport", "ice_policy")})
    secrets = secrets_for(settings, options.pop("room_secret"))
    where = find_where(typed, settings)
    return Remote(
        where=where,
        # the token of a session string belongs to its own server: a project's file must not send it elsewhere
        server=settings.own_server if isinstance(where, str) else settings.server,
        transport=settings.transport,
        limits=settings.limits,
        secrets=secrets,
        **{name: options.pop(name) for name in ("logs", "as_json", "detach", "new", "give_up")},
    )
