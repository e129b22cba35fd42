"""Clients that do to a worker what no client does, and disks that fill up: others are served on."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from sleap_rtc.errors import ProtocolError, SleapRTCError, StorageError, TransferError, UnreachableError
from sleap_rtc.protocol.files import FileGet, ManifestGet, ManifestRef
from sleap_rtc.protocol.frames import Frame, FrameFlag
from sleap_rtc.protocol.jobs import JobAccepted, JobState, JobSubmit
from sleap_rtc.session.session import Producer, Session
from sleap_rtc.session.streams import SendStream
from sleap_rtc.transfer.provider import Provider
from sleap_rtc.transfer.store import LEAST
from tests.peak_memory import forget_peak, peak_memory
from tests.roles.conftest import Lab
from tests.roles.typing_client import MB
from tests.roles.worker_process import ENGINE

MOST_MEMORY = 32 * MB
JOB = "j_" + "h" * 26


async def nothing(_: Session, message: FileGet, stream: SendStream) -> None:
    await asyncio.Event().wait()


async def garbage(_: Session, message: FileGet, stream: SendStream) -> None:
    await stream.write(os.urandom(message.size))


async def bytes_one_by_one(_: Session, message: FileGet, stream: SendStream) -> None:
    last = message.size - 1
    for at in range(message.size):
        frame = Frame(stream.number, at, b"x", FrameFlag.LAST if at == last else FrameFlag.NONE).pack()
        await stream._streams.send_frames(stream.lane, [frame])
    stream._finished = True


async def frames_without_bytes(_: Session, message: FileGet, stream: SendStream) -> None:
    while True:
        await stream._streams.send_frames(stream.lane, [Frame(stream.number, 0, b"").pack()])


async def attack(lab: Lab, engine: str, producer: Producer) -> None:
    """Submit a job, and answer with `producer` when the worker asks for chunks; raise what comes of it."""
    with closing(await lab.package(size=4 * MB)) as package:

        async def find(transfer: str) -> object:
            return package.offering

        async with lab.join(engine=engine) as worker:  # type: ignore[arg-type]
            session = await worker.link.session()
            session._producers = Provider(find).producers | {FileGet: producer}  # type: ignore[arg-type, operator]
            message = JobSubmit(job=JOB, name="hostile", manifest=ManifestRef.of(package.manifest))
            await session.request(message, JobAccepted, timeout=float("inf"))


async def train_something(lab: Lab) -> None:
    async with lab.join() as worker:
        job = await worker.submit(await lab.package(size=MB))
        assert await job.watch(lambda event: None) is JobState.DONE


async def served_again(lab: Lab) -> None:
    """Train as soon as the worker has dealt with what was sent to it, and is back in its room."""
    async with asyncio.timeout(100):
        while True:
            try:
                return await train_something(lab)
            except UnreachableError:
                await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    ("engine", "producer", "error"),
    [
        ("libwebrtc", nothing, UnreachableError),
        ("libwebrtc", garbage, TransferError),
        ("libwebrtc", bytes_one_by_one, UnreachableError),
        ("libwebrtc", frames_without_bytes, UnreachableError),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_a_client_that_misbehaves_costs_itself_alone(
    lab: Lab, engine: str, producer: Producer, error: type[SleapRTCError]
) -> None:
    await lab.start_worker(environment={ENGINE: engine})
    assert lab.process
    await train_something(lab)  # what is loaded and made at first is not the hostile client's doing
    before = forget_peak(lab.process.pid)
    with pytest.raises(error):
        await attack(lab, engine, producer)
    assert peak_memory(lab.process.pid) <= before + MOST_MEMORY
    await served_again(lab)
    assert len(lab.starts()) == 2


async def test_others_are_served_while_a_client_answers_nothing(lab: Lab) -> None:
    await lab.start_worker()
    attacking = asyncio.ensure_future(attack(lab, "libwebrtc", nothing))
    await train_something(lab)
    with pytest.raises(UnreachableError):
        await attacking
    assert lab.starts() == ["single_instance"]


@pytest.mark.parametrize("size", [2**63, -1])
async def test_a_manifest_of_impossible_sizes_is_refused_before_anything_is_written(lab: Lab, size: int) -> None:
    await lab.start_worker()
    entry = {"path": "labels.pkg.slp", "size": size, "sha256": "0" * 64, "chunks": "0" * 64}
    manifest = json.dumps({"files": [entry]}).encode()

    async def send_manifest(_: Session, message: ManifestGet, stream: SendStream) -> None:
        await stream.write(manifest)

    async with lab.join() as worker:
        session = await worker.link.session()
        session._producers = {ManifestGet: send_manifest}
        reference = ManifestRef(size=len(manifest), digest="0" * 64)
        with pytest.raises(ProtocolError):
            await session.request(JobSubmit(job=JOB, name="hostile", manifest=reference), JobAccepted)
    assert not list(lab.jobs.with_name("store").glob("parts/*"))
    await train_something(lab)


# disks


@pytest.fixture
def small_disk(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """A disk of the worker's own that has 144 MiB more than a transfer leaves free."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={LEAST + 144 * MB}", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    lab.disk = folder
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def leftovers(lab: Lab) -> list[Path]:
    """Files that a job would see though they are not whole."""
    return [path for path in lab.jobs.glob("j_*/inputs/**/*") if path.is_file() and path.name == "labels.pkg.slp"]


async def test_what_does_not_fit_on_the_workers_disk_is_refused_at_once(small_disk: Path, lab: Lab) -> None:
    await lab.start_worker()
    async with lab.join() as worker, asyncio.timeout(30):
        with pytest.raises(StorageError, match="Free some space"):
            await worker.submit(await lab.package(size=80 * MB))
    assert leftovers(lab) == []
    await train_something(lab)


async def test_a_disk_that_fills_up_is_named_and_the_same_package_goes_on_when_there_is_room(
    small_disk: Path, lab: Lab
) -> None:
    await lab.start_worker()
    package = await lab.package(size=60 * MB)
    filler = small_disk / "filler"
    async with lab.join() as worker:

        def fill(sent: int, total: int, already: int) -> None:
            if sent and not filler.exists():
                with filler.open("wb", buffering=0) as file, suppress(OSError):
                    while file.write(bytes(MB)):
                        pass

        with pytest.raises(StorageError, match="Free some space"):
            async with asyncio.timeout(30):
                await worker.submit(package, on_bytes=fill)
        assert leftovers(lab) == []
        filler.unlink()
        already: list[int] = []
        job = await worker.submit(package, on_bytes=lambda sent, total, here: already.append(here))
        assert max(already) > 0
        assert await job.watch(lambda event: None) is JobState.DONE
    assert len(list(lab.jobs.glob("j_*"))) == 1
