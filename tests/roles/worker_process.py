"""A worker in a process of its own whose trainer only pretends; killed and started again by tests.

Run as ``python -m tests.roles.worker_process SERVER JOBS BEHAVIOUR LEDGER``; prints its session string.
"""

import asyncio
import sys
from pathlib import Path

from sleap_rtc.config.identity import load_identity
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.gpus import Gpu
from sleap_rtc.signaling.client import ServiceState
from sleap_rtc.worker.enrolment import find_or_make_session, session_string
from sleap_rtc.worker.worker import Worker, WorkerSettings
from tests.jobs.conftest import FAKE, QUICK

TIMEOUTS = Timeouts(keepalive=0.2, dead=1.5, reconnect_first=0.05, reconnect_most=0.5, bye=0.5)


async def main(server: str, jobs: str, behaviour: str, ledger: str) -> None:
    identity = load_identity()
    session = await find_or_make_session(server, "test-gpu")
    runner = (sys.executable, str(FAKE), "--behaviour", behaviour, "--ledger", ledger)
    settings = WorkerSettings(
        server=server,
        token=session.worker_token,
        name="test-gpu",
        identity=identity,
        jobs=Path(jobs),
        gpus=[Gpu("Test GPU", 4096, "GPU-0")],
        executor=LocalExecutor(QUICK.__class__(**(QUICK.__dict__ | {"runner": runner}))),
        timeouts=TIMEOUTS,
    )

    def say(state: ServiceState) -> None:
        if state.connected:
            sys.stdout.write(session_string(server, session, identity) + "\n")
            sys.stdout.flush()

    await Worker(settings, on_service=say).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
