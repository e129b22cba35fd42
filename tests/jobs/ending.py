"""Ending whatever a worker of a test has left running."""

from contextlib import suppress
from pathlib import Path

import psutil

from sleap_rtc.jobs.processes import kill_job


def end_jobs(jobs: Path) -> None:
    """Kill the supervisors of all jobs below a folder, and all that they started.

    They are known by their command lines: one that is only starting has written nothing down yet.
    """
    for process in psutil.process_iter(["cmdline"]):
        if any(word.startswith(f"{jobs}/") for word in process.info["cmdline"] or ()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait(5)
    for folder in jobs.glob("j_*"):
        kill_job(folder)
