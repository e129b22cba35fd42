"""Files on offer: listed, hashed in one pass, then read in any order; whatever changed meanwhile is named."""

import asyncio
import errno
import hashlib
import os
import random
import shutil
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest

from sleap_rtc.errors import PackageError, StorageError, TransferError
from sleap_rtc.protocol.chunks import SINGLE
from sleap_rtc.protocol.files import MAX_FILE_SIZE, Manifest
from sleap_rtc.transfer import source as source_module
from sleap_rtc.transfer.merged import MergedSource
from sleap_rtc.transfer.offering import Offering, make_offering
from sleap_rtc.transfer.source import FilesSource, Source, folder_source
from sleap_rtc.transfer.zip_source import SMALL, ZipSource

MB = 1024 * 1024
FILES = {
    "labels.pkg.slp": random.Random(2).randbytes(3 * MB + 17),
    "configs/a.yaml": b"a: 1\n",
    "empty": b"",
    "same": b"a: 1\n",
    "video.mp4": random.Random(3).randbytes(SMALL) + bytes(2 * MB),  # too large to be inflated on demand
}
KINDS = ["folder", "stored", "deflated", "merged"]


def write_tree(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_zip(path: Path, compression: int, files: Mapping[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


Make = Callable[..., Source]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a source of one kind that holds `FILES` or others; it is closed in the end."""
    made: list[Source] = []

    def make_source(kind: str, files: Mapping[str, bytes] = FILES) -> Source:
        if kind == "folder":
            source: Source = folder_source(write_tree(tmp_path / "src", files))
        elif kind == "merged":
            half = len(files) // 2
            one, other = dict(list(files.items())[:half]), dict(list(files.items())[half:])
            source = MergedSource(folder_source(write_tree(tmp_path / "half", one)), make_source("deflated", other))
        else:
            compression = zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED
            source = ZipSource(write_zip(tmp_path / "a.zip", compression, files), tmp_path / "spool")
        made.append(source)
        return source

    yield make_source
    for source in made:
        source.close()


@pytest.fixture
def files_of(tmp_path: Path) -> Iterator[Callable[[Mapping[str, Path]], FilesSource]]:
    made: list[FilesSource] = []

    def make_source(files: Mapping[str, Path]) -> FilesSource:
        made.append(FilesSource(files))
        return made[-1]

    yield make_source
    for source in made:
        source.close()


def written_again(path: Path) -> None:
    """Write as many bytes into the file, later, whatever the clock's steps are."""
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


# --- listing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_an_offering_says_what_there_is_and_where_it_is_cut(kind: str, make: Make) -> None:
    offering = await make_offering(make(kind))
    assert {entry.path: entry.sha256 for entry in offering.manifest.files} == {
        path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()
    }
    for entry, chunks in zip(offering.manifest.files, offering.chunks, strict=True):
        assert chunks.size == entry.size == len(FILES[entry.path])
        assert entry.chunks == (chunks.digest if entry.size > SINGLE else None)
        for chunk in chunks:
            data = FILES[entry.path][chunk.offset : chunk.end]
            assert chunk.sha256 == hashlib.sha256(data).digest()
    assert Manifest.from_bytes(offering.manifest.to_bytes()) == offering.manifest


async def test_a_tree_has_the_same_digest_packed_and_unpacked(make: Make) -> None:
    digests = {(await make_offering(make(kind))).manifest.digest for kind in KINDS}
    assert len(digests) == 1


async def test_a_manifest_lists_a_folder_in_order_of_its_paths(make: Make) -> None:
    offering = await make_offering(make("folder"))
    assert [entry.path for entry in offering.manifest.files] == sorted(FILES)


def test_hidden_files_stay_at_home(make: Make) -> None:
    source = make("folder", {".git/config": b"secret", "a": b"a", "b/.env": b"secret"})
    assert [path for path, _ in source.files()] == ["a"]


def test_what_a_desktop_adds_to_a_zip_stays_at_home(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "any name.bin", "w") as archive:
        archive.writestr("__MACOSX/junk", b"x")
        archive.writestr("a", b"abc")
        archive.mkdir("folder")
    assert ZipSource(tmp_path / "any name.bin").files() == [("a", 3)]


def test_a_link_to_a_folder_is_named_and_not_left_out(tmp_path: Path) -> None:
    write_tree(tmp_path / "elsewhere", {"a.slp": b"a"})
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "labels").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PackageError, match="link to a folder"):
        folder_source(tmp_path / "src")


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "day/../../secret", ".env", ".git/config", "chain"])
def test_a_link_to_a_file_that_is_not_sent_is_named_and_not_followed(tmp_path: Path, target: str) -> None:
    write_tree(tmp_path, {"secret": b"key"})
    root = write_tree(tmp_path / "src", {"day/a.slp": b"a", ".env": b"key", ".git/config": b"key"})
    (root / "chain").symlink_to(root / "next")
    (root / "next").symlink_to(tmp_path / "secret")
    if target != "chain":
        (root / "chain").unlink()
        (root / "next").unlink()
    (root / "labels.slp").symlink_to(target)
    with pytest.raises(PackageError, match="in the package is a link to") as caught:
        folder_source(root)
    assert "key" not in caught.value.sentence


