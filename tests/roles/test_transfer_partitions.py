"""Uploads over a network that drops datagrams: all of them for a while, those of one lane, or some at random."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sleap_rtc.client import client
from sleap_rtc.client.link import LinkState
from sleap_rtc.session.lanes import Lanes
from sleap_rtc.session.session import Session
from sleap_rtc.transport import engines
from sleap_rtc.transport.channel import Peer
from tests.bench.proxied import ProxiedPeer
from tests.bench.proxy_control import ProxyControl, running_proxy
from tests.bench.wire import Network
from tests.roles.conftest import Lab
from tests.roles.faults import METER, Counters, Faults
from tests.roles.times import TIMEOUTS
from tests.roles.typing_client import MB, MOST_SENT_AGAIN
from tests.roles.worker_process import DEAD, ENGINE

ENGINES = ["libwebrtc", "aiortc"]
SIZE = {"libwebrtc": 24 * MB, "aiortc": 4 * MB}
SHORT = 0.6
"""Seconds of a partition that a link bears."""
PATIENT = replace(TIMEOUTS, dead=5.0)
# aioice leaves sockets to the collector when a lane that is being made is cancelled
PARTITIONS = pytest.mark.parametrize(
    ("engine", "way"),
    [("libwebrtc", None), ("libwebrtc", "up"), ("libwebrtc", "down"), ("aiortc", None)],
    ids=["libwebrtc", "libwebrtc to the worker", "libwebrtc to the client", "aiortc"],
)


class Proxy(ProxyControl):
    """The proxy between a client of this process and its worker.

    Attributes:
        ports: those that connections go through, the control connection's first.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.ports: list[int] = []

    def open(self, host: str, port: int) -> int:
        self.ports.append(super().open(host, port))
        return self.ports[-1]


class Uploading:
    """An upload from this process, through a proxy."""

    def __init__(self, lab: Lab, proxy: Proxy, counters: Counters) -> None:
        self._lab = lab
        self._counters = counters
        self.proxy = proxy
        self.links: list[LinkState] = []
        self.lost = asyncio.Event()
        self._begun = asyncio.Event()

    async def run(
        self, engine: str, meanwhile: Callable[[], Awaitable[None]] | None = None, *, patient: bool = False
    ) -> None:
        """Upload a package, and let something happen when some of it is there; in the end all is, and one job."""
        timeouts = PATIENT if patient else TIMEOUTS
        await self._lab.start_worker(environment={ENGINE: engine, DEAD: str(timeouts.dead)})
        package = await self._lab.package(size=SIZE[engine])
        async with self._lab.join(self._state, engine=engine, timeouts=timeouts) as worker:  # type: ignore[arg-type]
            async with asyncio.TaskGroup() as tasks:
                submitting = tasks.create_task(worker.submit(package, on_bytes=self._count))
                await self._begun.wait()
                if meanwhile:
                    await meanwhile()
            job = submitting.result()
            await job.watch(lambda event: None)
        arrived = (self._lab.jobs / job.id / "inputs" / "labels.pkg.slp").read_bytes()
        assert arrived == (self._lab.folder / "package" / "labels.pkg.slp").read_bytes()
        assert self._lab.starts() == ["single_instance"]
        assert self._counters.sent <= SIZE[engine] + MOST_SENT_AGAIN

    def _state(self, state: LinkState, _: str) -> None:
        self.links.append(state)
        if state is LinkState.LOST:
            self.lost.set()

    def _count(self, sent: int, total: int, already: int) -> None:
        if sent > total / 8:
            self._begun.set()


@pytest.fixture
def uploading(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Uploading]:
    with running_proxy() as control:
        proxy = Proxy(control.address)

        def new_peer(*arguments: object, **options: object) -> Peer:
            return ProxiedPeer(engines.new_peer(*arguments, **options), proxy)  # type: ignore[arg-type]

        monkeypatch.setattr(client, "new_peer", new_peer)
        for kind, name in ((Lanes, "send"), (Session, "take_frame")):
            monkeypatch.setattr(kind, name, getattr(kind, name))  # to be put back
        Faults({METER: str(tmp_path / "meter")}).install()
        yield Uploading(lab, proxy, Counters(tmp_path / "meter"))
        proxy.close()


@PARTITIONS
async def test_a_short_partition_leaves_the_link_as_it_is(uploading: Uploading, engine: str, way: str | None) -> None:
    async def part() -> None:
        uploading.proxy.change(way, blocked=True)
        await asyncio.sleep(SHORT)  # it is about how long it takes
        uploading.proxy.change(way, blocked=False)

    await uploading.run(engine, part, patient=True)
    assert uploading.links == [LinkState.CONNECTED]
    assert _blocked(uploading.proxy)


@PARTITIONS
async def test_a_long_partition_costs_the_link_and_next_to_no_bytes(
    uploading: Uploading, engine: str, way: str | None
) -> None:
    async def part() -> None:
        uploading.proxy.change(way, blocked=True)
        await uploading.lost.wait()
        uploading.proxy.change(way, blocked=False)

    await uploading.run(engine, part)
    assert uploading.links[:3] == [LinkState.CONNECTED, LinkState.LOST, LinkState.RESTORED]


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_lane_that_falls_silent_alone_is_replaced(uploading: Uploading, engine: str) -> None:
    async def cut() -> None:
        _, *lanes = uploading.proxy.ports
        for port in lanes:
            uploading.proxy.cut(port)

    await uploading.run(engine, cut)
    assert uploading.links == [LinkState.CONNECTED]


@pytest.mark.parametrize("engine", ENGINES)
async def test_loss_and_delay_change_no_byte(
    uploading: Uploading, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIZE, engine, MB)
    bad = Network(delay=0.01, loss=0.01)
    uploading.proxy.change(delay=bad.delay, loss=bad.loss)
    await uploading.run(engine, patient=True)
    assert uploading.links == [LinkState.CONNECTED]


def _blocked(proxy: Proxy) -> int:
    return sum(counters.get("dropped_blocked", 0) for counters in proxy.counters().values())
