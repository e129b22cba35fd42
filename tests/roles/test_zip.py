"""Results and models as one zip: the same files as one by one, for the same people, and of the same moment."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sleap_rtc.errors import ConflictError, NotFoundError
from sleap_rtc.jobs import attempts
from sleap_rtc.jobs.access import Access
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.intake import enter
from sleap_rtc.protocol.files import ManifestGet
from sleap_rtc.protocol.jobs import JobSpec, JobState
from sleap_rtc.protocol.model_messages import transfer_of
from sleap_rtc.protocol.zipping import ABILITY, inside_of, zip_of
from sleap_rtc.session.reading import read_whole
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.fetch import Fetch, Target
from sleap_rtc.transfer.store import Store
from sleap_rtc.worker.zip_names import zip_name
from tests.jobs.conftest import OWNER, new_board
from tests.jobs.fakes import QUICK
from tests.roles.bench import Bench, new_bench
from tests.roles.test_jobs_of_others import DONE, RUNNING, Worker, leave_a_model, new_desk
from tests.roles.test_jobs_of_others import worker as worker
from tests.roles.test_models import dialled, shelf_of, trained, tree
from tests.service.people import join, person

MODEL = {"one/best.ckpt": b"secret model"}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with new_bench(tmp_path) as found:
        yield found


async def fetch(session: Session, transfer: str, folder: Path) -> Path:
    """Bring a transfer of one file here."""
    store = Store(folder.with_name(f"{folder.name}-store"))
    try:
        work = Fetch(session, zip_of(transfer), Target(store, "me", folder))
        manifest = await work.manifest()
        await work.files(manifest)
        (entry,) = manifest.files
        return folder / entry.path
    finally:
        store.close()


def content(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_an_id_says_whether_a_zip_is_meant() -> None:
    assert inside_of(zip_of(DONE)) == DONE
    assert [inside_of(text) for text in (DONE, "z_", "m_z_1", zip_of(zip_of(DONE)))] == [None, None, None, zip_of(DONE)]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("labels.slp.training_job.zip", "labels.slp.training_job.zip"),
        ("Fly 2.ZIP", "Fly 2.zip"),
        ("../../etc/passwd", "etc_passwd.zip"),
        ("C:\\evil\x1b]52;c;\x07", "C__evil__52_c.zip"),
        ("con", "j_1.zip"),
        ("nul.tar", "j_1.zip"),
        ("  .. ", "j_1.zip"),
        ("", "j_1.zip"),
        ("x" * 300, "x" * 80 + ".zip"),
        ("日本" * 100, "日本" * 40 + ".zip"),
        ("\U00020000" * 80, "j_1.zip"),
        ("centroid + centered_instance", "centroid + centered_instance.zip"),
        ("\u202egpj.exe", "gpj.exe.zip"),
    ],
)
def test_a_zip_is_called_like_what_it_holds_where_that_is_a_name(title: str, name: str) -> None:
    assert zip_name(title, "j_1") == name


async def test_the_results_of_a_job_are_one_zip(worker: Worker, tmp_path: Path) -> None:
    async with worker.serving(OWNER) as session:
        path = await fetch(session, DONE, tmp_path / "home")
        assert (path.name, content(path)) == ("test.zip", MODEL)
        with pytest.raises(ConflictError, match="still running"):
            await fetch(session, RUNNING, tmp_path / "other")
        # a zip of a zip is nothing
        with pytest.raises(NotFoundError):
            await fetch(session, zip_of(DONE), tmp_path / "other")
    assert worker.desk.in_use(DONE)


async def test_a_zip_of_before_is_not_handed_out_once_a_job_goes_on(tmp_path: Path) -> None:
    spec = JobSpec(job=DONE, owner=OWNER, name="labels.zip", manifest="0" * 64, submitted=1)
    folder = JobFolder.create(tmp_path / "jobs" / DONE, spec)
    enter(folder, JobState.FAILED)
    desk = new_desk(new_board(tmp_path / "jobs", QUICK), tmp_path)
    empty = await desk.results(folder, zipped=True)
    assert desk.hashed_results(DONE, Access(OWNER), zipped=True) is empty
    async with desk.going_on(DONE):
        assert desk.hashed_results(DONE, Access(OWNER), zipped=True) is None
        asking = asyncio.ensure_future(desk.results(folder, zipped=True))
        attempts.begin(folder)
        await asyncio.sleep(0)
        assert not asking.done()
    with pytest.raises(ConflictError, match="still running"):
        await asking
    leave_a_model(folder)
    again = await desk.results(folder, zipped=True)
    (entry,) = again.manifest.files
    with zipfile.ZipFile(io.BytesIO(again.source.read(entry.path, 0, entry.size))) as archive:
        assert archive.namelist() == list(MODEL)
    await desk.close()
    desk.store.close()


async def test_a_zip_that_is_being_made_ends_where_its_job_goes_on(tmp_path: Path) -> None:
    """Between the look at its files and the making of the zip."""
    spec = JobSpec(job=DONE, owner=OWNER, name="labels.zip", manifest="0" * 64, submitted=1)
    folder = JobFolder.create(tmp_path / "jobs" / DONE, spec)
    enter(folder, JobState.FAILED)
    desk = new_desk(new_board(tmp_path / "jobs", QUICK), tmp_path)
    asking = asyncio.ensure_future(desk.results(folder, zipped=True))
    while not desk._zips._hashing:  # noqa: ASYNC110 - what is looked at is no event
        await asyncio.sleep(0)
    async with desk.going_on(DONE):
        assert not desk._zips._hashing
        attempts.begin(folder)
    with pytest.raises((asyncio.CancelledError, ConflictError)):
        await asking
    assert desk.hashed_results(DONE, Access(OWNER), zipped=True) is None
    await desk.close()
    desk.store.close()


async def test_over_a_real_link_for_whoever_may_have_the_files(bench: Bench, tmp_path: Path) -> None:
    """A job's results for who sent it; a model for every member of its room, and for nobody else."""
    await bench.start_worker()
    grace = await person(bench.lab.service, "grace")
    await join(bench.lab.service, grace, bench.room)
    model = await trained(bench, "centroid", "centered_instance")
    assert model.job_id
    kept = tree(shelf_of(bench.lab) / bench.room.room_id / model.digest)
    async with dialled(bench, bench.owner) as remote:
        session = await remote.link.session()
        assert ABILITY in session.abilities
        results = content(await fetch(session, model.job_id, tmp_path / "ada"))
        assert {name: results[name] for name in kept if name in results} == {
            name: data for name, data in kept.items() if name != "model.json"
        }
    async with dialled(bench, grace) as remote:
        session = await remote.link.session()
        path = await fetch(session, transfer_of(model.digest), tmp_path / "grace")
        assert content(path) == kept
        assert path.name == "centered_instance + centroid.zip"
        with pytest.raises(NotFoundError, match="has no job"):
            await read_whole(session, ManifestGet, 10_000, transfer=zip_of(model.job_id))
        # the same room, by its name, has it no more
        shelf = shelf_of(bench.lab)
        (shelf / bench.room.room_id).rename(shelf / "r_otherroom1")
        for digest in ("0" * 64, "..", model.digest[:-1]):
            with pytest.raises(NotFoundError, match="no such model of the room"):
                await read_whole(session, ManifestGet, 10_000, transfer=zip_of(transfer_of(digest.replace(".", "_"))))
