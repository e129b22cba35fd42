"""A client that uploads a package as fast as it can, and asks its worker something small all the while.

Run as ``python -m tests.bench.control_process STRING SMALL BIG ENGINE [PROXY]``: the worker's session string, a
package whose job is asked about, and the package to upload. Prints ``{"seconds", "waits"}``: the upload's time, and
for every question that from when it was due to its answer.

The questions keep to a schedule, whatever became of those before them: were each asked only after the answer to the
last, a stall would count as one slow answer, however many it kept waiting.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

ASK_EVERY = 0.05
MAX_ASKED = 60
"""Questions that are asked and not answered yet: a worker refuses more than a few beyond them."""


async def ask_during(uploading: "asyncio.Future[Any]", ask: Callable[[], Awaitable[object]]) -> list[float]:
    """Ask every `ASK_EVERY` seconds until the upload is done.

    Args:
        uploading: the upload.
        ask: asks once, and returns with the answer.

    Returns:
        Seconds from when each question was due to its answer, those it had to wait for its turn included.

    Raises:
        Exception: what the first question that failed raised.
    """
    waits: list[float] = []
    turn = asyncio.Semaphore(MAX_ASKED)

    async def ask_once(due: float) -> None:
        async with turn:
            await ask()
        waits.append(time.perf_counter() - due)

    due = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as asking:
            # those that a stall of this very process kept from being asked in time are made up for, late as they are
            while not uploading.done() or due <= time.perf_counter():
                asking.create_task(ask_once(due))
                due += ASK_EVERY
                await asyncio.wait({uploading}, timeout=max(0.0, due - time.perf_counter()))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return waits


async def main(string: str, small: Path, big: Path, engine: str) -> None:
    """Upload, ask, print."""
    from sleap_rtc.cli.running import beside
    from sleap_rtc.client.client import join_session
    from sleap_rtc.client.package import open_package
    from sleap_rtc.protocol.jobs import JobAccepted, JobShow
    from sleap_rtc.transport.engines import Engine, preload

    await asyncio.to_thread(preload, cast(Engine, engine))
    package = await open_package(big)
    async with join_session(string, default_server="http://127.0.0.1:1", engine=cast(Engine, engine)) as (worker, _):
        job = await worker.submit(await open_package(small), new=True)

        async def upload() -> float:
            began = time.perf_counter()
            await worker.submit(package, new=True)
            return time.perf_counter() - began

        async def ask() -> None:
            await worker.link.call(lambda session: session.request(JobShow(job=job.id), JobAccepted))

        async with beside(upload()) as uploading:
            waits = await ask_during(uploading, ask)
            seconds = await uploading
    sys.stdout.write(json.dumps({"seconds": seconds, "waits": waits}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[5:]:
        from tests.bench.client_process import use_proxy

        use_proxy(sys.argv[5])
    from sleap_rtc.cli.running import run_async

    run_async(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
