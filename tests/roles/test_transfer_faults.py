"""Transfers cut by ``kill -9`` at either end, in either direction: nothing is lost, and little is sent twice."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from sleap_rtc.transfer.disk import used_by
from tests.roles.conftest import Lab
from tests.roles.faults import CLOCK_AT, CLOCK_JUMP, DIE_RECEIVED, DIE_SENT
from tests.roles.typing_client import KILLED, MB, MOST_SENT_AGAIN, Typing
from tests.roles.worker_process import MODEL_SIZE

DAY = 24 * 3600
TENTHS = tuple(range(1, 10))
CUTS = [("libwebrtc", 48 * MB, TENTHS), ("aiortc", 8 * MB, (3, 8))]
FEWER_CUTS = [("libwebrtc", 48 * MB, (2, 8)), ("aiortc", 6 * MB, (5,))]
IDS = ["libwebrtc", "aiortc"]


def steps(size: int, tenths: tuple[int, ...]) -> list[int]:
    """Bytes to move until each cut, from the one before on."""
    return [size * (tenth - before) // 10 for before, tenth in pairwise((0, *tenths))]


def the_job(lab: Lab) -> Path:
    (job,) = lab.jobs.glob("j_*")
    return job


def labels_there(lab: Lab) -> bytes:
    return (the_job(lab) / "inputs" / "labels.pkg.slp").read_bytes()


def model_there(lab: Lab) -> bytes:
    return (the_job(lab) / "work" / "models" / "single_instance" / "best.ckpt").read_bytes()


class Costs:
    """Checks after each cut that what was sent is there, but for a little.

    Args:
        store: of the receiving side.
    """

    def __init__(self, store: Path) -> None:
        self._parts = store / "parts"
        self._sent = self._kept = 0

    def check(self, sent: int) -> None:
        """Compare the bytes sent so far with those kept."""
        kept = sum(used_by(path.stat()) for path in self._parts.iterdir())
        # what was sent has frames' heads in it, which nobody keeps: 16 bytes of 64 KiB
        heads = (sent - self._sent) // 1000
        assert sent - self._sent - heads <= kept - self._kept + MOST_SENT_AGAIN
        self._sent, self._kept = sent, kept


@pytest.mark.parametrize(("engine", "size", "tenths"), CUTS, ids=IDS)
async def test_a_client_killed_while_it_uploads_goes_on_when_typed_again(
    lab: Lab, engine: str, size: int, tenths: tuple[int, ...]
) -> None:
    user = Typing(lab, engine)
    await user.start_worker()
    labels = user.package(size)
    costs = Costs(lab.jobs.with_name("store"))
    for step in steps(size, tenths):
        assert (await user.run(**{DIE_SENT: step})).code == KILLED
        costs.check(user.meter.sent)
    command = await user.run()
    assert command.code == 0, command.errors
    last = command.said("upload")[-1]
    assert last["sent"] + last["already"] == last["total"]
    assert last["already"] >= size * tenths[-1] // 10 - len(tenths) * MOST_SENT_AGAIN
    assert user.meter.sent <= size + len(tenths) * MOST_SENT_AGAIN
    assert labels_there(lab) == labels
    assert lab.starts() == ["single_instance"]


@pytest.mark.parametrize(("engine", "size", "tenths"), CUTS, ids=IDS)
async def test_a_client_killed_while_it_downloads_goes_on_when_typed_again(
    lab: Lab, engine: str, size: int, tenths: tuple[int, ...]
) -> None:
    user = Typing(lab, engine)
    await user.start_worker(**{MODEL_SIZE: size})
    user.package(MB)
    costs = Costs(user.folder / "home" / "store")
    for step in steps(size, tenths):
        assert (await user.run(**{DIE_RECEIVED: step})).code == KILLED
        costs.check(user.worker_meter.sent)
        assert not list((user.folder / "models").glob("[!.]*"))  # nothing half is to be seen
    command = await user.run()
    assert command.code == 0, command.errors
    assert user.worker_meter.sent <= size + len(tenths) * MOST_SENT_AGAIN
    assert user.model == model_there(lab)
    assert [path.name for path in (user.folder / "models").iterdir()] == ["single_instance"]
    assert lab.starts() == ["single_instance"]


@pytest.mark.parametrize(("engine", "size", "tenths"), FEWER_CUTS, ids=IDS)
async def test_an_upload_goes_on_by_itself_when_a_killed_worker_is_back(
    lab: Lab, engine: str, size: int, tenths: tuple[int, ...]
) -> None:
    user = Typing(lab, engine)
    first, *others = steps(size, tenths)
    await user.start_worker(**{DIE_RECEIVED: first})
    labels = user.package(size)
    costs = Costs(lab.jobs.with_name("store"))
    async with user.typed() as command:
        for environment in (*({DIE_RECEIVED: step} for step in others), {}):
            assert lab.process
            assert await lab.process.wait() == KILLED
            costs.check(user.meter.sent)
            await user.start_worker(**environment)
        assert await command.ended() == 0, command.errors
    assert len(command.said("link_restored")) == len(tenths)
    assert user.meter.sent <= size + len(tenths) * MOST_SENT_AGAIN
    assert labels_there(lab) == labels
    assert lab.starts() == ["single_instance"]


@pytest.mark.parametrize(("engine", "size", "tenths"), FEWER_CUTS, ids=IDS)
async def test_a_download_goes_on_by_itself_when_a_killed_worker_is_back(
    lab: Lab, engine: str, size: int, tenths: tuple[int, ...]
) -> None:
    user = Typing(lab, engine)
    first, *others = steps(size, tenths)
    await user.start_worker(**{MODEL_SIZE: size, DIE_SENT: first})
    user.package(MB)
    costs = Costs(user.folder / "home" / "store")
    async with user.typed() as command:
        for environment in (*({DIE_SENT: step} for step in others), {}):
            assert lab.process
            assert await lab.process.wait() == KILLED
            costs.check(user.worker_meter.sent)
            await user.start_worker(**environment)
        assert await command.ended() == 0, command.errors
    assert user.worker_meter.sent <= size + len(tenths) * MOST_SENT_AGAIN
    assert user.model == model_there(lab)
    assert lab.starts() == ["single_instance"]


async def test_a_client_that_is_killed_takes_nobody_else_along(lab: Lab) -> None:
    size = 32 * MB
    killed, other = Typing(lab, "libwebrtc", "killed"), Typing(lab, "libwebrtc", "other")
    await other.start_worker()
    labels = {killed.package(size), other.package(size)}
    ends = await asyncio.gather(killed.run(**{DIE_SENT: size // 2}), other.run())
    assert [command.code for command in ends] == [KILLED, 0]
    assert other.meter.sent <= size + MB  # it was not even interrupted
    assert not ends[1].said("link_lost")
    assert (await killed.run()).code == 0
    assert {path.read_bytes() for path in lab.jobs.glob("j_*/inputs/labels.pkg.slp")} == labels


@pytest.mark.parametrize("client_jump", [DAY, -DAY], ids=["forward", "back"])
async def test_clocks_that_jump_by_a_day_cost_nothing(lab: Lab, client_jump: int) -> None:
    size = 8 * MB
    user = Typing(lab, "libwebrtc")
    await user.start_worker(**{MODEL_SIZE: size, CLOCK_JUMP: -client_jump, CLOCK_AT: size // 2})
    labels = user.package(size)
    jump = {CLOCK_JUMP: client_jump, CLOCK_AT: size // 4}
    assert (await user.run(**jump, **{DIE_SENT: size // 2})).code == KILLED
    command = await user.run(**jump)
    assert command.code == 0, command.errors
    assert labels_there(lab) == labels
    assert user.model == model_there(lab)
    assert lab.starts() == ["single_instance"]


async def test_what_another_user_brought_is_not_there_for_whoever_knows_it(lab: Lab) -> None:
    size = 8 * MB
    one, other = Typing(lab, "libwebrtc", "one"), Typing(lab, "libwebrtc", "other")
    await one.start_worker()
    labels = one.package(size)
    assert (await one.run()).code == 0
    await lab.kill_worker()
    # the same disk, but another room, and with it another user
    (lab.folder / "worker-home" / "credentials.json").unlink()
    await other.start_worker()
    other.package(0)
    (other.folder / "package" / "labels.pkg.slp").write_bytes(labels)
    command = await other.run()
    assert command.code == 0, command.errors
    assert command.said("upload")[-1]["already"] == 0
    assert other.meter.sent >= size
