"""``sleap-rtc config init``."""

import click


@click.command(
    epilog="""\b
Examples:
  sleap-rtc config init
"""
)
def init() -> None:
    """Write config.toml in ~/.sleap-rtc, with every key explained and none set."""
    from sleap_rtc.cli.output import say
    from sleap_rtc.config.editing import initialise

    say(f"Written: {initialise()}. Open it in an editor, and remove the '#' of what you want to set.")