def test_a_link_to_a_file_of_the_package_is_followed_wherever_the_package_is(tmp_path: Path) -> None:
    write_tree(tmp_path / "src", {"day/a.slp": b"abc"})
    (tmp_path / "src" / "labels.slp").symlink_to("day/a.slp")
    (tmp_path / "src" / "dangling").symlink_to("nothing")
    (tmp_path / "here").symlink_to(tmp_path / "src")
    with closing(folder_source(tmp_path / "here")) as source:
        assert source.files() == [("day/a.slp", 3), ("labels.slp", 3)]
        assert source.read("labels.slp", 0, 3) == b"abc"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_two_members_of_one_name_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("labels.slp", b"one")
        archive.writestr("labels.slp", b"two")
    with closing(ZipSource(tmp_path / "a.zip")) as source, pytest.raises(PackageError, match=r"labels\.slp.*collides"):
        source.files()


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a.slp")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(PackageError, match=r"a\.slp in a\.zip is a link"):
        ZipSource(tmp_path / "a.zip")


@pytest.mark.parametrize("kind", ["stored", "deflated"])
def test_a_zip_with_a_path_that_leads_out_is_refused(kind: str, make: Make) -> None:
    with pytest.raises(PackageError, match="refused"):
        make(kind, {"../a": b"a"}).files()


def encrypted_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.slp", b"abc")
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)


def bzip2_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.slp", b"abc")


