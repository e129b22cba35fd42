"""Files over a link: whole or not at all, only what is lacking, and from where the last attempt ended."""

import asyncio
import os
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from sleap_rtc.errors import (
    ConnectionLost,
    NotFoundError,
    PackageError,
    ProtocolError,
    SleapRTCError,
    StorageError,
    TransferError,
    ungrouped,
)
from sleap_rtc.protocol.files import ChunksGet, FileGet, Manifest, ManifestGet, ManifestRef
from sleap_rtc.protocol.frames import Frame
from sleap_rtc.protocol.pace import USUAL_WINDOW
from sleap_rtc.protocol.streams import StreamRequest
from sleap_rtc.session.session import Producers, Session
from sleap_rtc.session.streams import SendStream
from sleap_rtc.transfer.fetch import Fetch, Target
from sleap_rtc.transfer.offering import Offering, make_offering
from sleap_rtc.transfer.progress import Progress
from sleap_rtc.transfer.provider import Provider
from sleap_rtc.transfer.source import FilesSource, Source, folder_source
from sleap_rtc.transfer.store import Store
from sleap_rtc.transfer.zip_source import ZipSource
from sleap_rtc.transport.memory import MemoryPeer
from tests.session.linked import STEADY, Meeting, linked, meeting

MB = 1024 * 1024
FILES = {"labels.pkg.slp": os.urandom(3 * MB + 17), "configs/a.yaml": b"a: 1\n", "empty": b"", "same": b"a: 1\n"}


