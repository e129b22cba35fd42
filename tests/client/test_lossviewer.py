"""The bridge to SLEAP's monitor, on real sockets: bound as the monitor binds them, decoded as it decodes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import zmq

from sleap_rtc.client.lossviewer import MonitorPorts, monitored
from sleap_rtc.client.trainer_messages import TrainerMessages
from sleap_rtc.errors import UnreachableError, UsageError
from sleap_rtc.protocol.jobs import Event
from tests.client.monitors import STOP, BoundMonitor, decoded, open_monitor
from tests.client.training_events import numbered, whole_training

TRAINING = numbered(*whole_training())
HELLO = b"hello, is anybody there?"
HOSTILE = (
    b"",
    b"\xff\xfe",
    b"stop",
    b'"stop"',
    b"[" * 4000,
    b"1" * 4000,
    b'{"command": "STOP"}',
    b'{"command": ["stop"]}',
    b'["command", "stop"]',
    b'{"py/reduce": [{"py/function": "os._exit"}, {"py/tuple": [1]}]}',
    b'{"command": {"py/reduce": [{"py/function": "os._exit"}, {"py/tuple": [1]}]}}',
    b'{"command": "set_lr", "lr": 1}',
)


class User:
    """Who watches the job."""

    def __init__(self) -> None:
        self.stops = 0
        self.stopped = asyncio.Event()
        self.heard: list[str] = []
        self.told = asyncio.Event()

    async def stop(self) -> None:
        self.stops += 1
        self.stopped.set()

    def say(self, text: str) -> None:
        self.heard.append(text)
        self.told.set()


@asynccontextmanager
async def bridged(monitor: BoundMonitor, user: User, **ports: int | None) -> AsyncIterator[Callable[[Event], None]]:
    both = {"publish": monitor.publish, "controller": monitor.controller} | ports
    async with monitored(MonitorPorts(**both), user.stop, user.say, patience=60) as show:
        yield show


def shown(events: list[Event]) -> list[dict[str, Any]]:
    messages = TrainerMessages()
    return [decoded(message.text) for event in events for message in messages.of(event)]


def free_ports() -> tuple[int, int]:
    with zmq.Context() as context, context.socket(zmq.SUB) as one, context.socket(zmq.PUB) as other:
        return one.bind_to_random_port("tcp://127.0.0.1"), other.bind_to_random_port("tcp://127.0.0.1")


async def test_an_open_monitor_is_told_all_in_order_and_once() -> None:
    user = User()
    async with open_monitor() as monitor:
        async with bridged(monitor, user) as show:
            for event in TRAINING:
                show(event)
                # one by one, as in a training that is watched while it runs
                count = len(shown(TRAINING[: event.seq]))
                while len(monitor.messages) < count:
                    await monitor.next()
        assert monitor.messages == shown(TRAINING)
    assert user.heard == []


async def test_a_training_that_is_over_already_is_told_though_the_watch_ends_at_once() -> None:
    async with open_monitor() as monitor:
        # a socket subscribes when its owner listens, which a monitor does all the time
        listening = asyncio.ensure_future(monitor.until_end())
        async with bridged(monitor, User()) as show:
            for event in TRAINING:
                show(event)
        names = [message["event"] for message in await listening]
    assert names[0] == "train_begin"
    assert names.count("epoch_end") == 2


async def test_a_monitor_that_comes_late_or_again_is_told_from_the_beginning() -> None:
    publish, controller = free_ports()
    user = User()
    ports = MonitorPorts(publish, controller)
    so_far, rest = TRAINING[:7], TRAINING[7:]
    # of the epoch that is over its last step is kept
    kept = [message for message in shown(so_far) if message.get("batch") != 0 or message.get("epoch") == 1]
    async with monitored(ports, user.stop, user.say, patience=0.1) as show:
        for event in so_far:
            show(event)
        await user.told.wait()
        for _ in range(2):
            async with open_monitor(publish, controller) as monitor:
                assert await monitor.until(lambda message: message.get("epoch") == 1 and "batch" in message) == kept
        async with open_monitor(publish, controller) as monitor:
            await monitor.until(lambda message: message.get("epoch") == 1 and "batch" in message)
            for event in rest:
                show(event)
            assert await monitor.until_end() == kept + shown(TRAINING)[len(shown(so_far)) :]
    (text,) = user.heard
    assert text.startswith(f"Nothing listens on ports {publish} and {controller} yet.")


@pytest.fixture
def ignored(caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
    """How many messages the bridge heard and did not obey, beside the greetings of `greeted`."""
    caplog.set_level(logging.DEBUG, logger="sleap_rtc.client.lossviewer")
    return lambda: sum(f"ignored {len(HELLO)} bytes" not in record.getMessage() for record in caplog.records)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - a log tells nobody that it grew
            await asyncio.sleep(0.01)


async def greeted(monitor: BoundMonitor, caplog: pytest.LogCaptureFixture) -> None:
    """Say hello until the bridge hears it: what is said from now on arrives."""
    async with asyncio.timeout(60):
        while not caplog.records:
            await monitor.say(HELLO)
            await asyncio.sleep(0.01)


async def test_stop_is_obeyed_once_and_nothing_else_is(
    caplog: pytest.LogCaptureFixture, ignored: Callable[[], int]
) -> None:
    user = User()
    async with open_monitor() as monitor, bridged(monitor, user, publish=None):
        await greeted(monitor, caplog)
        for text in HOSTILE:
            await monitor.say(text)
        await monitor.say(b'{"command":', b'"stop"}')
        await until(lambda: ignored() == len(HOSTILE) + 1)
        assert not user.stopped.is_set()
        await monitor.stop()
        await user.stopped.wait()
        await monitor.stop()
        await monitor.say(HOSTILE[0])
        await until(lambda: ignored() == len(HOSTILE) + 2)
    assert user.stops == 1


async def test_what_is_too_large_is_not_read_and_a_stop_after_it_is_obeyed(
    caplog: pytest.LogCaptureFixture, ignored: Callable[[], int]
) -> None:
    user = User()
    async with open_monitor() as monitor, bridged(monitor, user, publish=None):
        await greeted(monitor, caplog)
        await monitor.say(b'{"command": "stop", "x": "' + b"x" * 100_000 + b'"}')
        await until(lambda: ignored() == 1 or user.stopped.is_set())
        assert not user.stopped.is_set()
        await monitor.stop()
        await user.stopped.wait()


async def test_a_stop_that_does_not_reach_the_worker_is_explained() -> None:
    class Away(User):
        async def stop(self) -> None:
            raise UnreachableError("The worker is gone.")

    user = Away()
    async with open_monitor() as monitor, bridged(monitor, user, publish=None):
        await monitor.say_until(STOP, user.told)
    assert user.heard == ["SLEAP's monitor asked to stop the training, but: The worker is gone."]


@pytest.mark.parametrize("used", [0, 1])
async def test_either_port_alone_is_enough(used: int) -> None:
    port = free_ports()[used]
    user = User()
    ports = MonitorPorts(**{("publish", "controller")[used]: port})
    async with monitored(ports, user.stop, user.say, patience=0.1) as show:
        for event in TRAINING:
            show(event)
        await user.told.wait()
    assert user.heard[0].startswith(f"Nothing listens on port {port} yet.")


async def test_without_ports_there_is_no_bridge() -> None:
    user = User()
    async with monitored(MonitorPorts(), user.stop, user.say) as show:
        show(TRAINING[0])
    assert user.heard == []


def test_one_port_cannot_be_both() -> None:
    with pytest.raises(UsageError, match="both 9000"):
        MonitorPorts(9000, 9000)
