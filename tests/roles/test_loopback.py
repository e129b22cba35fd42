"""Addresses of this machine alone are announced and used only where the service is on this machine, too."""

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sleap_rtc.client.client import Client
from sleap_rtc.config.identity import Identity
from sleap_rtc.config.limits import TransferLimits
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.protocol.sdp import candidates_in
from sleap_rtc.protocol.signaling import Principal, Welcome
from sleap_rtc.session.switchboard import Switchboard
from sleap_rtc.signaling.client import SignalingClient
from sleap_rtc.transport.channel import Peer
from sleap_rtc.transport.engines import Engine
from sleap_rtc.worker.worker import Worker, WorkerSettings
from tests.jobs.fakes import QUICK

TIMES = Timeouts(gathering=0.2, connect=20, close=10)
WELCOME = Welcome(
    principal=Principal(user="u_aaaaaaaa", name="ada", role="client", room="r_aaaaaaaa", session="p_aaaaaaaa"),
    nonce="00" * 32,
)


def peers_of(server: str, engine: Engine, folder: Path, tasks: asyncio.TaskGroup) -> list[Peer]:
    """What a client and a worker of a service would connect with."""
    signaling = SignalingClient(server, "x", timeouts=TIMES)
    signaling._welcome = WELCOME  # as if it had been reached
    client = Client(
        server, signaling, Switchboard(signaling), tasks, engine=engine, timeouts=TIMES, limits=TransferLimits(),
        secrets=lambda server, room: (),
    )  # fmt: skip
    settings = WorkerSettings(
        server, "x", "gpu", Identity(Ed25519PrivateKey.generate()), folder / "jobs", folder / "store", [],
        LocalExecutor(QUICK), engine=engine, timeouts=TIMES,
    )  # fmt: skip
    return [client._new_peer(), Worker(settings)._new_peer(signaling)]


async def announced(peer: Peer) -> list[str]:
    offer = await peer.create_offer()
    return candidates_in(offer) + [candidate.candidate async for candidate in peer.candidates()]


@pytest.mark.parametrize("engine", ["libwebrtc", "aiortc"])
@pytest.mark.parametrize(
    ("server", "alone"),
    [("http://127.0.0.1:8000", True), ("http://localhost", True), ("https://rtc.lab.example", False)],
)
async def test_who_announces_loopback(server: str, alone: bool, engine: Engine, tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        for peer in peers_of(server, engine, tmp_path, tasks):
            async with peer:
                found = [text for text in await announced(peer) if " 127.0.0.1 " in text or " ::1 " in text]
                assert bool(found) is alone
