"""A holder that offers something else than the model: refused by a file's name before anything is written."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.client.models import Source, Wanted, pull
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConflictError, PackageError, ProtocolError, SleapRTCError, TransferError, ungrouped
from sleap_rtc.protocol.files import ChunksGet, FileEntry, FileGet, Manifest, ManifestGet
from sleap_rtc.protocol.models import RECORD, BundleFile, ModelPart, ModelRecord, bundle_digest
from sleap_rtc.session.session import Producers, Session
from sleap_rtc.session.streams import SendStream
from sleap_rtc.transfer.bundle import fetch_bundle, fetch_record
from sleap_rtc.transfer.store import Store
from sleap_rtc.worker.model_service import check_model
from tests.session.linked import STEADY, linked, meeting

FILES = {"fly/best.ckpt": b"weights", "fly/training_config.yaml": b"a: 1"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def listed(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [{"path": path, "size": len(data), "sha256": sha256(data)} for path, data in files.items()]


def bundle() -> tuple[dict[str, bytes], str]:
    """A model's files, and its digest."""
    record = ModelRecord(
        parts=(ModelPart(folder="fly", model_type="centroid"),),
        files=tuple(BundleFile.model_validate(each) for each in listed(FILES)),
        made=1,
    )
    whole = FILES | {RECORD: record.to_bytes()}
    return whole, bundle_digest((path, sha256(data)) for path, data in whole.items())


class Holder:
    """Offers a manifest of its own making, and sends whatever bytes it likes."""

    def __init__(self, manifest: list[dict[str, Any]], files: dict[str, bytes]) -> None:
        self._manifest, self._files = manifest, files
        self.sent: list[str] = []

    @property
    def producers(self) -> Producers:
        return {ManifestGet: self._send_manifest, ChunksGet: self._send_chunks, FileGet: self._send_file}

    async def _send_manifest(self, _: Session, message: ManifestGet, stream: SendStream) -> None:
        await stream.write(json.dumps({"files": self._manifest}).encode(), last=True)

    async def _send_chunks(self, _: Session, message: ChunksGet, stream: SendStream) -> None:
        raise AssertionError("files of this size have no chunks")

    async def _send_file(self, _: Session, message: FileGet, stream: SendStream) -> None:
        path = self._manifest[message.file]["path"]
        self.sent.append(path)
        await stream.write(self._files[path][message.offset : message.offset + message.size], last=True)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    found = Store(tmp_path / "store")
    yield found
    found.close()


class SilentHolder(Holder):
    """Keeps its link alive, and sends nothing of what it was asked for: no list, or no file."""

    def __init__(self, silent_about: str) -> None:
        files, _ = bundle()
        super().__init__(listed(files), files)
        self._about = silent_about

    async def _send_manifest(self, session: Session, message: ManifestGet, stream: SendStream) -> None:
        if self._about == "list":
            await asyncio.Event().wait()
        await super()._send_manifest(session, message, stream)

    async def _send_file(self, session: Session, message: FileGet, stream: SendStream) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("about", ["list", "files"])
async def test_a_holder_that_sends_nothing_is_not_waited_for(about: str, tmp_path: Path, store: Store) -> None:
    """It could keep every job that needs the model from getting it of another worker."""
    _, digest = bundle()
    async with asyncio.timeout(30):
        with pytest.raises(TransferError, match="sent nothing of the model"):
            await fetch(SilentHolder(about), digest, tmp_path / "model", store, replace(STEADY, stall=0.5))


async def fetch(holder: Holder, digest: str, folder: Path, store: Store, timeouts: Timeouts = STEADY) -> ModelRecord:
    with ungrouped():
        async with (
            meeting(timeouts=timeouts, worker_producers=holder.producers) as found,
            linked(found) as (client, _),
        ):
            return await fetch_bundle(client, digest, folder, store)


async def test_an_honest_holder_is_believed(tmp_path: Path, store: Store) -> None:
    whole, digest = bundle()
    record = await fetch(Holder(listed(whole), whole), digest, tmp_path / "home" / "files", store)
    assert [file.path for file in record.files] == sorted(FILES)
    assert (tmp_path / "home" / "files" / "fly" / "best.ckpt").read_bytes() == b"weights"


