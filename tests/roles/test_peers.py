"""Two workers of one room: the one fetches a model from the other, and nothing else."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sleap_rtc.config.identity import Identity
from sleap_rtc.errors import (
    AuthenticationError,
    ConnectionLost,
    ForbiddenError,
    NotFoundError,
    ProtocolError,
    SleapRTCError,
    TransferError,
    UnreachableError,
)
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.protocol.files import Manifest, ManifestGet
from sleap_rtc.protocol.jobs import JobList, JobListed
from sleap_rtc.protocol.link import Done
from sleap_rtc.protocol.models import RECORD, bundle_digest
from sleap_rtc.protocol.mounts import MountList, MountListed
from sleap_rtc.protocol.peers import PeerProve, peer_text
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.session.link import dial
from sleap_rtc.session.reading import read_whole
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.bundle_fetch import bundle_transfer, fetch_bundle
from sleap_rtc.transfer.fetch import Target
from sleap_rtc.transfer.offering import Offering, make_offering
from sleap_rtc.transfer.source import Source, folder_source
from sleap_rtc.transfer.store import Store
from sleap_rtc.worker.peers import FindModel, Peers, no_models
from sleap_rtc.worker.worker import Worker, WorkerSettings
from tests.jobs.fakes import QUICK
from tests.roles.times import TIMEOUTS
from tests.service.people import dev_service, person
from tests.service.running import RunningService

ROOM_SECRET = RoomSecret.make(bytes(range(32)), 1_800_000_000)


def key(seed: int) -> Identity:
    return Identity(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def make_bundle(folder: Path, size: int = 3_000_000) -> str:
    """The files of a model; its digest."""
    (folder / "centroid").mkdir(parents=True)
    (folder / "centroid" / "best.ckpt").write_bytes(os.urandom(size))
    (folder / "centroid" / "training_config.yaml").write_text("a: 1\n")
    (folder / RECORD).write_text("{}")
    return digest_of(folder)


def digest_of(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return bundle_digest(
        (path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass
class Bench:
    """A service and a room; workers come and go."""

    service: RunningService
    folder: Path
    room: str
    token: str
    sources: list[Source] = field(default_factory=list)

    def holds(self, folder: Path, digest: str) -> FindModel:
        """What a worker of one model finds: as it is on its disk when it is asked."""

        async def find(room: str, transfer: str) -> Offering:
            if (room, transfer) != (self.room, bundle_transfer(digest)):
                return await no_models(room, transfer)
            self.sources.append(folder_source(folder))
            return await make_offering(self.sources[-1])

        return find

    @asynccontextmanager
    async def worker(
        self,
        seed: int,
        find: FindModel = no_models,
        secrets: Callable[[], tuple[RoomSecret, ...]] = lambda: (),
    ) -> AsyncIterator[Peers]:
        """A worker at work, and its way to the others."""
        settings = WorkerSettings(
            server=self.service.url,
            token=self.token,
            name=f"gpu-{seed}",
            identity=key(seed),
            jobs=self.folder / f"{seed}" / "jobs",
            store=self.folder / f"{seed}" / "store",
            gpus=[],
            executor=LocalExecutor(QUICK),
            timeouts=TIMEOUTS,
            secrets=secrets,
        )
        there = asyncio.Event()
        made = Worker(settings, on_service=lambda state: there.set() if state.connected else None, find_model=find)
        running = asyncio.create_task(made.run())
        try:
            async with asyncio.timeout(30):
                await there.wait()
            assert made.peers is not None
            yield made.peers
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    @asynccontextmanager
    async def target(self) -> AsyncIterator[Target]:
        store = await asyncio.to_thread(Store, self.folder / "fetched" / "store")
        try:
            yield Target(store, "r_lab/models", self.folder / "fetched" / "files")
        finally:
            await asyncio.to_thread(store.close)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(dev_service(tmp_path))
        owner = await person(service, "ada")
        room = await owner.room()
        found = Bench(service, tmp_path, room.room_id, (await owner.worker_token(room)).token)
        yield found
        for source in found.sources:
            source.close()


async def test_a_worker_fetches_a_model_from_another_byte_by_byte(bench: Bench) -> None:
    digest = make_bundle(bench.folder / "model")
    find = bench.holds(bench.folder / "model", digest)
    async with bench.worker(1, find), bench.worker(2) as peers, bench.target() as target:
        async with peers.dial(key(1).worker_id) as session:
            await fetch_bundle(session, digest, target)
        assert content(target.folder) == content(bench.folder / "model")


Change = Callable[[Path], Callable[[], object]]


def adds(path: str) -> Change:
    """Somebody who puts another file into a model; returns how to take it away again."""

    def change(model: Path) -> Callable[[], object]:
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_bytes(b"x")
        return (model / path).unlink

    return change


def takes(path: str) -> Change:
    """Somebody who takes a file out of a model."""

    def change(model: Path) -> Callable[[], object]:
        kept = (model / path).rename(model.with_name("kept"))
        return lambda: kept.rename(model / path)

    return change


def tampers(model: Path) -> Callable[[], object]:
    """Somebody who changes a byte of the weights."""
    best = model / "centroid" / "best.ckpt"
    before = best.read_bytes()
    best.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    return lambda: best.write_bytes(before)


CHANGES: tuple[tuple[Change, type[SleapRTCError]], ...] = (
    (adds("centroid/extra.bin"), TransferError),
    (adds("a/b/deep.bin"), ProtocolError),
    (takes("centroid/best.ckpt"), TransferError),
    (takes(RECORD), ProtocolError),
    (tampers, TransferError),
)


async def test_what_is_changed_added_or_odd_is_refused_before_a_byte_is_written(bench: Bench) -> None:
    model = bench.folder / "model"
    digest = make_bundle(model, 1000)
    find = bench.holds(model, digest)
    async with bench.worker(1, find), bench.worker(2) as peers, bench.target() as target:
        async with peers.dial(key(1).worker_id) as session:
            for change, error in CHANGES:
                undo = change(model)
                with pytest.raises(error, match="Nothing was written"):
                    await fetch_bundle(session, digest, target)
                undo()
            assert not target.folder.exists()
            await fetch_bundle(session, digest, target)
        assert content(target.folder) == content(model)


async def test_a_worker_gets_no_model_before_it_has_proven_its_key(bench: Bench) -> None:
    digest = make_bundle(bench.folder / "model", 1000)
    find = bench.holds(bench.folder / "model", digest)
    async with bench.worker(1, find), bench.worker(2) as peers:
        async with unproven(peers) as session:
            with pytest.raises(ForbiddenError, match="proves its key"):
                await manifest(session, digest)
            await prove(session, key(2))
            assert (await manifest(session, digest)).files
        # another key than the one that it has registered with: the link ends
        async with unproven(peers) as session:
            with pytest.raises((AuthenticationError, ConnectionLost)):
                await prove(session, key(3))
            assert isinstance(await session.wait_closed(), AuthenticationError)


@asynccontextmanager
async def unproven(peers: Peers) -> AsyncIterator[Session]:
    """A link of the worker to the first one, as far as a client would come."""
    principal = peers._signaling.principal
    async with dial(peers._board, principal, key(1).worker_id, peers._settings) as session:
        yield session


async def prove(session: Session, identity: Identity) -> None:
    signature = identity.sign(peer_text(session.binding))
    await session.request(PeerProve(public_key=identity.public_key.hex(), signature=signature.hex()), Done)


async def manifest(session: Session, digest: str) -> Manifest:
    data = await read_whole(session, ManifestGet, 100_000, transfer=bundle_transfer(digest))
    return Manifest.from_bytes(data)


async def test_a_worker_learns_nothing_else_of_another(bench: Bench) -> None:
    async with bench.worker(1), bench.worker(2) as peers, peers.dial(key(1).worker_id) as session:
        for message, answer in ((JobList(), JobListed), (MountList(), MountListed)):
            with pytest.raises(ProtocolError, match="does not answer"):
                await session.request(message, answer)
        for transfer in (bundle_transfer("ab" * 32), "j_12345678"):
            with pytest.raises(NotFoundError):
                await read_whole(session, ManifestGet, 1000, transfer=transfer)


async def test_workers_need_the_rooms_secret_among_themselves_too(bench: Bench) -> None:
    def secret() -> tuple[RoomSecret, ...]:
        return (ROOM_SECRET,)

    async with (
        bench.worker(1, secrets=secret),
        bench.worker(2, secrets=secret) as member,
        bench.worker(3) as stranger,
    ):
        async with member.dial(key(1).worker_id):
            pass
        with pytest.raises(AuthenticationError):
            async with stranger.dial(key(1).worker_id):
                pass


async def test_a_worker_that_is_not_there_is_a_sentence(bench: Bench) -> None:
    async with bench.worker(2) as peers:
        with pytest.raises(UnreachableError, match="not connected to this room"):
            async with peers.dial(key(1).worker_id):
                pass
        with pytest.raises(NotFoundError, match="No other worker of the room"):
            await peers.fetch("ab" * 32, _nothing)


async def _nothing(_: Session) -> None:
    return None
