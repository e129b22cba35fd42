"""``sleap-rtc models reproduce``."""

from pathlib import Path
from typing import Any

import click

from sleap_rtc.cli.models.options import ref_argument
from sleap_rtc.cli.options import output_option, with_options
from sleap_rtc.cli.remote_options import HOW, IN_ROOM, read_remote


@click.command(
    epilog="""\b
Examples:
  sleap-rtc models reproduce fly@4
  sleap-rtc models reproduce fly@4 -p labels.slp.training_job.zip
  sleap-rtc models reproduce fly@4 --any-version --detach
"""
)
@ref_argument
@click.option(
    "-p",
    "--pkg-path",
    "package",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The package that it was trained on.  [default: the one that its worker still has]",
)
@click.option("--any-version", is_flag=True, help="Also with another version of sleap-nn.")
@lambda command: with_options(command, (*IN_ROOM, output_option, *HOW))
def reproduce(ref: str, package: Path | None, any_version: bool, output: Path, **options: Any) -> int:
    """Train a model of the room once more: the same labels, configs and options.

    Without a package, the worker that still has the job takes its files: that
    is for whoever submitted it, and for the owner of the room. A package that
    is given must be the very one, file by file.
    """
    from sleap_rtc.cli.reproducing import ReproduceRequest, reproduce_remotely
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.protocol.models import ModelRef

    request = ReproduceRequest(ModelRef.parse(ref), package, any_version, output)
    return run_async(reproduce_remotely(request, read_remote(options)))
