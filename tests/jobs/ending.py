"""Ending whatever a worker of a test has left running."""

import os
from contextlib import suppress
from pathlib import Path

import psutil

from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.processes import kill_job, start_time


def end_jobs(jobs: Path) -> None:
    """Kill the supervisors of all jobs below a folder, and all that they started.

    They are known by their command lines, for one that is only starting has written nothing down yet, and by what they
    wrote down, for a warm one was told its job when it ran already.
    """
    for process in psutil.process_iter(["cmdline"]):
        if any(word.startswith(f"{jobs}/") for word in process.info["cmdline"] or ()):
            _kill(process)
    for folder in jobs.glob("j_*"):
        record = JobFolder(folder).supervisor()
        # some tests write down processes that never were, under the number of one that is
        if (
            record is not None
            and abs((start_time(record.pid) or 0.0) - record.started) < 1.0
            and record.pid != os.getpid()
        ):
            with suppress(psutil.NoSuchProcess):
                _kill(psutil.Process(record.pid))
        kill_job(folder)


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()
        process.wait(5)
