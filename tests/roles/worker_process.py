"""A worker in a process of its own whose trainer only pretends; killed and started again by tests.

Run as ``python -m tests.roles.worker_process SERVER JOBS BEHAVIOUR LEDGER``; prints its session string. Its
environment may name the worker, its machine, the token of a room with members, that room's secret, an engine, how many
GPUs there are and what model they are of, the size of the models that its trainer leaves, the silence after which a
link is dead, whether jobs may report to Weights & Biases, whether it ends as ``sleap-rtc worker`` does on Ctrl-C, with
or without ``--drain``, and the faults of `faults`.
"""

import asyncio
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

from sleap_rtc.cli.serving import run_until_interrupted
from sleap_rtc.config.identity import load_identity
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.gpus import Gpu
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.signaling.client import ServiceState
from sleap_rtc.transport.engines import Engine
from sleap_rtc.worker.enrolment import find_or_make_session, session_string
from sleap_rtc.worker.worker import Worker, WorkerSettings
from tests.jobs.fakes import FAKE, QUICK
from tests.roles import faults
from tests.roles.times import TIMEOUTS as TIMEOUTS

ENGINE, MODEL_SIZE, DEAD = "SLEAP_RTC_TEST_ENGINE", "SLEAP_RTC_TEST_MODEL_SIZE", "SLEAP_RTC_TEST_DEAD"
GPUS, GPU = "SLEAP_RTC_TEST_GPUS", "SLEAP_RTC_TEST_GPU"
NAME, HOST = "SLEAP_RTC_TEST_NAME", "SLEAP_RTC_TEST_HOST"
TOKEN = "SLEAP_RTC_TEST_TOKEN"
SECRET = "SLEAP_RTC_TEST_SECRET"
DRAIN = "SLEAP_RTC_TEST_DRAIN"
ALLOW_WANDB = "SLEAP_RTC_TEST_ALLOW_WANDB"


async def main(server: str, jobs: str, behaviour: str, ledger: str) -> None:
    identity = load_identity()
    session = await find_or_make_session(server, "test-gpu")
    size = os.environ.get(MODEL_SIZE, "0")
    name, memory = os.environ.get(GPU, "Test GPU:4096").split(":")
    runner = (sys.executable, str(FAKE), "--behaviour", behaviour, "--ledger", ledger, "--model-size", size)
    settings = WorkerSettings(
        server=server,
        token=os.environ.get(TOKEN, session.worker_token),
        name=os.environ.get(NAME, "test-gpu"),
        identity=identity,
        jobs=Path(jobs),
        store=Path(jobs).with_name("store"),
        gpus=[Gpu(name, int(memory), f"GPU-{number}") for number in range(int(os.environ.get(GPUS, "1")))],
        executor=LocalExecutor(replace(QUICK, runner=runner)),
        allow_wandb=os.environ.get(ALLOW_WANDB) == "yes",
        engine=cast(Engine, os.environ.get(ENGINE, "auto")),
        timeouts=replace(TIMEOUTS, dead=float(os.environ.get(DEAD, TIMEOUTS.dead))),
    )

    if host := os.environ.get(HOST):
        vars(socket)["gethostname"] = lambda: host
    if text := os.environ.get(SECRET):
        settings = replace(settings, secrets=lambda: (RoomSecret.parse(text),))

    def say(state: ServiceState) -> None:
        if state.connected:
            sys.stdout.write(session_string(server, session, identity) + "\n")
            sys.stdout.flush()

    worker = Worker(settings, on_service=say)
    drain = os.environ.get(DRAIN)
    await (worker.run() if drain is None else run_until_interrupted(worker, drain=drain == "yes"))


if __name__ == "__main__":
    faults.install()
    asyncio.run(main(*sys.argv[1:]))
