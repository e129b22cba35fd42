"""A real worker with real times whose trainer only pretends, so that a bench measures what comes before training.

Run as ``python -m tests.bench.worker_process SERVER FOLDER ENGINE``; prints its session string, and for every line it
reads ``{"received"}``: the bytes that have come over the lanes of all its links.
"""

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from sleap_rtc.cli.running import run_async
from sleap_rtc.config.identity import load_identity
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.gpus import Gpu
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.session import session as session_module
from sleap_rtc.session.lanes import Lanes
from sleap_rtc.signaling.client import ServiceState
from sleap_rtc.transport.engines import Engine, preload
from sleap_rtc.worker.enrolment import find_or_make_session, session_string
from sleap_rtc.worker.worker import Worker, WorkerSettings
from tests.jobs.fakes import FAKE

JOBS, STORE = "jobs", "store"


def count_lanes() -> Callable[[], int]:
    """Keep the lanes of all links that this process makes from now on, to count what comes over them.

    Returns:
        What counts: bytes so far, those of lists and of frame headers included.
    """
    kept: list[Lanes] = []

    class KeptLanes(Lanes):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            kept.append(self)

    vars(session_module)["Lanes"] = KeptLanes
    return lambda: sum(lanes.received for lanes in kept)


def answer(received: Callable[[], int]) -> None:
    """Say how much was received, once for every line of stdin."""
    for _ in sys.stdin:
        _print(json.dumps({"received": received()}))


def _print(line: str) -> None:
    # in one piece: the session string and the answers come from different threads
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(server: str, folder: Path, engine: Engine) -> None:
    """Serve until killed."""
    await asyncio.to_thread(preload, engine)
    identity = load_identity()
    session = await find_or_make_session(server, "bench")
    runner = (sys.executable, str(FAKE), "--behaviour", "good", "--ledger", str(folder / "ledger.txt"))
    settings = WorkerSettings(
        server=server,
        token=session.worker_token,
        name="bench",
        identity=identity,
        jobs=folder / JOBS,
        store=folder / STORE,
        gpus=[Gpu("Bench GPU", 4096, "GPU-0")],
        executor=LocalExecutor(SupervisorSettings(runner=runner)),
        engine=engine,
    )

    def say(state: ServiceState) -> None:
        if state.connected:
            _print(session_string(server, session, identity))

    await Worker(settings, on_service=say).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    threading.Thread(target=answer, args=(count_lanes(),), daemon=True).start()
    run_async(main(sys.argv[1], Path(sys.argv[2]), cast(Engine, sys.argv[3])))
