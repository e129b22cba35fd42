"""What commands about jobs say beside their display: of links, of the service, of a job left to itself."""

from collections.abc import Callable

from sleap_rtc.cli.formats import count
from sleap_rtc.cli.output import emit_json, note, say, warn
from sleap_rtc.cli.progress import JobDisplay
from sleap_rtc.client.acquaintance import Met
from sleap_rtc.client.link import LinkState
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.signaling.client import ServiceState


def saying_images(display: JobDisplay, kind: str) -> Callable[[int, int], None]:
    """Say, once, that images are taken from videos.

    Args:
        display: what is on the screen.
        kind: what frames they are of, in the singular.

    Returns:
        What is told how many are done, and how many there are.
    """
    said = False

    def on_frames(done: int, total: int) -> None:
        nonlocal said
        if not said:
            said = True
            with display.paused():
                note(f"The images of {count(total, kind)} are being taken from the videos.")

    return on_frames


def say_detached(job: RemoteJob, worker: WorkerPresence, *, as_json: bool) -> None:
    """Say that the worker has a job and that this command ends: its id on stdout, how to go on beside it."""
    if as_json:
        fields = {"event": "detached", "job": job.id, "worker": worker.name, "worker_id": worker.worker_id}
        emit_json(fields)
        return
    say(job.id)
    note(f"The job is on {worker.name} and goes on without this command. Watch it: sleap-rtc jobs watch {job.id}")


def say_link(display: JobDisplay, state: LinkState, reason: str) -> None:
    """Say on the display what became of a link."""
    tell: dict[LinkState, Callable[[], None]] = {
        LinkState.CONNECTED: lambda: None,
        LinkState.LOST: lambda: display.link_lost(reason),
        LinkState.RESTORED: display.link_restored,
    }
    tell[state]()


def say_service(state: ServiceState) -> None:
    """Say that the service is out of reach, for links can do without it."""
    if not state.connected and state.error and not state.final:
        warn(f"{state.error.sentence} The link to the worker does not need it.")


def say_met(met: Met) -> None:
    """Say that a worker was met for the first time, or that a known one is called otherwise."""
    if met.before is None:
        note(
            f"First contact with the worker {met.name} ({met.worker_id}): its key is remembered; compare the id with "
            "the worker's first lines."
        )
    else:
        note(f"The worker {met.worker_id}, known here as {met.before}, is called {met.name} now. Its key is the same.")


def say_met_beside(display: JobDisplay, met: Met) -> None:
    """Say it while a display holds still."""
    with display.paused():
        say_met(met)
