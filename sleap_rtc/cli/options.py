"""Options that several commands share, and the settings they override.

``--server`` and ``--transport`` are None where they were not typed: `settings_for` then takes the environment's, the
files' or the default. A command uses what the settings say, never the option alone.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sleap_rtc.config.secret_lookup import SecretLookup
    from sleap_rtc.config.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_SERVER = "http://127.0.0.1:8000"
NEVER = "never"

_DAYS = re.compile(r"(\d{1,5}) *(d|w)?", re.IGNORECASE)
_HOURS = re.compile(r"(\d{1,5}) *(h|d|w)|0+", re.IGNORECASE)
_HOURS_IN = {"h": 1, "d": 24, "w": 7 * 24}


def with_options(command: F, options: Sequence[Callable[[F], F]]) -> F:
    """Add options to a command, in their order."""
    for option in reversed(options):
        command = option(command)
    return command


def session_option(command: F) -> F:
    """Add ``--session-string``."""
    return click.option(
        "-s",
        "--session-string",
        envvar="SLEAP_RTC_SESSION",
        show_envvar=True,
        metavar="STRING",
        help="The sleap-session:… line that a worker printed.",
    )(command)


def server_option(command: F) -> F:
    """Add ``--server``; None where it was not typed."""
    return click.option(
        "--server",
        metavar="URL",
        envvar="SLEAP_RTC_SERVER",
        show_envvar=True,
        help=f"The signaling service.  [default: {DEFAULT_SERVER}]",
    )(command)


def transport_option(command: F) -> F:
    """Add ``--transport``; None where it was not typed."""
    return click.option(
        "--transport",
        type=click.Choice(["auto", "libwebrtc", "aiortc"]),
        envvar="SLEAP_RTC_TRANSPORT",
        show_envvar=True,
        help="The WebRTC engine; auto takes the faster one that runs here.  [default: auto]",
    )(command)


def relay_option(command: F) -> F:
    """Add ``--relay-only``, as `ice_policy`; None where it was not typed."""
    return click.option(
        "--relay-only",
        "ice_policy",
        flag_value="relay",
        default=None,
        help="Use no direct path between the machines, but the service's TURN servers alone.",
    )(command)


def json_option(command: F) -> F:
    """Add ``--json``, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="One line of JSON, for scripts.")(command)


def events_option(command: F) -> F:
    """Add ``--json`` of commands that tell events, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for scripts.")(command)


def logs_option(command: F) -> F:
    """Add ``--logs``."""
    return click.option("--logs", is_flag=True, help="Show sleap-nn's log too.")(command)


def output_option(command: F) -> F:
    """Add ``--output``."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("models"),
        show_default=True,
        help="Where the trained models go.",
    )(command)


def results_option(command: F) -> F:
    """Add ``--output`` of commands about any job; None where it was not typed."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where the results go.  [default: models for models, the current folder for predictions]",
    )(command)


def give_up_option(command: F) -> F:
    """Add ``--give-up``, in seconds."""
    return click.option(
        "--give-up",
        type=click.FloatRange(min=0),
        default=600.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to try to reach a lost worker again.",
    )(command)


def room_option(command: F) -> F:
    """Add ``--room``; None where it was not typed, for the default room."""
    return click.option(
        "-r",
        "--room",
        metavar="ROOM",
        help="A room's id or name.  [default: default_room of the configuration]",
    )(command)


def end_old_option(command: F) -> F:
    """Add ``--end-old``."""
    words = "The secret before this one ends here now, and not in a day."
    return click.option("--end-old", is_flag=True, help=words)(command)


def room_secret_option(command: F) -> F:
    """Add ``--room-secret``; `secrets_for` reads it."""
    return click.option(
        "--room-secret",
        metavar="SECRET",
        envvar="SLEAP_RTC_ROOM_SECRET",
        show_envvar=True,
        help="The room's secret, slrs_…: only who has it is trusted, whatever the service says. Better given as the "
        "variable, or kept with 'room set-secret': what is typed can be read in the list of processes.",
    )(command)


MONITOR = (
    click.option(
        "--publish-port",
        type=click.IntRange(1, 65535),
        metavar="PORT",
        help="Show the training in SLEAP's own monitor, which listens on this port of this machine: mostly 9001.",
    ),
    click.option(
        "--controller-port",
        type=click.IntRange(1, 65535),
        metavar="PORT",
        help="Obey the stop button of SLEAP's own monitor, which speaks on this port: mostly 9000.",
    ),
)
"""SLEAP's own monitor; `MonitorPorts` takes what was typed."""


