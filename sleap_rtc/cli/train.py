"""``sleap-rtc train`` and ``sleap-rtc client``, which is the same command under its first name."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sleap_rtc.cli.options import MONITOR, output_option, with_options
from sleap_rtc.cli.remote_options import HOW, WHERE, read_remote
from sleap_rtc.cli.then_options import THEN
from sleap_rtc.cli.train_options import WHAT_TO_TRAIN
from sleap_rtc.cli.video_options import VIDEOS, read_video_options

F = TypeVar("F", bound=Callable[..., Any])


def _training_options(command: F) -> F:
    return with_options(command, (*WHAT_TO_TRAIN, *VIDEOS, *THEN, *WHERE, output_option, *HOW, *MONITOR))


def _run(**options: Any) -> int:
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.then_request import take_then
    from sleap_rtc.cli.training import TrainRequest, train_remotely
    from sleap_rtc.cli.training_request import find_wandb_key, read_typed, take_typed
    from sleap_rtc.client.lossviewer import MonitorPorts

    then = take_then(options)
    wanted = read_typed(take_typed(options))
    videos = read_video_options(options)
    monitor = MonitorPorts(options.pop("publish_port"), options.pop("controller_port"))
    remote = read_remote(options)
    request = TrainRequest(
        wanted=wanted, then=then, videos=videos, wandb_key=find_wandb_key(wanted), remote=remote, monitor=monitor,
        **options,
    )  # fmt: skip
    return run_async(train_remotely(request))


EXAMPLES = """\b
Examples:
  sleap-rtc train --room my-lab --auto-select -p labels.slp.training_job.zip
  sleap-rtc train -s "sleap-session:…" -p my_package/ -o models --logs
  sleap-rtc train -c centroid -c centered_instance -d configs --labels a.slp
  sleap-rtc train -c config "data_config.train_labels_path=[a.slp,b.slp]"
  sleap-rtc train config.yaml --max-epochs 50 trainer_config.seed=1
  sleap-rtc train --labels a.slp --preset bottomup --backbone unet_medium_rf
  sleap-rtc train -c config --labels a.slp --from fly@production
  sleap-rtc train -p pkg/ --then track --on suggestions --on clip.mp4
"""


@click.command(epilog=EXAMPLES)
@_training_options
def train(**options: Any) -> int:
    """Train on a remote GPU and bring the models home.

    What to train is a package, or configs and labels as sleap-nn train takes
    them, or labels and a preset. Files are files of this machine; what configs
    and overrides name is sent along. KEY=VALUE are sleap-nn's overrides.

    Train in a room you belong to, or with a worker's session string. The job
    goes on if this command ends: type it again to watch on. Ctrl-C asks whether
    to detach, to stop and keep the best model, or to cancel.
    """
    return _run(**options)


@click.command(epilog=EXAMPLES.replace("sleap-rtc train", "sleap-rtc client").replace(" --auto-select", ""))
@_training_options
def client(**options: Any) -> int:
    """Train on a remote GPU; the same as train.

    What to train is a package, or configs and labels as sleap-nn train takes
    them, or labels and a preset. Files are files of this machine; what configs
    and overrides name is sent along. KEY=VALUE are sleap-nn's overrides.

    Train in a room you belong to, or with a worker's session string. The job
    goes on if this command ends: type it again to watch on. Ctrl-C asks whether
    to detach, to stop and keep the best model, or to cancel.
    """
    return _run(**options)
