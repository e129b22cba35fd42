"""``sleap-rtc config set``."""

import sys
from pathlib import Path

import click


@click.command(
    "set",
    epilog="""\b
Examples:
  sleap-rtc config set server https://rtc.lab.example
  sleap-rtc config set client.auto_select true
  sleap-rtc config set worker.api_key -
""",
)
@click.argument("key")
@click.argument("value")
def set_key(key: str, value: str) -> None:
    """Set KEY to VALUE in config.toml in ~/.sleap-rtc; its comments stay.

    A VALUE of - is asked for, or read from a pipe, so that a key or secret
    does not stay in the shell's history.
    """
    from sleap_rtc.cli.output import say
    from sleap_rtc.config.editing import check_key, set_value

    check_key(key)
    path = set_value(key, _asked(key) if value == "-" else value)
    say(f"{key} is set in {path}.")
    say_what_wins(key, path)


def say_what_wins(key: str, path: Path) -> None:
    """Warn if what was just written to `path` is overruled by a nearer place."""
    from sleap_rtc.cli.output import warn
    from sleap_rtc.config.settings import load_settings

    settings = load_settings()
    if key in settings.withheld:
        warn(settings.withheld[key])
    elif (origin := settings.origin(key)) and not _same(origin, path):
        warn(f"{key} is set nearer by, too, and that wins: {origin}.")


def _same(origin: str, path: Path) -> bool:
    return Path(origin).resolve() == path


def _asked(key: str) -> str:
    if sys.stdin.isatty() and sys.stderr.isatty():
        return str(click.prompt(key, hide_input=True, err=True))
    return sys.stdin.readline().strip()
