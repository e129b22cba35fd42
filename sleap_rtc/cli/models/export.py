"""``sleap-rtc models export``."""

from typing import Any

import click

from sleap_rtc.cli.models.options import ref_argument
from sleap_rtc.cli.options import with_options
from sleap_rtc.cli.remote_options import HOW, IN_ROOM, read_remote

_FORMATS = ("onnx", "tensorrt")
"""As in `sleap_rtc.protocol.exporting`, which help must not import."""


@click.command(
    epilog="""\b
Examples:
  sleap-rtc models export fly@4 --format onnx
  sleap-rtc models export fly --format tensorrt --worker lab-gpu-1
  sleap-rtc models export j_abcdefgh --detach
"""
)
@ref_argument
@click.option("--format", "to", type=click.Choice(_FORMATS), default="onnx", show_default=True, help="Into what.")
@click.option(
    "--max-instances", type=click.IntRange(1, 1000), metavar="N", help="Most animals in a frame.  [default: sleap-nn's]"
)
@click.option(
    "--max-batch-size", type=click.IntRange(1, 1024), metavar="N", help="Most frames at once.  [default: sleap-nn's]"
)
@lambda command: with_options(command, (*IN_ROOM, *HOW))
def export(ref: str, to: str, max_instances: int | None, max_batch_size: int | None, **options: Any) -> int:
    """Write a model of the room in another format, as a job on a worker.

    The result becomes another format of the same version: 'models pull fly@4
    --format onnx' brings it home, and 'track --model fly@4 --runtime onnx' uses
    it. Of several workers, one that has the model is taken. The job goes on if
    this command ends: type it again to watch on.
    """
    from sleap_rtc.cli.exporting import ExportRequest, export_remotely
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.protocol.models import ModelRef

    request = ExportRequest(ModelRef.parse(ref), to, max_instances, max_batch_size)
    return run_async(export_remotely(request, read_remote(options)))
