"""Models of a room: pulled by another member, from any holder, byte by byte the same, or refused by a file's name."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from sleap_rtc.client.client import Client
from sleap_rtc.client.model_push import model_source
from sleap_rtc.client.models import Pulled, Wanted, pull, source_of
from sleap_rtc.client.remote import RemoteWorker
from sleap_rtc.config.identity import load_identity
from sleap_rtc.errors import ConflictError, NotFoundError, PackageError, SleapRTCError, TransferError, UnreachableError
from sleap_rtc.protocol.files import ManifestGet
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.model_messages import transfer_of
from sleap_rtc.protocol.models import RECORD, ModelRecord, bundle_digest
from sleap_rtc.protocol.training import TrainOptions
from sleap_rtc.session.reading import read_whole
from sleap_rtc.signaling.model_records import RoomModelRecord
from sleap_rtc.transfer.offering import make_offering
from sleap_rtc.transfer.store import Store
from tests.jobs.ending import end_jobs
from tests.roles.bench import Bench, new_bench
from tests.roles.conftest import Lab
from tests.roles.times import TIMEOUTS
from tests.roles.worker_process import MODEL_SIZE, NAME, TOKEN
from tests.service.people import Person, join, person


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with new_bench(tmp_path) as found:
        yield found


@pytest.fixture
async def grace(bench: Bench) -> Person:
    """Another member of the room."""
    somebody = await person(bench.lab.service, "grace")
    await join(bench.lab.service, somebody, bench.room)
    return somebody


@asynccontextmanager
async def another_worker(bench: Bench) -> AsyncIterator[Lab]:
    """A second worker of the room, in a process of its own, with whatever lies on its shelf already."""
    folder = bench.lab.folder / "second"
    folder.mkdir(exist_ok=True)
    lab = Lab(bench.lab.service, folder, stop_service=AsyncExitStack().aclose)
    await lab.start_worker(environment={TOKEN: bench.token, NAME: "second-gpu"})
    try:
        yield lab
    finally:
        await lab.kill_worker()
        end_jobs(lab.jobs)


def shelf_of(lab: Lab) -> Path:
    return lab.jobs.with_name("models")


async def trained(bench: Bench, *heads: str, options: TrainOptions | None = None) -> RoomModelRecord:
    """A model that a job of the owner's has left, as the room lists it."""
    async with bench.join() as worker:
        job = await worker.submit(await bench.lab.package(*heads), options=options, new=True)
        assert await job.watch(lambda event: None) is JobState.DONE
    return (await bench.until_models(1))[0]


@asynccontextmanager
async def joined(bench: Bench, who: Person) -> AsyncIterator[Client]:
    async with Client.join(bench.lab.service.url, who.token, room=bench.room.room_id, timeouts=TIMEOUTS) as client:
        yield client


async def pulled(
    bench: Bench,
    who: Person,
    model: RoomModelRecord,
    output: Path,
    *,
    store: Path | None = None,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
    on_trouble: Callable[[str, SleapRTCError], None] = lambda name, error: None,
) -> Pulled:
    """Bring a model here as somebody does who has never seen it."""
    name = model.names[0] if model.names else None
    wanted = Wanted(model.digest, "it", name.name if name else "", name.version if name else None)
    place = Store(store or output.with_name(f"{output.name}-store"))
    try:
        async with joined(bench, who) as client:
            sources = [source_of(client, holder) for holder in model.online_holders()]
            return await pull(wanted, sources, output, place, on_bytes=on_bytes, on_trouble=on_trouble)
    finally:
        place.close()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


async def test_another_member_pulls_a_run_without_a_name_and_twice_it_is_the_same(
    bench: Bench, grace: Person, tmp_path: Path
) -> None:
    await bench.start_worker()
    model = await trained(bench, "centroid", "centered_instance")
    assert model.names == ()
    first = await pulled(bench, grace, model, tmp_path / "home" / "one")
    second = await pulled(bench, bench.owner, model, tmp_path / "home" / "two")
    assert first.fresh
    assert tree(first.folder) == tree(second.folder)
    files = tree(first.folder)
    assert {name.partition("/")[0] for name in files} == {"centroid", "centered_instance", RECORD}
    assert bundle_digest((name, hashlib.sha256(data).hexdigest()) for name, data in files.items()) == model.digest
    # nothing else appears beside them
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["one", "one-store", "two", "two-store"]
    # it is there: said so, and nothing is written
    again = await pulled(bench, grace, model, first.folder)
    assert not again.fresh
    (first.folder / "centroid" / "best.ckpt").write_bytes(b"my own")
    with pytest.raises(ConflictError, match="is not the model"):
        await pulled(bench, grace, model, first.folder)
    assert (first.folder / "centroid" / "best.ckpt").read_bytes() == b"my own"


