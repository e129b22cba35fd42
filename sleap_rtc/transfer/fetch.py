"""The receiving side of a transfer: asks for what it lacks, from where its copy ends."""

import asyncio
from collections.abc import Callable

from sleap_rtc.errors import ProtocolError, TransferError, ungrouped
from sleap_rtc.protocol.files import (
    FileEntry,
    FileGet,
    FileSending,
    Manifest,
    ManifestGet,
    ManifestRef,
    ManifestSending,
)
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.landing import Landing, Part

FILES_AT_ONCE = 4
"""Files in flight on a link; each has its own window, which bounds the link's memory."""
ATTEMPTS = 3
"""How often a file that arrives damaged is asked for again."""


async def fetch_manifest(session: Session, transfer: str, expected: ManifestRef | None = None) -> Manifest:
    """Ask the other side for a transfer's manifest.

    Args:
        session: the link.
        transfer: which one.
        expected: what it must be, where that was announced.

    Raises:
        ProtocolError: if it is another one, or cannot be read.
        PackageError: if it breaks a path rule.
    """
    async with session.open_stream() as stream:
        # the other side may have to hash gigabytes first; the link's own keepalive tells whether it still lives
        reply = await session.request(
            ManifestGet(transfer=transfer, stream=stream.number), ManifestSending, timeout=float("inf")
        )
        data = await stream.read_all(reply.manifest.size)
    manifest = await asyncio.to_thread(Manifest.from_bytes, data)
    digest = expected.digest if expected else reply.manifest.digest
    if manifest.digest != digest:
        raise ProtocolError("The list of files that arrived is not the one that was announced.")
    return manifest


async def fetch_files(
    session: Session,
    transfer: str,
    manifest: Manifest,
    landing: Landing,
    on_bytes: Callable[[int], None] = lambda size: None,
) -> None:
    """Fetch every file that `landing` lacks.

    Args:
        session: the link.
        transfer: which transfer the manifest belongs to.
        manifest: what there is.
        landing: where it goes.
        on_bytes: told the bytes that are here, those of earlier attempts included.

    Raises:
        ConnectionLost: if the link ended; what arrived is kept for the next attempt.
        TransferError: if a file arrives damaged `ATTEMPTS` times, or its source changed.
        StorageError: if the disk refuses.
    """
    waiting = iter(enumerate(manifest.files))
    with ungrouped():
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(FILES_AT_ONCE, len(manifest.files))):
                tasks.create_task(_work(session, transfer, waiting, landing, on_bytes))


async def _work(
    session: Session,
    transfer: str,
    waiting: "enumerate[FileEntry]",
    landing: Landing,
    on_bytes: Callable[[int], None],
) -> None:
    for index, entry in waiting:
        if await asyncio.to_thread(landing.holds, entry):
            on_bytes(entry.size)
            continue
        for attempt in range(1, ATTEMPTS + 1):
            part = await asyncio.to_thread(landing.begin, index, entry)
            try:
                await _fetch(
                    session, FileGet(transfer=transfer, file=index, offset=part.offset, stream=1), part, on_bytes
                )
                break
            except TransferError:
                if attempt == ATTEMPTS:
                    raise
            finally:
                await asyncio.to_thread(part.close)


async def _fetch(session: Session, message: FileGet, part: Part, on_bytes: Callable[[int], None]) -> None:
    on_bytes(part.offset)
    arrived = part.offset
    try:
        async with session.open_stream() as stream:
            await session.request(message.model_copy(update={"stream": stream.number}), FileSending)
            while data := await stream.read():
                await asyncio.to_thread(part.write, data)
                arrived += len(data)
                on_bytes(len(data))
        await asyncio.to_thread(part.publish)
    except TransferError:
        on_bytes(-arrived)
        raise
