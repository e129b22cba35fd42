"""``sleap-rtc config add-mount``."""

from pathlib import Path

import click


@click.command(
    "add-mount",
    epilog="""\b
Examples:
  sleap-rtc config add-mount lab /data/lab
  sleap-rtc config add-mount scratch /scratch/videos --rw
""",
)
@click.argument("label")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--rw", is_flag=True, help="Jobs may write there, too.")
def add_mount(label: str, path: Path, rw: bool) -> None:
    """Let jobs of this machine's worker name files in the folder PATH.

    Clients name them as LABEL:/path. Everybody who may train here may read, by a
    training, what lies below. A worker that runs takes it up at its next start.
    """
    from sleap_rtc.cli.config.set import say_what_wins
    from sleap_rtc.cli.output import say
    from sleap_rtc.config import editing
    from sleap_rtc.config.schema import MOUNTS, Mount
    from sleap_rtc.jobs.mounts import check_mounts

    mount = Mount(label, path.absolute(), rw)
    check_mounts([mount])
    written = editing.add_mount(mount)
    say(f"Jobs may {'read and write' if rw else 'read'} {label}:/, which is {mount.path}. It is set in {written}.")
    say_what_wins(MOUNTS, written)