async def test_a_training_gets_the_name_that_was_asked_for_also_after_the_worker_was_killed(
    bench: Bench, tmp_path: Path
) -> None:
    await bench.start_worker()
    model = await trained(bench, options=TrainOptions(register_as="fly"))
    model = await until_named(bench, model.digest)
    assert [(each.name, each.version, each.created_by) for each in model.names] == [("fly", 1, "ada")]
    got = await pulled(bench, bench.owner, model, tmp_path / "home" / "fly-1")
    assert (got.record.name, got.record.version) == ("fly", 1)
    record = ModelRecord.from_bytes((got.folder / RECORD).read_bytes())
    assert record == got.record
    # as it was asked for, and not yet done
    note = shelf_of(bench.lab) / bench.room.room_id / f"{model.digest}.json"
    await bench.lab.kill_worker()
    note.write_text(json.dumps(json.loads(note.read_text()) | {"version": None, "register_as": "worm"}))
    await bench.start_worker()
    async with asyncio.timeout(30):
        while len((await until_named(bench, model.digest)).names) < 2:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    await until_noted(note, 1)


async def until_named(bench: Bench, digest: str) -> RoomModelRecord:
    async with asyncio.timeout(30):
        while True:
            for each in await bench.owner.api.models(bench.room.room_id):
                if each.digest == digest and each.names:
                    return each
            await asyncio.sleep(0.05)


async def until_noted(note: Path, version: int) -> None:
    async with asyncio.timeout(30):
        while json.loads(await asyncio.to_thread(note.read_text))["version"] != version:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


async def test_a_file_that_was_tampered_with_is_refused_by_its_name(
    bench: Bench, grace: Person, tmp_path: Path
) -> None:
    await bench.start_worker()
    model = await trained(bench)
    place = shelf_of(bench.lab) / bench.room.room_id / model.digest
    best = next(place.rglob("best.ckpt"))
    best.chmod(0o600)
    data = best.read_bytes()
    best.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    output = tmp_path / "home" / "one"
    with pytest.raises(TransferError, match=r"single_instance/best\.ckpt is not the file"):
        await pulled(bench, grace, model, output)
    best.unlink()
    await bench.lab.kill_worker()
    await bench.start_worker()
    with pytest.raises(TransferError, match=r"single_instance/best\.ckpt of the model is missing"):
        await pulled(bench, grace, model, output)
    best.write_bytes(data)
    (best.parent / "extra.py").write_text("import os")
    await bench.lab.kill_worker()
    await bench.start_worker()
    with pytest.raises(TransferError, match=r"single_instance/extra\.py is no part of the model"):
        await pulled(bench, grace, model, output)
    (best.parent / "extra.py").unlink()
    (place / RECORD).chmod(0o600)
    (place / RECORD).write_bytes((place / RECORD).read_bytes() + b"\n")
    await bench.lab.kill_worker()
    await bench.start_worker()
    with pytest.raises(TransferError, match=r"model\.json is not the file"):
        await pulled(bench, grace, model, output)
    assert [path.name for path in output.parent.iterdir()] == ["one-store"]


async def test_when_a_holder_is_killed_in_mid_pull_another_one_goes_on(
    bench: Bench, grace: Person, tmp_path: Path
) -> None:
    size = 24 * 1024 * 1024
    await bench.lab.start_worker(environment={TOKEN: bench.token, MODEL_SIZE: str(size)})
    model = await trained(bench)
    shutil.copytree(shelf_of(bench.lab), tmp_path / "second" / "models")
    async with another_worker(bench):
        async with asyncio.timeout(30):
            while len(model.holders) < 2:
                model = (await bench.until_models(1))[0]
        killed = asyncio.Event()

        def count(done: int, total: int) -> None:
            if not killed.is_set() and done > total // 4:
                killed.set()

        async def kill() -> None:
            await killed.wait()
            await bench.lab.kill_worker()

        # the holder that will be killed comes first
        mine = await owner_of(bench)
        holders = tuple(sorted(model.holders, key=lambda each: each.worker_id != mine))
        killing = asyncio.ensure_future(kill())
        troubles: list[str] = []
        got = await pulled(
            bench,
            grace,
            model.model_copy(update={"holders": holders}),
            tmp_path / "home" / "one",
            on_bytes=count,
            on_trouble=lambda name, error: troubles.append(name),
        )
        await killing
        assert troubles == ["test-gpu"]
    assert bundle_digest((n, hashlib.sha256(d).hexdigest()) for n, d in tree(got.folder).items()) == model.digest