Change = Callable[[dict[str, bytes]], dict[str, bytes]]
CHANGES: dict[str, tuple[Change, type[SleapRTCError], str]] = {
    "another file": (lambda whole: whole | {"fly/best.ckpt": b"evil!!!"}, TransferError, r"fly/best\.ckpt is not"),
    "one more": (lambda whole: whole | {"fly/setup.py": b"evil"}, TransferError, r"fly/setup\.py is no part"),
    "one less": (lambda whole: {p: d for p, d in whole.items() if "ckpt" not in p}, TransferError, "is missing there"),
    "no record": (lambda whole: {p: d for p, d in whole.items() if p != RECORD}, TransferError, "offers no model.json"),
    "another record": (lambda whole: whole | {RECORD: b"{}"}, TransferError, r"model\.json is not"),
    "upwards": (lambda whole: whole | {"../../evil": b"evil"}, PackageError, "refused"),
    "absolute": (lambda whole: whole | {"/etc/evil": b"evil"}, PackageError, "absolute"),
    "of Windows": (lambda whole: whole | {"C:\\evil": b"evil"}, PackageError, "refused"),
    "a device": (lambda whole: whole | {"fly/NUL": b"evil"}, PackageError, "reserved"),
    "twice": (lambda whole: whole | {"FLY/best.ckpt": b"evil"}, PackageError, "collides"),
    "below a file": (lambda whole: whole | {"fly/best.ckpt/x": b"evil"}, PackageError, "collides"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_is_not_the_model_is_refused_before_anything_is_written(
    tmp_path: Path, store: Store, change: str
) -> None:
    whole, digest = bundle()
    altered, kind, words = CHANGES[change]
    files = altered(whole)
    holder = Holder(listed(files), files)
    with pytest.raises(kind, match=words):
        await fetch(holder, digest, tmp_path / "home" / "files", store)
    # at most the record was asked for, to say which file it is
    assert set(holder.sent) <= {RECORD}
    left = [path for path in (tmp_path / "home").rglob("*") if path.is_file()] if (tmp_path / "home").exists() else []
    assert left == []


async def test_a_file_without_its_hash_is_refused_before_anything_is_written(tmp_path: Path, store: Store) -> None:
    """Nothing could be compared with the digest."""
    whole, digest = bundle()
    manifest = [
        each | {"sha256": None, "chunks": "0" * 64} if "ckpt" in each["path"] else each for each in listed(whole)
    ]
    holder = Holder(manifest, whole)
    for work in (fetch_bundle, fetch_record):
        with ungrouped():
            async with (
                meeting(timeouts=STEADY, worker_producers=holder.producers) as found,
                linked(found) as (client, _),
            ):
                with pytest.raises(TransferError, match=r"fly/best\.ckpt of the model without its SHA-256"):
                    await work(client, digest, tmp_path / "home" / "files", store)
    assert holder.sent == []
    assert not (tmp_path / "home").exists()


def test_a_model_is_not_pushed_without_the_hashes_of_its_files() -> None:
    bare = FileEntry(path="fly/best.ckpt", size=7, chunks="0" * 64)
    config = FileEntry(path="fly/training_config.yaml", size=4, sha256="0" * 64)
    with pytest.raises(PackageError, match=r"fly/best\.ckpt of the model comes without its SHA-256"):
        check_model(Manifest(files=(config, bare)))
    check_model(Manifest(files=(config, bare.model_copy(update={"sha256": "0" * 64}))))


async def test_other_bytes_than_were_announced_are_not_put_in_place(tmp_path: Path, store: Store) -> None:
    whole, digest = bundle()
    holder = Holder(listed(whole), whole | {"fly/best.ckpt": b"evil!!!"})
    with pytest.raises(TransferError, match=r"arrived damaged .* It is fly/best\.ckpt"):
        await fetch(holder, digest, tmp_path / "home" / "files", store)
    assert not (tmp_path / "home" / "files" / "fly" / "best.ckpt").exists()


async def test_what_an_earlier_attempt_left_is_looked_at_again(tmp_path: Path, store: Store) -> None:
    """A file of the right length may be anything: it is read before the model appears."""
    whole, digest = bundle()
    folder = tmp_path / "home" / "files"
    (folder / "fly").mkdir(parents=True)
    (folder / "fly" / "best.ckpt").write_bytes(b"evil!!!")
    with pytest.raises(TransferError, match=r"fly/best\.ckpt is not"):
        await fetch(Holder(listed(whole), whole), digest, folder, store)
    # it is gone, and the next attempt fetches it
    await fetch(Holder(listed(whole), whole), digest, folder, store)
    assert (folder / "fly" / "best.ckpt").read_bytes() == b"weights"


async def test_a_worker_of_yesterday_is_asked_for_nothing(tmp_path: Path, store: Store) -> None:
    whole, digest = bundle()
    async with (
        meeting(timeouts=STEADY, worker_producers=Holder(listed(whole), whole).producers) as found,
        linked(found) as (client, _),
    ):

        class Dial:
            async def __aenter__(self) -> Session:
                return client

            async def __aexit__(self, *_: object) -> None:
                return None

        with pytest.raises(ProtocolError, match="upgrade it there"):
            await pull(Wanted(digest, "fly@1", "fly", 1), [Source("gpu", Dial)], tmp_path / "fly-1", store)
    assert not (tmp_path / "fly-1").exists()


@pytest.mark.parametrize("what", ["file", "folder", "link", "another"])
async def test_nothing_that_is_there_is_touched(tmp_path: Path, store: Store, what: str) -> None:
    _, digest = bundle()
    place = tmp_path / "fly-1"
    if what == "file":
        place.write_text("mine")
    elif what == "link":
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.mkdir()
        if what == "another":
            (place / RECORD).write_text("{}")
    with pytest.raises(ConflictError, match="Nothing was changed"):
        await pull(Wanted(digest, "fly@1", "fly", 1), [], place, store)