def truncated_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.slp", b"abc" * 1000)
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize("spoil", [encrypted_zip, bzip2_zip, truncated_zip])
def test_a_zip_that_cannot_be_read_is_a_sentence(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(tmp_path / "a.zip")
    with pytest.raises(PackageError, match="zip"):
        ZipSource(tmp_path / "a.zip")


# --- what is no file -------------------------------------------------------------------------------------------------

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@needs_fifo
def test_a_pipe_is_refused_at_once(tmp_path: Path, files_of: Callable[[Mapping[str, Path]], FilesSource]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PackageError, match="no regular file"):
        files_of({"a": tmp_path / "pipe"}).files()


@needs_fifo
def test_a_pipe_that_takes_a_files_place_is_refused_at_once(make: Make, tmp_path: Path) -> None:
    source = make("folder")
    source.files()
    (tmp_path / "src" / "same").unlink()
    os.mkfifo(tmp_path / "src" / "same")
    with pytest.raises(TransferError, match="same cannot be read any more: it is no regular file"):
        source.open("same")
    with pytest.raises(TransferError, match="same cannot be read any more: it is no regular file"):
        source.read("same", 0, 1)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_a_device_is_refused(files_of: Callable[[Mapping[str, Path]], FilesSource]) -> None:
    with pytest.raises(PackageError, match="no regular file"):
        files_of({"a": Path("/dev/zero")}).files()


def test_a_file_that_is_not_there_is_a_sentence(
    tmp_path: Path, files_of: Callable[[Mapping[str, Path]], FilesSource]
) -> None:
    with pytest.raises(PackageError, match="a cannot be read: No such file"):
        files_of({"a": tmp_path / "missing"}).files()


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hashed", [True, False], ids=["hashed before", "never hashed"])
@pytest.mark.parametrize("kind", KINDS)
async def test_any_part_is_read_in_any_order(kind: str, hashed: bool, make: Make) -> None:
    source = make(kind)
    if hashed:
        await make_offering(source)
    for path in reversed(FILES):
        data = FILES[path]
        for offset, size in ((len(data), 0), (len(data) // 2, len(data) // 3), (0, len(data)), (0, 0)):
            assert source.read(path, offset, size) == data[offset : offset + size]


@pytest.mark.parametrize("pread", [True, False], ids=["pread", "seek"])
@pytest.mark.parametrize("kind", KINDS)
async def test_several_threads_read_at_once(
    kind: str, pread: bool, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not pread:
        monkeypatch.setattr(source_module, "_read_at", None)
    offering = await make_offering(make(kind))
    wanted = [
        (entry, chunk)
        for entry, chunks in zip(offering.manifest.files, offering.chunks, strict=True)
        for chunk in chunks
    ]
    random.Random(4).shuffle(wanted)
    with ThreadPoolExecutor(8) as threads:
        read = threads.map(lambda want: offering.source.read(want[0].path, want[1].offset, want[1].length), wanted)
        for (_, chunk), data in zip(wanted, read, strict=True):
            assert hashlib.sha256(data).digest() == chunk.sha256


def test_more_files_than_are_kept_open_can_be_read(make: Make) -> None:
    files = {f"{number}": str(number).encode() for number in range(40)}
    source = make("folder", files)
    with ThreadPoolExecutor(8) as threads:
        paths = [*files] * 5
        assert [*threads.map(lambda path: source.read(path, 0, len(files[path])), paths)] == [files[p] for p in paths]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only this system lists open files")
def test_few_files_are_kept_open_and_none_after_closing(make: Make) -> None:
    def count() -> int:
        return len([*Path("/proc/self/fd").iterdir()])

    before = count()
    source = make("folder", {f"{number}": b"a" for number in range(40)})
    for path, _ in source.files():
        source.read(path, 0, 1)
    assert count() - before <= 8
    source.close()
    assert count() == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_in_a_file_cannot_be_read(kind: str, make: Make) -> None:
    source = make(kind)
    for offset, size in ((0, 6), (5, 1), (-1, 2), (3, -1)):
        with pytest.raises(TransferError, match="same was asked for beyond its end"):
            source.read("same", offset, size)
    with pytest.raises(TransferError, match="not among the files"):
        source.read("other", 0, 1)


async def test_what_was_spooled_is_gone_after_closing(make: Make) -> None:
    source = make("deflated")
    await make_offering(source)
    source.close()
    source.close()
    for path in ("same", "video.mp4"):
        with pytest.raises(TransferError, match=f"{path} cannot be read any more"):
            source.read(path, 0, 1)


# --- what changes meanwhile ------------------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "shortened": lambda path: path.write_bytes(path.read_bytes()[:2]),
    "lengthened": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "written again": written_again,
    "replaced": lambda path: Path(shutil.copy2(path, path.with_name("new"))).replace(path),
}


def victim_of(kind: str, tmp_path: Path) -> Path:
    return tmp_path / "src" / "same" if kind == "folder" else tmp_path / "a.zip"


@pytest.mark.parametrize("opened", [True, False], ids=["open", "not open"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_change_after_hashing_is_named(
    kind: str, change: str, opened: bool, make: Make, tmp_path: Path
) -> None:
    source = make(kind)
    await make_offering(source)
    if opened:
        source.read("same", 0, 1)
    CHANGES[change](victim_of(kind, tmp_path))
    with pytest.raises(TransferError, match=r"same cannot be .*[Ss]end the package again"):
        source.read("same", 0, 1)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_change_between_listing_and_hashing_is_named(
    kind: str, change: str, make: Make, tmp_path: Path
) -> None:
    source = make(kind)
    source.files()
    CHANGES[change](victim_of(kind, tmp_path))
    with pytest.raises(PackageError, match=r"send the package again|Send the package again"):
        await make_offering(source)


class Meddling(FilesSource):
    """A source whose file is written to while it is hashed."""

    def __init__(self, path: Path, meddle: Callable[[Path], object]) -> None:
        super().__init__({"same": path})
        self._path = path
        self._meddle = meddle

    def open(self, path: str) -> BinaryIO:
        file = super().open(path)
        self._meddle(self._path)
        return file


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_during_hashing_is_named(change: str, tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"a: 1\n")
    with pytest.raises(PackageError, match="same changed while it was read"):
        await make_offering(Meddling(tmp_path / "same", CHANGES[change]))


async def test_a_file_that_is_larger_than_can_be_sent_is_refused_before_it_is_read(tmp_path: Path) -> None:
    class Huge(FilesSource):
        def files(self) -> list[tuple[str, int]]:
            return [("huge", MAX_FILE_SIZE + 1)]

    with pytest.raises(PackageError, match="huge is too large"):
        await make_offering(Huge({}))


# --- damaged zips ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [300, SMALL + 300])
@pytest.mark.parametrize("kind", ["stored", "deflated"])
async def test_a_damaged_member_is_a_sentence(kind: str, size: int, make: Make, tmp_path: Path) -> None:
    make(kind, {"a.slp": FILES["video.mp4"][:size]})
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[40:48] = b"\xff" * 8
    (tmp_path / "a.zip").write_bytes(data)
    source = ZipSource(tmp_path / "a.zip", tmp_path / "spool")
    try:
        with pytest.raises(PackageError, match=r"a\.slp cannot be read"):
            await make_offering(source)
        if kind == "deflated":
            with pytest.raises(TransferError, match=r"a\.slp cannot be read any more"):
                source.read("a.slp", 0, 1)
    finally:
        source.close()


# --- the spool -------------------------------------------------------------------------------------------------------


async def test_what_is_inflated_has_no_name_on_disk(make: Make, tmp_path: Path) -> None:
    source = make("deflated")
    await make_offering(source)
    source.read("video.mp4", 0, 1)
    assert [*(tmp_path / "spool").iterdir()] == []


async def test_without_a_folder_what_is_inflated_goes_to_our_own(tmp_path: Path) -> None:
    source = ZipSource(write_zip(tmp_path / "a.zip", zipfile.ZIP_DEFLATED))
    await make_offering(source)
    source.close()
    folder = Path(os.environ["SLEAP_RTC_HOME"]) / "tmp"
    assert [*folder.iterdir()] == []
    if os.name != "nt":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_member_is_inflated_once_for_hashing_and_reading(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make("deflated")
    opened: list[str] = []
    really_open = zipfile.ZipFile.open

    def open_counted(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> object:
        opened.append(info.filename)
        return really_open(archive, info)

    monkeypatch.setattr(zipfile.ZipFile, "open", open_counted)
    await make_offering(source)
    for offset in range(0, SMALL, MB):
        source.read("video.mp4", offset, MB)
    assert opened.count("video.mp4") == 1


def no_room(folder: object) -> object:
    return shutil._ntuple_diskusage(100, 100, 0)


def full(*args: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("module", "name", "fails"), [(shutil, "disk_usage", no_room), (os, "write", full)], ids=["before", "midway"]
)
def test_a_full_disk_says_what_to_do(
    module: object, name: str, fails: object, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("deflated", {"video.mp4": FILES["video.mp4"]})
    with monkeypatch.context() as patched:
        patched.setattr(module, name, fails)
        with pytest.raises(StorageError, match=r"a\.zip is compressed .* is full\. Free some space"):
            source.read("video.mp4", 0, 1)
    assert source.read("video.mp4", 0, 9) == FILES["video.mp4"][:9]


def test_a_spool_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    source = ZipSource(write_zip(tmp_path / "a.zip", zipfile.ZIP_DEFLATED), tmp_path / "file" / "spool")
    with pytest.raises(StorageError, match="cannot be written"):
        source.open("video.mp4")
    source.close()


# --- hashing off the event loop --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_progress_adds_up_and_is_told_on_the_event_loop(kind: str, make: Make) -> None:
    told: list[tuple[int, threading.Thread]] = []
    offering = await make_offering(make(kind), lambda size: told.append((size, threading.current_thread())))
    assert sum(size for size, _ in told) == offering.manifest.total_size
    assert {thread for _, thread in told} == {threading.current_thread()}
    assert len(told) >= 2


async def test_who_gives_up_waits_no_longer_than_for_a_block(tmp_path: Path) -> None:
    started, go_on, closed = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    class Endless(FilesSource):
        def open(self, path: str) -> BinaryIO:
            class File:
                def read(self, size: int) -> bytes:
                    loop.call_soon_threadsafe(started.set)
                    go_on.wait(30)
                    return bytes(1000)

                def __enter__(self) -> "File":
                    return self

                def __exit__(self, *error: object) -> None:
                    closed.append(True)

            return File()  # type: ignore[return-value]

        def files(self) -> list[tuple[str, int]]:
            return [("a", 2**40)]

    hashing: asyncio.Task[Offering] = asyncio.create_task(make_offering(Endless({})))
    await started.wait()
    hashing.cancel()
    loop.call_soon(go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await hashing
    assert closed