async def owner_of(bench: Bench) -> str:
    return (await asyncio.to_thread(load_identity, bench.lab.folder / "worker-home" / "identity")).worker_id


async def test_when_no_holder_is_left_it_is_said_and_the_same_command_goes_on(
    bench: Bench, grace: Person, tmp_path: Path
) -> None:
    size = 24 * 1024 * 1024
    environment = {TOKEN: bench.token, MODEL_SIZE: str(size)}
    await bench.lab.start_worker(environment=environment)
    model = await trained(bench)
    seen: list[int] = []
    killed = asyncio.Event()

    def count(done: int, total: int) -> None:
        seen.append(done)
        if done > total // 2:
            killed.set()

    async def kill() -> None:
        await killed.wait()
        await bench.lab.kill_worker()

    killing = asyncio.ensure_future(kill())
    output = tmp_path / "home" / "one"
    with pytest.raises(UnreachableError, match=r"is held by test-gpu.*goes on from there"):
        await pulled(bench, grace, model, output, on_bytes=count)
    await killing
    assert not output.exists()
    await bench.lab.start_worker(environment=environment)
    async with asyncio.timeout(30):
        while not list(model.online_holders()):
            model = (await bench.until_models(1))[0]
    seen.clear()
    killed.set()
    got = await pulled(bench, grace, model, output, on_bytes=count)
    assert got.fresh
    # what had arrived was not sent again
    assert max(after - before for before, after in pairwise(seen)) > size // 4


async def test_the_digest_of_another_room_opens_nothing(bench: Bench, grace: Person) -> None:
    await bench.start_worker()
    model = await trained(bench)
    other = await grace.room("other")
    shelf = shelf_of(bench.lab)
    (shelf / other.room_id).mkdir()
    for path in (shelf / bench.room.room_id).iterdir():
        path.rename(shelf / other.room_id / path.name)
    async with joined(bench, grace) as client, client.dial((await client.workers())[0].worker_id) as worker:
        session = await worker.link.session()
        for digest in (model.digest, "0" * 64):
            with pytest.raises(NotFoundError, match="no such model of the room"):
                await read_whole(session, ManifestGet, 10_000, transfer=transfer_of(digest))


@asynccontextmanager
async def dialled(bench: Bench, who: Person) -> AsyncIterator[RemoteWorker]:
    async with joined(bench, who) as client, client.dial((await client.workers())[0].worker_id) as worker:
        yield worker


async def push(worker: RemoteWorker, folder: Path) -> str:
    source, made = model_source(folder)
    offering = await make_offering(source)
    try:
        return await worker.push_model(offering, made)
    finally:
        source.close()


async def test_a_pulled_model_is_pushed_to_another_worker_and_stays_the_same(
    bench: Bench, grace: Person, tmp_path: Path
) -> None:
    await bench.start_worker()
    model = await trained(bench, options=TrainOptions(register_as="fly"))
    model = await until_named(bench, model.digest)
    got = await pulled(bench, grace, model, tmp_path / "home" / "fly-1")
    await bench.lab.kill_worker()
    shutil.rmtree(shelf_of(bench.lab))
    async with another_worker(bench):
        async with dialled(bench, grace) as worker:
            assert await push(worker, got.folder) == model.digest
            assert await push(worker, got.folder) == model.digest
            # a run folder by itself is another model, and also the same one each time
            alone = await push(worker, got.folder / "single_instance")
            assert alone == await push(worker, got.folder / "single_instance")
            assert alone != model.digest
        async with asyncio.timeout(30):
            while len(found := await bench.owner.api.models(bench.room.room_id)) < 2:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        pushed = next(each for each in found if each.digest == alone)
        assert (pushed.made_by, pushed.user_id, pushed.job_id) == ("grace", grace.user_id, None)
        again = await pulled(bench, bench.owner, pushed, tmp_path / "home" / "alone")
        assert again.record.parts[0].model_type == "single_instance"


