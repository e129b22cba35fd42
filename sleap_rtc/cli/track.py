"""``sleap-rtc track``."""

from typing import Any

import click

from sleap_rtc.cli.options import with_options
from sleap_rtc.cli.remote_options import HOW, WHERE, read_remote
from sleap_rtc.cli.track_options import ALL

EXAMPLES = """\b
Examples:
  sleap-rtc track --room my-lab -m fly@production -i clip.mp4 -o out.slp
  sleap-rtc track -s "sleap-session:…" -m models/fly -i clip.mp4
  sleap-rtc track -m models/centroid -m models/centered_instance -i clip.mp4
  sleap-rtc track -m fly -i lab:/videos/a.mp4 --frames 0-100,200-300
  sleap-rtc track -m fly -i labels.slp --only-suggested-frames
  sleap-rtc track -m fly -i a.mp4 --merge labels.slp -o merged.slp
"""


@click.command(epilog=EXAMPLES)
@lambda command: with_options(command, (*ALL, *WHERE, *HOW))
def track(**options: Any) -> int:
    """Run a model on a remote GPU and bring the predictions home.

    Look at videos, or at frames of labels, with a model of the room or one of
    this machine. What is on this machine is sent; nothing is overwritten.

    The job goes on if this command ends: type it again to watch on. Ctrl-C asks
    whether to detach, to stop and keep what is done, or to cancel.
    """
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.track_request import read_track
    from sleap_rtc.cli.tracking import track_remotely

    wanted = read_track(options)
    return run_async(track_remotely(wanted, read_remote(options)))
