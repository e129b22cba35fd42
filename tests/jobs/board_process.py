"""A worker's jobs without the worker around them, in a process that ends itself by ``kill -9`` in a given state.

Run as ``python -m tests.jobs.board_process ROOT SETTINGS PACKAGE cold|warm STATE``: it submits the package as the job
`JOB`, runs it, and dies as soon as the job is in that state, or over, if the state is ``ended``.
"""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

from sleap_rtc.jobs.events import EventReader
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.folder import JobFolder, StateRecord
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.jobs import StateChanged
from tests.jobs.conftest import eventually, new_board, submit

JOB = "j_12345678"
ENDED = "ended"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_when_written(state: str) -> None:
    """Die as soon as this process has written a state down."""
    write = JobFolder.write_state

    def write_and_die(folder: JobFolder, record: StateRecord) -> None:
        write(folder, record)
        # of a new job the folder has another name until it is whole
        if record.state == state and folder.job == JOB:
            die()

    JobFolder.write_state = write_and_die  # type: ignore[method-assign, assignment]


def die_when_read(folder: JobFolder, state: str) -> None:
    """Die as soon as a supervisor has journaled a state."""
    reader = EventReader(folder.events)
    while True:
        for event in reader.read():
            body = event.body
            if isinstance(body, StateChanged) and (body.state == state or (state == ENDED and body.state.ended)):
                die()


async def main(root: str, settings: str, package: str, warm: str, state: str) -> None:
    folder = JobFolder(Path(root, JOB))
    board = new_board(Path(root), SupervisorSettings.from_json(settings), warm=warm == "warm")
    die_when_written(state)
    running = asyncio.create_task(board.run())
    executor = board._schedule._executor
    assert isinstance(executor, LocalExecutor)
    if executor._warm:
        pool = executor._warm
        await eventually(lambda: bool(pool._waiting))
    threading.Thread(target=die_when_read, args=(folder, state), daemon=True).start()
    await submit(board, Path(package), JOB)  # in the state "received" the thread ends it while the files come
    await running


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