def write_tree(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def read_tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


_opened: list[Source] = []


@pytest.fixture(autouse=True)
def _close_sources() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


async def offering_of(folder: Path) -> Offering:
    offering = await make_offering(folder_source(folder))
    _opened.append(offering.source)
    return offering


class Sender:
    """Offers one transfer, "t", and counts what is asked of it."""

    def __init__(self, offering: Offering) -> None:
        self.offering = offering
        self.sent = 0
        self.lists = 0

    @property
    def producers(self) -> Producers:
        provider = Provider(self._find).producers

        async def counted(session: Session, message: StreamRequest, stream: SendStream) -> None:
            self.sent += message.size if isinstance(message, FileGet) else 0
            self.lists += isinstance(message, ChunksGet)
            await provider[type(message)](session, message, stream)

        return dict.fromkeys(provider, counted)

    async def _find(self, transfer: str) -> Offering:
        if transfer != "t":
            raise NotFoundError("No such transfer.")
        return self.offering


def target_in(folder: Path, owner: str = "ada") -> Target:
    return Target(Store(folder / "store"), owner, folder / "here")


def cut(found: Meeting) -> None:
    for peer in found.peers:
        assert isinstance(peer, MemoryPeer)
        peer.channel.link.cut()


async def fetch(session: Session, target: Target, progress: Progress | None = None) -> None:
    work = Fetch(session, "t", target, progress or Progress())
    await work.files(await work.manifest())


Again = Callable[[Target], Target]


async def fetch_once(offering: Offering, target: Target, progress: Progress | None = None) -> Sender:
    sender = Sender(offering)
    with ungrouped():
        async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found, linked(found) as (client, _):
            await fetch(client, target, progress)
    return sender


async def test_a_tree_arrives_byte_for_byte(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src"))
    target, progress = target_in(tmp_path), Progress()
    await fetch_once(offering, target, progress)
    assert read_tree(tmp_path / "here") == FILES
    assert list((tmp_path / "store" / "parts").iterdir()) == []
    # two of the files are the same, so one of them did not have to be sent
    assert (progress.here, progress.arrived) in {
        (5, offering.manifest.total_size - 5),
        (0, offering.manifest.total_size),
    }


async def test_the_other_direction_is_the_same_exchange(tmp_path: Path) -> None:
    sender = Sender(await offering_of(write_tree(tmp_path / "src")))
    async with meeting(timeouts=STEADY, client_producers=sender.producers) as found, linked(found) as (_, worker):
        await fetch(worker, target_in(tmp_path))
    assert read_tree(tmp_path / "here") == FILES


async def test_a_zip_is_sent_member_by_member_and_lands_as_a_tree(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "any name.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
        archive.writestr("__MACOSX/junk", b"x")
        archive.mkdir("folder")
    source = ZipSource(tmp_path / "any name.bin", tmp_path)
    _opened.append(source)
    await fetch_once(await make_offering(source), target_in(tmp_path))
    assert read_tree(tmp_path / "here") == FILES


async def fetch_over_a_cut(
    sender: Sender, data: bytes, target: Target, at: int, again: Again = lambda same: same
) -> None:
    """Fetch a tree of the one file ``big`` over a link that is cut when `at` bytes are here, and over another one.

    Args:
        sender: offers the tree.
        data: what is in the file.
        target: where it goes.
        at: bytes after which the link is cut.
        again: what becomes of the target between the two links.
    """
    async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found:

        def count(here: int, arrived: int) -> None:
            if here + arrived >= at:
                cut(found)

        with pytest.raises(ConnectionLost):
            async with linked(found) as (client, _):
                await fetch(client, target, Progress(count))
        assert read_tree(target.folder) == {}
        target = again(target)
        progress = Progress()
        async with linked(found) as (client, _):
            await fetch(client, target, progress)
    assert (target.folder / "big").read_bytes() == data
    assert progress.here >= at


@pytest.mark.parametrize("tenth", range(1, 10))
async def test_a_cut_at_any_tenth_costs_no_more_than_the_window(tmp_path: Path, tenth: int) -> None:
    data = random.Random(tenth).randbytes(48 * MB)
    sender = Sender(await offering_of(write_tree(tmp_path / "src", {"big": data})))
    await fetch_over_a_cut(sender, data, target_in(tmp_path), len(data) * tenth // 10)
    assert sender.sent - len(data) <= USUAL_WINDOW


async def test_what_is_here_already_is_not_sent_again(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src"))
    target = target_in(tmp_path)
    await fetch_once(offering, target)
    elsewhere = Target(target.store, target.owner, tmp_path / "elsewhere")
    offering.source = FilesSource({})  # nothing could be read any more
    for each in (target, elsewhere):
        progress = Progress()
        sender = await fetch_once(offering, each, progress)
        assert (sender.sent, sender.lists, progress.here) == (0, 0, offering.manifest.total_size)
    assert read_tree(tmp_path / "elsewhere") == FILES


async def test_of_a_new_version_only_what_changed_is_sent(tmp_path: Path) -> None:
    data = bytearray(random.Random(1).randbytes(8 * MB))
    target = target_in(tmp_path)
    await fetch_once(await offering_of(write_tree(tmp_path / "src", {"big": bytes(data)})), target)
    data[3 * MB] ^= 1
    data[5 * MB : 5 * MB] = b"inserted"
    sender = await fetch_once(await offering_of(write_tree(tmp_path / "src", {"big": bytes(data)})), target)
    assert 0 < sender.sent < 0.05 * len(data)
    assert (tmp_path / "here" / "big").read_bytes() == data


async def test_what_another_owner_brought_is_not_here(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src"))
    target = target_in(tmp_path)
    await fetch_once(offering, target)
    other = Target(target.store, "bob", tmp_path / "bob")
    sender = await fetch_once(offering, other)
    assert sender.sent >= offering.manifest.total_size - 5
    assert read_tree(tmp_path / "bob") == FILES


def assert_nothing_arrived(folder: Path) -> None:
    """Neither where the files were to go nor, whole, in the store."""
    assert not any(path.is_file() for path in (folder / "here").rglob("*"))
    assert not any(path.is_file() for path in (folder / "store" / "files").rglob("*"))


class Hostile(Sender):
    """Sends other bytes than it announced.

    Args:
        offering: what it announces.
        change: makes other bytes of those asked for; told how often these were asked for.
        excess: frames to send beyond what was asked for.
    """

    def __init__(self, offering: Offering, change: "Change", *, excess: int = 0) -> None:
        super().__init__(offering)
        self._change = change
        self._excess = excess
        self._asked: dict[int, int] = {}

    @property
    def producers(self) -> Producers:
        async def send(session: Session, message: FileGet, stream: SendStream) -> None:
            times = self._asked[message.offset] = self._asked.get(message.offset, 0) + 1
            path = self.offering.manifest.files[message.file].path
            data = self.offering.source.read(path, message.offset, message.size)
            self.sent += len(data)
            changed = self._change(data, times)
            if changed:
                await stream.write(changed)
                # what no honest sender does: more than was asked for
                await session._lanes.send(message.lane, [Frame(stream.number, len(data), b"x").pack()] * self._excess)

        return {**super().producers, FileGet: send}


class Change:
    """What a hostile sender does, by name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, data: bytes, times: int) -> bytes:
        match self._name:
            case "one bit once":
                return bytes([data[0] ^ (times == 1)]) + data[1:]
            case "one bit for ever":
                return bytes([data[0] ^ 1]) + data[1:]
            case "too little":
                return data[:-1]
            case "nothing":
                return b""
            case "right":
                return data
        raise AssertionError(self._name)


async def test_a_bit_that_flips_on_the_way_is_noticed_and_fetched_again(tmp_path: Path) -> None:
    sender = Hostile(await offering_of(write_tree(tmp_path / "src")), Change("one bit once"))
    async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found, linked(found) as (client, _):
        await fetch(client, target_in(tmp_path))
    assert read_tree(tmp_path / "here") == FILES


@pytest.mark.parametrize("name", ["one bit for ever", "too little", "nothing"])
async def test_wrong_bytes_again_and_again_end_the_transfer_and_nothing_lands(tmp_path: Path, name: str) -> None:
    sender = Hostile(await offering_of(write_tree(tmp_path / "src", {"big": bytes(range(256)) * 9000})), Change(name))
    target = target_in(tmp_path)
    async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found, linked(found) as (client, _):
        with pytest.raises(TransferError):
            await fetch(client, target)
        assert client.close_reason is None
    assert_nothing_arrived(tmp_path)


async def test_more_bytes_than_were_asked_for_cost_the_link(tmp_path: Path) -> None:
    sender = Hostile(await offering_of(write_tree(tmp_path / "src")), Change("right"), excess=1)
    async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found:
        with pytest.raises((ProtocolError, ConnectionLost, TransferError)):
            async with linked(found) as (client, _):
                await fetch(client, target_in(tmp_path))
    # an honest part may be there by then, such as a file that is empty
    assert read_tree(tmp_path / "here").items() <= FILES.items()


async def test_right_chunks_that_make_no_right_file_are_refused(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src", {"big": os.urandom(MB)}))
    entry = offering.manifest.files[0].model_copy(update={"sha256": "0" * 64})
    offering.manifest = Manifest(files=(entry,))
    with pytest.raises(TransferError, match="arrived damaged or changed"):
        await fetch_once(offering, target_in(tmp_path))
    assert_nothing_arrived(tmp_path)


async def test_a_chunk_list_other_than_announced_is_refused(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src", {"big": os.urandom(MB)}))
    entry = offering.manifest.files[0].model_copy(update={"chunks": "0" * 64})
    offering.manifest = Manifest(files=(entry,))
    with pytest.raises(ProtocolError, match="not the one that was announced"):
        await fetch_once(offering, target_in(tmp_path))
    assert_nothing_arrived(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"short"),
        lambda path: path.write_bytes(os.urandom(3 * MB + 17)),
    ],
    ids=["vanishes", "shrinks", "changes"],
)
async def test_a_source_that_is_not_what_it_was_is_named(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    offering = await offering_of(write_tree(tmp_path / "src"))
    change(tmp_path / "src" / "labels.pkg.slp")
    with pytest.raises(TransferError, match=r"labels\.pkg\.slp"):
        await fetch_once(offering, target_in(tmp_path))
    assert not (tmp_path / "here" / "labels.pkg.slp").exists()


async def test_a_manifest_other_than_announced_is_refused(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src"))
    announced = ManifestRef.of(offering.manifest).model_copy(update={"digest": "0" * 64})
    sender = Sender(offering)
    async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found, linked(found) as (client, _):
        with pytest.raises(ProtocolError, match="not the one that was announced"):
            await Fetch(client, "t", target_in(tmp_path)).manifest(announced)
    assert_nothing_arrived(tmp_path)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ManifestGet, {"transfer": "other"}),
        (ChunksGet, {"transfer": "t", "file": 1}),
        (FileGet, {"transfer": "other", "file": 0, "offset": 0, "size": 1}),
        (FileGet, {"transfer": "t", "file": 1, "offset": 0, "size": 1}),
        (FileGet, {"transfer": "t", "file": 0, "offset": 3, "size": 1}),
        (FileGet, {"transfer": "t", "file": 0, "offset": 2, "size": 2}),
    ],
    ids=["manifest", "list", "transfer", "file", "offset", "end"],
)
async def test_requests_beyond_what_is_on_offer_are_refused(
    tmp_path: Path, kind: type[StreamRequest], fields: dict[str, object]
) -> None:
    sender = Sender(await offering_of(write_tree(tmp_path / "src", {"a": b"abc"})))
    async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found, linked(found) as (client, _):
        with await client.slot(100) as slot:
            async with client.ask(slot, kind, **fields) as stream:
                with pytest.raises((NotFoundError, ProtocolError)):
                    await stream.read()
        assert client.close_reason is None


@pytest.mark.parametrize(
    ("path", "size"), [("../a", 1), ("a", 2**63), ("a", -1), ("a\\b", 1)], ids=["path", "size", "negative", "slash"]
)
async def test_a_hostile_manifest_is_refused_before_anything_is_written(tmp_path: Path, path: str, size: int) -> None:
    async def lie(session: Session, message: ManifestGet, stream: SendStream) -> None:
        line = f'{{"path":"{path}","size":{size},"sha256":"{"0" * 64}","chunks":"{"0" * 64}"}}'
        await stream.write(f'{{"files":[{line}]}}'.replace("\\", "\\\\").encode())

    async with meeting(timeouts=STEADY, worker_producers={ManifestGet: lie}) as found, linked(found) as (client, _):
        with pytest.raises((ProtocolError, PackageError)):
            await fetch(client, target_in(tmp_path))
    assert not (tmp_path / "here").exists()
    assert_nothing_arrived(tmp_path)


async def test_two_transfers_of_one_file_at_once_both_end_well(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src"))
    store = Store(tmp_path / "store")
    sender = Sender(offering)
    async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found, linked(found) as (client, _):
        await asyncio.gather(*(fetch(client, Target(store, "ada", tmp_path / str(number))) for number in range(3)))
    for number in range(3):
        assert read_tree(tmp_path / str(number)) == FILES
    assert sender.sent <= offering.manifest.total_size


async def test_a_store_at_its_cap_gives_up_what_was_not_used_for_longest(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", max_bytes=3 * MB)
    offerings = []
    for name in ("first", "second", "third"):
        offerings.append(await offering_of(write_tree(tmp_path / name, {name: os.urandom(MB + MB // 2)})))
        await fetch_once(offerings[-1], Target(store, "ada", tmp_path / "here" / name))
    held = [store.holds("ada", offering.manifest.files[0]) for offering in offerings]
    assert held == [False, True, True]
    assert store.size <= 3 * MB


class FullStore(Store):
    """A store on a disk that has some room, and later less."""

    room = 10**12
    fills_up = False

    def free(self) -> int:
        return self.room

    def make_room(self, needed: int) -> bool:
        found = super().make_room(needed)
        if self.fills_up:
            self.room = 0  # somebody else took it
        return found


async def test_what_does_not_fit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    store = FullStore(tmp_path / "store")
    store.room = 10**6
    sender = Sender(await offering_of(write_tree(tmp_path / "src")))
    async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found, linked(found) as (client, _):
        with pytest.raises(StorageError, match="GB left"):
            await fetch(client, Target(store, "ada", tmp_path / "here"))
    assert sender.sent == 0


async def test_a_disk_that_fills_up_is_waited_for_and_then_named(tmp_path: Path) -> None:
    store = FullStore(tmp_path / "store")
    sender = Sender(await offering_of(write_tree(tmp_path / "src", {"big": os.urandom(8 * MB)})))
    pauses: list[str | None] = []

    class Watching(Progress):
        def pause(self, sentence: str | None) -> None:
            super().pause(sentence)
            pauses.append(sentence)

    async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found, linked(found) as (client, _):
        work = Fetch(client, "t", Target(store, "ada", tmp_path / "here"), Watching())
        manifest = await work.manifest()
        store.fills_up = True
        with pytest.raises(StorageError, match="nearly full"):
            await work.files(manifest)
        assert any(sentence and "nearly full" in sentence for sentence in pauses)
        store.room, store.fills_up = 10**12, False
        await fetch(client, Target(store, "ada", tmp_path / "here"))
    assert (tmp_path / "here" / "big").stat().st_size == 8 * MB


async def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"a file in the way")
    with pytest.raises(SleapRTCError, match="here"):
        await fetch_once(await offering_of(write_tree(tmp_path / "src")), target_in(tmp_path))
