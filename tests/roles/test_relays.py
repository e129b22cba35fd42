"""Worker and client through the service's relay: its credentials open it, and where there is none it is said."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling_server.signaling.turn import Relays
from sleap_rtc.client.client import Client
from sleap_rtc.client.remote import RemoteWorker
from sleap_rtc.config.identity import Identity
from sleap_rtc.config.limits import TransferLimits
from sleap_rtc.errors import UnreachableError
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.protocol.signaling import IceServers
from sleap_rtc.signaling.account import Account
from sleap_rtc.transport.engines import Engine
from sleap_rtc.transport.paths import NetworkPath
from sleap_rtc.worker.worker import Worker, WorkerSettings
from tests.cli.room_lab import RoomLab, room_lab
from tests.coturn import Coturn, coturn
from tests.jobs.fakes import QUICK
from tests.roles.times import TIMEOUTS

RELAYED = TransferLimits(relay_only=True)
NOWHERE = {"urls": ["turn:127.0.0.1:9"], "username": "1:u", "credential": "c"}


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    with coturn(tmp_path_factory.mktemp("coturn")) as running:
        yield running


@asynccontextmanager
async def lab_with(relay: Coturn, folder: Path, *carriers: str) -> AsyncIterator[RoomLab]:
    urls = [relay.url(carrier) for carrier in carriers]
    async with room_lab(folder, turn_urls=urls, turn_secret=relay.secret) as lab:
        yield lab


@asynccontextmanager
async def at_work(lab: RoomLab, limits: TransferLimits, engine: Engine = "auto") -> AsyncIterator[RemoteWorker]:
    account = Account(lab.service.url)
    async with Client.join(
        lab.service.url, account, room=lab.room.room_id, engine=engine, timeouts=TIMEOUTS, limits=limits
    ) as client:
        [present] = await client.workers()
        async with client.dial(present.worker_id) as worker:
            yield worker


@pytest.mark.parametrize("engine", ["libwebrtc", "aiortc"])
async def test_a_worker_is_reached_with_the_credentials_of_the_service(
    relay: Coturn, tmp_path: Path, engine: Engine
) -> None:
    met: list[NetworkPath | None] = []
    async with (
        lab_with(relay, tmp_path, "udp", "tcp") as lab,
        lab.worker("gpu", 8, on_path=met.append),
        at_work(lab, RELAYED, engine) as worker,
    ):
        assert await worker.jobs() == []
        path = await worker.link.path()
        assert path is not None
        assert path.local == "relay"
    assert [path.way for path in met if path] == ["relay"]


async def test_who_may_use_relays_alone_ends_where_there_is_none(tmp_path: Path) -> None:
    async with room_lab(tmp_path) as lab:
        async with lab.worker("gpu", 8):
            with pytest.raises(UnreachableError, match="names none to this user"):
                async with at_work(lab, RELAYED):
                    pass
        settings = WorkerSettings(
            lab.service.url, lab.token, "gpu-2", Identity(Ed25519PrivateKey.generate()), tmp_path / "jobs",
            tmp_path / "store", [], LocalExecutor(QUICK), limits=RELAYED, timeouts=TIMEOUTS,
        )  # fmt: skip
        with pytest.raises(UnreachableError, match="names none to this user"):
            await Worker(settings).run()


async def test_a_worker_that_lost_its_relay_says_so_to_whoever_dials(tmp_path: Path) -> None:
    async with room_lab(tmp_path, ice_servers=[NOWHERE]) as lab, lab.worker("gpu", 8, limits=RELAYED):
        service = lab.service.service
        service.relays = Relays()
        [worker] = service.hub._workers[lab.room.room_id].values()  # type: ignore[attr-defined]
        worker.send(IceServers(ice_servers=[]))
        with pytest.raises(UnreachableError, match="names none to this user"):
            async with at_work(lab, TransferLimits()):
                pass
