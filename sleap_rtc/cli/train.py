"""``sleap-rtc train`` and ``sleap-rtc client``, which is the same command under its first name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sleap_rtc.cli.options import server_option, transport_option

F = TypeVar("F", bound=Callable[..., Any])


def _training_options(command: F) -> F:
    options = (
        click.option(
            "-s",
            "--session-string",
            required=True,
            envvar="SLEAP_RTC_SESSION",
            show_envvar=True,
            metavar="STRING",
            help="The sleap-session:… line that the worker printed.",
        ),
        click.option(
            "-p",
            "--pkg-path",
            required=True,
            type=click.Path(path_type=Path),
            help="The training package: SLEAP's exported zip, or a folder.",
        ),
        click.option(
            "-o",
            "--output",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("models"),
            show_default=True,
            help="Where the trained models go.",
        ),
        click.option("--logs", is_flag=True, help="Show the training log too."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for scripts."),
        click.option("--new", is_flag=True, help="Make a new job, even if this package is being trained."),
        click.option(
            "--give-up",
            type=click.FloatRange(min=0),
            default=600.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to try to reach a lost worker again.",
        ),
        server_option,
        transport_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def _run(**options: Any) -> int:
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.training import TrainRequest, train_remotely

    return run_async(train_remotely(TrainRequest(**options)))


@click.command(
    epilog="""\b
Examples:
  sleap-rtc train -s "sleap-session:…" -p labels.slp.training_job.zip
  sleap-rtc train -s "sleap-session:…" -p my_package/ -o models --logs
"""
)
@_training_options
def train(**options: Any) -> int:
    """Train a package on a remote GPU and bring the models home.

    The job goes on if this command ends: type it again to watch on. Ctrl-C
    asks whether to detach, to stop and keep the best model, or to cancel.
    """
    return _run(**options)


@click.command(epilog=train.epilog and train.epilog.replace("sleap-rtc train", "sleap-rtc client"))
@_training_options
def client(**options: Any) -> int:
    """Train on the worker of a session string; the same as train.

    The job goes on if this command ends: type it again to watch on. Ctrl-C
    asks whether to detach, to stop and keep the best model, or to cancel.
    """
    return _run(**options)
