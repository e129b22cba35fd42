"""Bringing models home over peers in memory."""

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sleap_rtc.client.link import WorkerLink
from sleap_rtc.client.results import fetch_results, move_free
from sleap_rtc.errors import ConflictError, JobFailedError, ProtocolError
from sleap_rtc.transfer.offering import Offering, make_offering
from sleap_rtc.transfer.provider import Provider
from sleap_rtc.transfer.source import FilesSource
from sleap_rtc.transfer.store import Store
from tests.session.linked import CLIENT, accepting, meeting

JOB = "j_12345678"
RUN = {"centroid/best.ckpt": b"weights", "centroid/logs/a.csv": b"1,2\n", "centered/best.ckpt": b"more"}


@asynccontextmanager
async def link_to(tmp_path: Path, files: Mapping[str, bytes]) -> AsyncIterator[WorkerLink]:
    """A kept-up link to a worker that offers `files`."""
    for name, data in files.items():
        path = tmp_path / "worker" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    source = FilesSource({name: tmp_path / "worker" / name for name in files})
    offering = await make_offering(source)

    async def find(transfer: str) -> Offering:
        return offering

    async with meeting(worker_producers=Provider(find).producers) as found, accepting(found):
        link = WorkerLink(
            found.client, lambda: CLIENT, found.identity.worker_id, found.client_settings, acquaintance=None
        )
        running = asyncio.ensure_future(link.run())
        yield link
        running.cancel()
        await asyncio.wait({running})
        source.close()


async def fetch(link: WorkerLink, folder: Path) -> list[Path]:
    return await fetch_results(link, JOB, folder / "models", Store(folder / "store"))


async def test_run_folders_arrive_whole_with_a_users_modes_and_nothing_beside_them(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    os.umask(mask)
    async with link_to(tmp_path, RUN) as link:
        folders = await fetch(link, tmp_path)
    assert [folder.name for folder in folders] == ["centered", "centroid"]
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["centered", "centroid"]
    assert (tmp_path / "models/centroid/logs/a.csv").read_bytes() == b"1,2\n"
    assert stat.S_IMODE((tmp_path / "models/centroid/best.ckpt").stat().st_mode) == 0o666 & ~mask


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "models" / "centroid").mkdir(parents=True)
    async with link_to(tmp_path, {"centroid/best.ckpt": b"new"}) as link:
        (folder,) = await fetch(link, tmp_path)
    assert folder.name == "centroid-2"
    assert list((tmp_path / "models" / "centroid").iterdir()) == []


@pytest.mark.parametrize("name", [".envrc", "sitecustomize.py", ".git/config", "a b/best.ckpt", "-rf/best.ckpt"])
async def test_a_worker_cannot_place_files_of_its_choice(tmp_path: Path, name: str) -> None:
    async with link_to(tmp_path, {name: b"x"}) as link:
        with pytest.raises(ProtocolError, match="belongs to no run"):
            await fetch(link, tmp_path)
    assert not (tmp_path / "models").exists()


async def test_a_job_without_models_says_so(tmp_path: Path) -> None:
    async with link_to(tmp_path, {}) as link:
        with pytest.raises(JobFailedError, match="left no model"):
            await fetch(link, tmp_path)


async def test_two_terminals_do_not_fetch_one_job_at_once(tmp_path: Path) -> None:
    staging = tmp_path / "models" / f".{JOB}.part"
    staging.mkdir(parents=True)
    (staging / "lock").write_text(str(os.getpid()))
    async with link_to(tmp_path, RUN) as link:
        with pytest.raises(ConflictError, match="Another sleap-rtc"):
            await fetch(link, tmp_path)
        (staging / "lock").write_text("4194999")  # a process that is no more
        assert len(await fetch(link, tmp_path)) == 2


async def test_a_crash_between_two_renames_brings_each_run_home_once(tmp_path: Path) -> None:
    ready = tmp_path / "models" / f".{JOB}.part" / "ready"
    (ready / "centroid").mkdir(parents=True)  # the other one was moved before the crash
    (ready / "centroid" / "best.ckpt").write_bytes(b"weights")
    (tmp_path / "models" / "centered").mkdir()
    async with link_to(tmp_path, RUN) as link:
        await fetch(link, tmp_path)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["centered", "centroid"]


def test_a_file_is_whole_and_alone_also_on_another_disk(tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one disk here")
    with tempfile.TemporaryDirectory(dir=shared) as made:
        folder = Path(made)
        (folder / "clip.predictions.slp").write_bytes(b"mine")
        for number, data in ((2, b"first"), (3, b"second")):
            (tmp_path / "ready.slp").write_bytes(data)
            place = move_free(tmp_path / "ready.slp", folder / "clip.predictions.slp")
            assert (place, place.read_bytes()) == (folder / f"clip-{number}.predictions.slp", data)
            assert not (tmp_path / "ready.slp").exists()
        assert len(list(folder.iterdir())) == 3
        assert (folder / "clip.predictions.slp").read_bytes() == b"mine"
