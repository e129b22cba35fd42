"""Two workers of one room: the one fetches a model from the other, and nothing else."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.config.identity import Identity
from sleap_rtc.errors import (
    AuthenticationError,
    ConnectionLost,
    ForbiddenError,
    NotFoundError,
    ProtocolError,
    StorageError,
    TransferError,
    UnreachableError,
)
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.bundles import finish_bundle, mark_of
from sleap_rtc.jobs.bundles_keeping import bundle_job
from sleap_rtc.jobs.bundles_shelf import BundleShelf, Note
from sleap_rtc.jobs.events import Journal
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.folder import JobFolder, StateRecord
from sleap_rtc.protocol.files import Manifest, ManifestGet
from sleap_rtc.protocol.jobs import JobList, JobListed, JobSpec, JobState, Run, RunEnded
from sleap_rtc.protocol.link import Done
from sleap_rtc.protocol.model_messages import transfer_of
from sleap_rtc.protocol.models import RECORD, BundleFile, ModelPart, ModelRecord
from sleap_rtc.protocol.mounts import MountList, MountListed
from sleap_rtc.protocol.peers import PeerProve, peer_text
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.protocol.training import TrainOptions
from sleap_rtc.protocol.zipping import zip_of
from sleap_rtc.session.link import dial
from sleap_rtc.session.reading import read_whole
from sleap_rtc.session.session import Session
from sleap_rtc.worker.model_service import ModelDesk
from sleap_rtc.worker.models import ModelReporter
from sleap_rtc.worker.peers import Peers
from sleap_rtc.worker.room_models import RoomModels
from sleap_rtc.worker.worker import Worker, WorkerSettings
from tests.jobs.conftest import OWNER
from tests.jobs.fakes import QUICK
from tests.roles.times import TIMEOUTS
from tests.service.people import Person, dev_service, person
from tests.service.running import RunningService

ROOM_SECRET = RoomSecret.make(bytes(range(32)), 1_800_000_000)


def key(seed: int) -> Identity:
    return Identity(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def put_model(models: Path, room: str, size: int = 3_000_000, *, job: str | None = None, made: int = 1) -> str:
    """Put a model of its own content onto a worker's shelf; its digest."""
    shelf = BundleShelf(models)
    with shelf.fresh() as place:
        (place / "centroid").mkdir()
        data = {"centroid/best.ckpt": os.urandom(size), "centroid/training_config.yaml": b"a: 1\n"}
        for path, content in data.items():
            (place / path).write_bytes(content)
        files = tuple(
            BundleFile(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())
            for path, content in data.items()
        )
        part = ModelPart(folder="centroid", model_type="centroid", config="centroid/training_config.yaml")
        bundle = finish_bundle(place, ModelRecord(parts=(part,), files=files, job=job, made=made))
        shelf.add(room, bundle, Note.of(bundle, arrived=utc_ms()))
        return bundle.digest


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass
class Bench:
    """A service and a room; workers come and go."""

    service: RunningService
    folder: Path
    owner: Person
    room: str
    token: str

    def models(self, seed: int) -> Path:
        """Where a worker keeps its models."""
        return self.folder / f"{seed}" / "models"

    def folder_of(self, seed: int, digest: str) -> Path:
        return self.models(seed) / self.room / digest

    @asynccontextmanager
    async def worker(
        self,
        seed: int,
        secrets: Callable[[], tuple[RoomSecret, ...]] = lambda: (),
        token: str | None = None,
    ) -> AsyncIterator[RoomModels]:
        """A worker at work, and the models that it can get."""
        settings = WorkerSettings(
            server=self.service.url,
            token=token or self.token,
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
        made = Worker(settings, on_service=lambda state: there.set() if state.connected else None)
        running = asyncio.create_task(made.run())
        try:
            async with asyncio.timeout(30):
                await there.wait()
            assert isinstance(made.board.models, RoomModels)
            yield made.board.models
        finally:
            running.cancel()
            # a worker whose token is revoked may have ended by itself, with the sentence for that
            with suppress(asyncio.CancelledError, AuthenticationError):
                await running


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(dev_service(tmp_path))
        owner = await person(service, "ada")
        room = await owner.room()
        token = (await owner.worker_token(room)).token
        yield Bench(service, tmp_path, owner, room.room_id, token)


async def held(models: RoomModels, digest: str, number: int) -> list[str]:
    """Wait until the service names so many other workers as holders; who they are."""
    async with asyncio.timeout(30):
        while len(found := await models.peers._signaling.holders(digest)) != number:  # noqa: ASYNC110 - the service's
            await asyncio.sleep(0.05)
    return [each.worker_id for each in found]


async def test_a_model_that_a_worker_lacks_comes_from_another_and_stays(bench: Bench) -> None:
    digest = await asyncio.to_thread(put_model, bench.models(1), bench.room)
    there, again = bench.folder / "there", bench.folder / "again"
    async with bench.worker(2) as lacking:
        async with bench.worker(1) as holder:
            await held(lacking, digest, 1)
            # two jobs want it at once
            await asyncio.gather(
                lacking.place(digest, bench.room, there), lacking.place(digest, bench.room, bench.folder / "twin")
            )
            assert await held(holder, digest, 1) == [key(2).worker_id]
        await lacking.place(digest, bench.room, again)
    original = content(bench.folder_of(1, digest))
    assert content(there) == content(again) == content(bench.folder / "twin") == original
    assert content(bench.folder_of(2, digest)) == original


async def test_a_model_of_another_worker_that_claims_a_job_here_takes_nothing_from_that_job(bench: Bench) -> None:
    """Whoever makes a bundle writes any job into its model.json, and any time."""
    job = "j_12345678"
    forged = await asyncio.to_thread(put_model, bench.models(1), bench.room, 1000, job=job, made=2**52)
    shelf = BundleShelf(bench.models(2))
    async with bench.worker(1), bench.worker(2) as models:
        await held(models, forged, 1)
        await models.place(forged, bench.room, bench.folder / "there")
        # the job ends, and is resumed and ends once more: of its own two bundles the later one stays
        folder = await asyncio.to_thread(finished_job, bench.folder / "trained", bench.room, job)
        desk = ModelDesk(shelf, models._store)
        reporter = ModelReporter(
            JobBoard(folder.path.parent, slots=(), executor=LocalExecutor(QUICK)), models.peers._signaling, 1.0, desk
        )
        made: list[str | None] = []
        for _ in range(2):
            folder.write_state(StateRecord(state=JobState.DONE, t=utc_ms() + len(made)))
            assert await asyncio.to_thread(bundle_job, folder, bench.room, shelf)
            mark = await asyncio.to_thread(mark_of, folder)
            assert mark is not None
            made.append(mark.digest)
            await reporter._drop_earlier(bench.room, job)
            there = {note.digest for note in await asyncio.to_thread(shelf.notes, bench.room)}
            assert there == {forged, made[-1]}


def finished_job(jobs: Path, room: str, job: str) -> JobFolder:
    """A job of the room that has trained a model, as it lies on the disk."""
    run = Run(name="centroid", model_type="centroid", config="x")
    owner = OWNER.model_copy(update={"room": room})
    options = TrainOptions()
    spec = JobSpec(job=job, owner=owner, name="t", manifest="0" * 64, submitted=0, runs=(run,), options=options)
    folder = JobFolder.create(jobs / job, spec)
    place = folder.models / run.name
    place.mkdir(parents=True)
    (place / "best.ckpt").write_bytes(b"weights")
    (place / "training_config.yaml").write_bytes(b"a: 1")
    with Journal(folder.events) as journal:
        journal.append(RunEnded(outcome="done", folder=run.name), run.name)
    folder.write_state(StateRecord(state=JobState.DONE, t=utc_ms()))
    return folder


async def test_a_damaged_holder_is_left_for_the_next_one(bench: Bench) -> None:
    digest = await asyncio.to_thread(put_model, bench.models(1), bench.room)
    shutil.copytree(bench.models(1), bench.models(3))
    first, second = sorted((1, 3), key=lambda seed: key(seed).worker_id)
    tampers(bench.folder_of(first, digest))
    target = bench.folder / "there"
    async with bench.worker(2) as lacking, bench.worker(first):
        await held(lacking, digest, 1)
        with pytest.raises(UnreachableError, match=r"best\.ckpt is not the file"):
            await lacking.place(digest, bench.room, target)
        assert not target.exists()
        async with bench.worker(second):
            await held(lacking, digest, 2)
            await lacking.place(digest, bench.room, target)
    assert content(target) == content(bench.folder_of(second, digest))


async def test_what_lies_where_a_model_is_to_go_is_left_alone(bench: Bench) -> None:
    digest = await asyncio.to_thread(put_model, bench.models(2), bench.room, 1000)
    target = bench.folder / "there"
    target.mkdir()
    (target / "mine").write_bytes(b"x")
    async with bench.worker(2) as models:
        with pytest.raises(StorageError, match="is there already"):
            await models.place(digest, bench.room, target)
        tampers(bench.folder_of(2, digest))
        with pytest.raises(TransferError, match=r"best\.ckpt"):
            await models.place(digest, bench.room, bench.folder / "other")
    assert content(target) == {"mine": b"x"}
    assert not (bench.folder / "other").exists()


async def test_a_model_of_another_room_is_not_there_for_a_worker(bench: Bench) -> None:
    other = await bench.owner.room("other")
    token = (await bench.owner.worker_token(other)).token
    digest = await asyncio.to_thread(put_model, bench.models(1), other.room_id, 1000)
    # the same machine serves both rooms in turn: what it keeps of the one is not there for the other
    shutil.copytree(bench.models(1), bench.models(3))
    async with bench.worker(1, token=token), bench.worker(3), bench.worker(2) as models:
        for room in (bench.room, other.room_id):
            with pytest.raises(NotFoundError):
                await models.place(digest, room, bench.folder / "there")
        for worker_id, error in ((key(1).worker_id, UnreachableError), (key(3).worker_id, NotFoundError)):
            with pytest.raises(error):
                async with models.peers.dial(worker_id) as session:
                    await manifest(session, digest)


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


@pytest.mark.parametrize(
    "change",
    [adds("centroid/extra.bin"), adds("a/b/deep.bin"), takes("centroid/best.ckpt"), takes(RECORD), tampers],
    ids=["another file", "a file deeper", "a file less", "no model.json", "a changed byte"],
)
async def test_what_a_holder_changed_is_refused_before_it_is_on_the_shelf(bench: Bench, change: Change) -> None:
    digest = await asyncio.to_thread(put_model, bench.models(1), bench.room, 1000)
    undo = change(bench.folder_of(1, digest))
    target = bench.folder / "there"
    async with bench.worker(2) as models:
        async with bench.worker(1):
            await held(models, digest, 1)
            with pytest.raises(UnreachableError, match="No holder of the model"):
                await models.place(digest, bench.room, target)
            assert not target.exists()
            assert not list(bench.models(2).rglob("*.ckpt"))
        undo()
        async with bench.worker(1):
            await held(models, digest, 1)
            await models.place(digest, bench.room, target)
    assert content(target) == content(bench.folder_of(1, digest))


async def test_a_worker_gets_no_model_before_it_has_proven_its_key(bench: Bench) -> None:
    digest = await asyncio.to_thread(put_model, bench.models(1), bench.room, 1000)
    async with bench.worker(1), bench.worker(2) as models:
        async with unproven(models.peers) as session:
            with pytest.raises(ForbiddenError, match="proves its key"):
                await manifest(session, digest)
            await prove(session, key(2))
            assert (await manifest(session, digest)).files
            # what is made for browsers is not for workers
            with pytest.raises(NotFoundError):
                await read_whole(session, ManifestGet, 100_000, transfer=zip_of(transfer_of(digest)))
        # another key than the one that it has registered with: the link ends
        async with unproven(models.peers) as session:
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
    data = await read_whole(session, ManifestGet, 100_000, transfer=transfer_of(digest))
    return Manifest.from_bytes(data)


async def test_a_worker_learns_nothing_else_of_another(bench: Bench) -> None:
    async with bench.worker(1), bench.worker(2) as models, models.peers.dial(key(1).worker_id) as session:
        for message, answer in ((JobList(), JobListed), (MountList(), MountListed)):
            with pytest.raises(ProtocolError, match="does not answer"):
                await session.request(message, answer)
        for transfer in (transfer_of("ab" * 32), "j_12345678"):
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
        async with member.peers.dial(key(1).worker_id):
            pass
        with pytest.raises(AuthenticationError):
            async with stranger.peers.dial(key(1).worker_id):
                pass


async def test_a_worker_that_is_not_there_is_a_sentence(bench: Bench) -> None:
    async with bench.worker(2) as models:
        with pytest.raises(UnreachableError, match="not connected to this room"):
            async with models.peers.dial(key(1).worker_id):
                pass
        with pytest.raises(NotFoundError, match="No other worker of the room"):
            await models.place("ab" * 32, bench.room, bench.folder / "there")


async def test_the_link_of_a_worker_whose_token_was_revoked_ends(bench: Bench) -> None:
    room = next(each for each in await bench.owner.api.rooms() if each.room_id == bench.room)
    token = await bench.owner.worker_token(room, "other")
    async with (
        bench.worker(1),
        bench.worker(2, token=token.token) as models,
        models.peers.dial(key(1).worker_id) as session,
    ):
        await bench.owner.api.revoke_token(bench.room, token.token_id)
        async with asyncio.timeout(30):
            assert isinstance(await session.wait_closed(), AuthenticationError)