def monitor_options(command: F) -> F:
    """Add the options of `MONITOR` to a command."""
    return with_options(command, MONITOR)


def read_expiry(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """Read a time in whole days: ``7d``, ``2w``, ``30``; ``never`` is None."""
    if value.strip().lower() == NEVER:
        return None
    match = _DAYS.fullmatch(value.strip())
    days = int(match[1]) * (7 if (match[2] or "d").lower() == "w" else 1) if match else 0
    if days == 0:
        raise click.BadParameter(f"'{value}' is no time in days. Write it as 7d, 30d or never.", context, parameter)
    return days


def expires_option(default: str, what: str) -> Callable[[F], F]:
    """Add ``--expires``: days, or None for never.

    Args:
        default: as it would be typed.
        what: what expires, for the help.
    """
    return click.option(
        "--expires",
        callback=read_expiry,
        metavar="DAYSd|never",
        default=default,
        show_default=True,
        help=f"When the {what} expires.",
    )


def hours_option(name: str, default: str, *, least: int, most: int, help_text: str) -> Callable[[F], F]:
    """Add an option that takes a time in hours, days or weeks, as whole hours.

    Args:
        name: the option, with its dashes.
        default: as it would be typed.
        least: the fewest hours.
        most: the most hours.
        help_text: what it is for.
    """

    def read(context: click.Context, parameter: click.Parameter, value: str) -> int:
        match = _HOURS.fullmatch(value.strip())
        hours = int(match[1] or 0) * _HOURS_IN[(match[2] or "h").lower()] if match else -1
        if not least <= hours <= most:
            bounds = f"from {least}h to {most // 24}d"
            raise click.BadParameter(f"'{value}' is no time {bounds}. Write it as 12h or 7d.", context, parameter)
        return hours

    return click.option(name, callback=read, metavar="TIME", default=default, show_default=True, help=help_text)


def settings_for(folder: Path | None = None, **typed: str | bool | None) -> "Settings":
    """Read every place that sets something, say what is wrong with them, and return the whole.

    Args:
        folder: where to begin looking for a project's file; this folder by default.
        typed: options by key (``server``, ``transport``, ``ice_policy``, ``api_key``, ``slots``, ``gpus``, …); None:
            not typed.

    Raises:
        ConfigError: if a file or a value is wrong.
    """
    from sleap_rtc.cli.output import warn
    from sleap_rtc.config.schema import ALLOW_WANDB, API_KEY, AUTO_EXPORT, GPUS, SANDBOX, SLOTS
    from sleap_rtc.config.settings import load_settings

    keys = {
        "api_key": API_KEY, "slots": SLOTS, "gpus": GPUS, "warm": "worker.warm", "allow_wandb": ALLOW_WANDB,
        "sandbox": SANDBOX, "auto_export": AUTO_EXPORT,
    }  # fmt: skip
    settings = load_settings(folder, flags={keys.get(key, key): value for key, value in typed.items()})
    for text in settings.warnings:
        warn(text)
    return settings


def secrets_for(settings: "Settings", given: str | None) -> "SecretLookup":
    """What finds the secrets of rooms for this command.

    Args:
        settings: what is set.
        given: the value of ``--room-secret``.
    """
    from sleap_rtc.config.secret_lookup import VARIABLE, SecretLookup

    typed = click.get_current_context().get_parameter_source("room_secret") is click.core.ParameterSource.COMMANDLINE
    return SecretLookup(settings, given, "--room-secret" if typed else VARIABLE)