async def test_what_is_no_model_is_not_taken(bench: Bench, tmp_path: Path) -> None:
    await bench.start_worker()
    run = tmp_path / "fly"
    run.mkdir()
    (run / "best.ckpt").write_bytes(b"weights")
    with pytest.raises(PackageError, match=r"training_config\.yaml is missing"):
        model_source(run)
    (run / "training_config.yaml").write_text("model_config: {head_configs: {centroid: {}, bottomup: {}}}")
    async with dialled(bench, bench.owner) as worker:
        with pytest.raises(PackageError, match="does not say what kind of model"):
            await push(worker, run)
    assert not list(shelf_of(bench.lab).rglob("*.ckpt"))


async def test_a_model_that_was_deleted_while_its_worker_was_away_goes_when_it_is_back(bench: Bench) -> None:
    await bench.start_worker()
    model = await trained(bench)
    await bench.lab.kill_worker()
    await bench.owner.api.delete_model(bench.room.room_id, model.digest)
    place = shelf_of(bench.lab) / bench.room.room_id / model.digest
    assert place.exists()
    await bench.start_worker()
    async with asyncio.timeout(30):
        while place.exists():  # noqa: ASYNC110 - a folder
            await asyncio.sleep(0.05)


async def test_a_model_that_the_room_has_deleted_goes_and_is_not_made_again(bench: Bench) -> None:
    await bench.start_worker()
    model = await trained(bench)
    await bench.owner.api.delete_model(bench.room.room_id, model.digest)
    place = shelf_of(bench.lab) / bench.room.room_id / model.digest
    async with asyncio.timeout(30):
        while place.exists():  # noqa: ASYNC110 - a folder
            await asyncio.sleep(0.05)
    await bench.lab.kill_worker()
    await bench.start_worker()
    other = await trained(bench)
    assert [each.digest for each in await bench.owner.api.models(bench.room.room_id)] == [other.digest]


async def test_of_old_models_those_without_a_name_go(bench: Bench) -> None:
    await bench.start_worker()
    async with bench.join() as worker:
        for options in (TrainOptions(register_as="fly"), TrainOptions()):
            job = await worker.submit(await bench.lab.package(), options=options, new=True)
            assert await job.watch(lambda event: None) is JobState.DONE
    models = await bench.until_models(2)
    async with asyncio.timeout(30):
        while not any(each.names for each in models):
            models = await bench.until_models(2)
    named = next(each for each in models if each.names)
    gone = next(each for each in models if not each.names)
    shelf = shelf_of(bench.lab)
    # the name was given by somebody else: its worker asks the service, and does not go by its own note
    note = shelf / bench.room.room_id / f"{named.digest}.json"
    await until_noted(note, 1)
    await bench.lab.kill_worker()
    for path in (shelf / bench.room.room_id).glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"arrived": 1, "version": None, "register_as": None}))
    await bench.start_worker()
    async with asyncio.timeout(30):
        while (shelf / bench.room.room_id / gone.digest).exists():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    assert (shelf / bench.room.room_id / named.digest).is_dir()


async def test_a_job_that_was_resumed_leaves_its_last_model_alone(bench: Bench) -> None:
    await bench.start_worker("endless")
    job = await bench.submit()
    first = await stopped(bench, job, attempt=1)
    async with bench.join() as worker:
        await worker.resume(job)
    second = await stopped(bench, job, attempt=2)
    assert first.digest != second.digest
    room = shelf_of(bench.lab) / bench.room.room_id
    assert [path.name for path in room.iterdir() if path.is_dir()] == [second.digest]


async def stopped(bench: Bench, job: str, attempt: int) -> RoomModelRecord:
    """Stop a job that has come somewhere, and return the one model that is left of it."""
    found = await bench.until(job, lambda found: found.attempt == attempt and found.state is JobState.RUNNING)
    before = found.runs[0].epoch or 0
    await bench.until(job, lambda found: (found.runs[0].epoch or 0) > before + 1)
    async with bench.join() as worker:
        await (await worker.job(job)).stop()
    ended = await bench.until(job, lambda found: found.attempt == attempt and found.state.ended)
    async with asyncio.timeout(30):
        while True:
            (model,) = await bench.until_models(1)
            if model.created_at == ended.changed:
                return model
            await asyncio.sleep(0.05)
