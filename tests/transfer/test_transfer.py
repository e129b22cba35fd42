"""Files over a link: whole or not at all, from where the last attempt ended."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from sleap_rtc.errors import (
    ConnectionLost,
    NotFoundError,
    PackageError,
    ProtocolError,
    StorageError,
    TransferError,
)
from sleap_rtc.protocol.files import FileEntry, FileGet, FileSending, Manifest, ManifestRef
from sleap_rtc.protocol.streams import FULL_WINDOW
from sleap_rtc.transfer.fetch import fetch_files, fetch_manifest
from sleap_rtc.transfer.landing import Landing
from sleap_rtc.transfer.provider import Offering, Provider
from sleap_rtc.transfer.source import FilesSource, ZipSource, folder_source, make_manifest
from sleap_rtc.transport.memory import MemoryPeer
from tests.session.linked import Meeting, linked, meeting

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


async def offering_of(folder: Path) -> Offering:
    source = folder_source(folder)
    return Offering(await make_manifest(source), source)


def provider(offering: Offering) -> Provider:
    async def find(transfer: str) -> Offering:
        if transfer != "t":
            raise NotFoundError("No such transfer.")
        return offering

    return Provider(find)


def landing_in(folder: Path) -> Landing:
    return Landing(folder / "here", folder / "parts")


def cut(found: Meeting) -> None:
    for peer in found.peers:
        assert isinstance(peer, MemoryPeer)
        peer.channel.link.cut()


async def test_a_tree_arrives_byte_for_byte(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src"))
    arrived = 0

    def count(size: int) -> None:
        nonlocal arrived
        arrived += size

    async with meeting(worker_handlers=provider(offering).handlers) as found, linked(found) as (client, _):
        manifest = await fetch_manifest(client, "t", ManifestRef.of(offering.manifest))
        assert manifest == offering.manifest
        await fetch_files(client, "t", manifest, landing_in(tmp_path), count)
    assert read_tree(tmp_path / "here") == FILES
    assert read_tree(tmp_path / "parts") == {}
    assert arrived == offering.manifest.total_size


async def test_the_other_direction_is_the_same_exchange(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src"))
    async with meeting(client_handlers=provider(offering).handlers) as found, linked(found) as (_, worker):
        await fetch_files(worker, "t", await fetch_manifest(worker, "t"), landing_in(tmp_path))
    assert read_tree(tmp_path / "here") == FILES


async def test_a_zip_is_sent_member_by_member_and_lands_as_a_tree(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "any name.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
        archive.writestr("__MACOSX/junk", b"x")
        archive.mkdir("folder")
    source = ZipSource(tmp_path / "any name.bin")
    offering = Offering(await make_manifest(source), source)
    async with meeting(worker_handlers=provider(offering).handlers) as found, linked(found) as (client, _):
        await fetch_files(client, "t", offering.manifest, landing_in(tmp_path))
    assert read_tree(tmp_path / "here") == FILES


async def test_a_cut_link_costs_no_more_than_the_window(tmp_path: Path) -> None:
    data = os.urandom(24 * MB)
    offering = await offering_of(write_tree(tmp_path / "src", {"big": data}))
    sent = 0

    def count_sent(size: int) -> None:
        nonlocal sent
        sent += size

    offering.on_sent = count_sent
    landing = landing_in(tmp_path)
    async with meeting(worker_handlers=provider(offering).handlers) as found:
        for target in (6 * MB, 15 * MB):
            arrived = 0

            def count(size: int, target: int = target) -> None:
                nonlocal arrived
                arrived += size
                if arrived >= target:
                    cut(found)

            with pytest.raises(ConnectionLost):
                async with linked(found) as (client, _):
                    await fetch_files(client, "t", offering.manifest, landing, count)
            assert not (tmp_path / "here" / "big").exists()
        async with linked(found) as (client, _):
            await fetch_files(client, "t", offering.manifest, landing)
    assert (tmp_path / "here" / "big").read_bytes() == data
    assert sent - len(data) <= 2 * (FULL_WINDOW + MB)


async def test_what_is_here_already_is_not_sent_again(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src"))
    landing = landing_in(tmp_path)
    async with meeting(worker_handlers=provider(offering).handlers) as found, linked(found) as (client, _):
        await fetch_files(client, "t", offering.manifest, landing)
        offering.source = FilesSource({})  # nothing could be read any more
        await fetch_files(client, "t", offering.manifest, landing)


async def test_a_source_that_changes_while_it_is_read_is_named_and_nothing_lands(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src"))
    (tmp_path / "src" / "configs" / "a.yaml").write_bytes(b"a: 2\n")
    async with meeting(worker_handlers=provider(offering).handlers) as found, linked(found) as (client, _):
        with pytest.raises(TransferError, match=r"a\.yaml arrived damaged or changed"):
            await fetch_files(client, "t", offering.manifest, landing_in(tmp_path))
    assert not (tmp_path / "here" / "configs" / "a.yaml").exists()


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"short")])
async def test_a_source_that_vanishes_or_shrinks_is_named(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    offering = await offering_of(write_tree(tmp_path / "src"))
    change(tmp_path / "src" / "labels.pkg.slp")
    async with meeting(worker_handlers=provider(offering).handlers) as found, linked(found) as (client, _):
        with pytest.raises(TransferError, match=r"labels\.pkg\.slp"):
            await fetch_files(client, "t", offering.manifest, landing_in(tmp_path))


async def test_a_damaged_part_of_an_earlier_attempt_is_fetched_anew(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src", {"big": os.urandom(MB)}))
    landing = landing_in(tmp_path)
    entry = offering.manifest.files[0]
    (tmp_path / "parts" / f"0-{entry.sha256}").write_bytes(b"not the beginning of it")
    async with meeting(worker_handlers=provider(offering).handlers) as found, linked(found) as (client, _):
        await fetch_files(client, "t", offering.manifest, landing)
    assert read_tree(tmp_path / "here") == read_tree(tmp_path / "src")


async def test_a_manifest_other_than_announced_is_refused(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src"))
    announced = ManifestRef.of(offering.manifest).model_copy(update={"digest": "0" * 64})
    async with meeting(worker_handlers=provider(offering).handlers) as found, linked(found) as (client, _):
        with pytest.raises(ProtocolError, match="not the one that was announced"):
            await fetch_manifest(client, "t", announced)


async def test_requests_beyond_what_is_on_offer_are_refused(tmp_path: Path) -> None:
    offering = await offering_of(write_tree(tmp_path / "src", {"a": b"abc"}))
    async with meeting(worker_handlers=provider(offering).handlers) as found, linked(found) as (client, _):
        for message in (
            FileGet(transfer="other", file=0, offset=0, stream=1),
            FileGet(transfer="t", file=1, offset=0, stream=1),
            FileGet(transfer="t", file=0, offset=4, stream=1),
            FileGet(transfer="t", file=0, offset=0, stream=2),  # not the asker's to give
        ):
            with pytest.raises((NotFoundError, ProtocolError)):
                await client.request(message, FileSending)


def test_more_bytes_than_announced_are_refused_before_they_are_written(tmp_path: Path) -> None:
    part = landing_in(tmp_path).begin(0, FileEntry(path="a", size=3, sha256="0" * 64))
    part.write(b"abc")
    with pytest.raises(TransferError, match="longer than"):
        part.write(b"d")
    part.close()


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    part = landing_in(tmp_path).begin(0, FileEntry(path="a", size=3, sha256="0" * 64))
    part._file.close()
    part._file = Path("/dev/full").open("r+b", buffering=0)  # type: ignore[assignment] # noqa: SIM115
    with pytest.raises(StorageError, match="is full"):
        part.write(b"abc")
    part.close()


def test_a_link_in_place_of_a_part_is_not_followed(tmp_path: Path) -> None:
    landing = landing_in(tmp_path)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "parts" / ("0-" + "0" * 64)).symlink_to(victim)
    with pytest.raises(StorageError):
        landing.begin(0, FileEntry(path="a", size=3, sha256="0" * 64))
    assert victim.read_bytes() == b"precious"


async def test_hidden_files_stay_at_home(tmp_path: Path) -> None:
    write_tree(tmp_path / "src", {".git/config": b"secret", "a": b"a", "b/.env": b"secret"})
    assert [path for path, _ in folder_source(tmp_path / "src").files()] == ["a"]


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


@pytest.mark.parametrize("make", [encrypted_zip, bzip2_zip, truncated_zip])
def test_a_zip_that_cannot_be_read_is_a_sentence(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "a.zip")
    with pytest.raises(PackageError, match="zip"):
        ZipSource(tmp_path / "a.zip")


async def test_a_zip_with_a_damaged_member_is_a_sentence(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.slp", b"abc" * 100)
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"abcabc", b"abXabc", 1))
    with pytest.raises(PackageError, match=r"a\.slp cannot be read"):
        await make_manifest(ZipSource(tmp_path / "a.zip"))


async def test_a_manifest_lists_a_tree_in_order(tmp_path: Path) -> None:
    manifest = await make_manifest(folder_source(write_tree(tmp_path)))
    assert isinstance(manifest, Manifest)
    assert [entry.path for entry in manifest.files] == sorted(FILES)


async def test_a_member_that_does_not_inflate_is_a_sentence(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.slp", b"abcdefgh" * 1000)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[40:48] = b"\xff" * 8
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(PackageError, match=r"a\.slp cannot be read"):
        await make_manifest(ZipSource(tmp_path / "a.zip"))


async def test_a_link_to_a_folder_is_named_and_not_left_out(tmp_path: Path) -> None:
    write_tree(tmp_path / "elsewhere", {"a.slp": b"a"})
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "labels").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PackageError, match="link to a folder"):
        folder_source(tmp_path / "src")


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"a file in the way")
    with pytest.raises(StorageError):
        landing_in(tmp_path)
