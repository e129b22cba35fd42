"""The sending side of a transfer: answers what the receiver asks for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sleap_rtc.errors import NotFoundError, ProtocolError, TransferError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.files import (
    FileEntry,
    FileGet,
    FileSending,
    Manifest,
    ManifestGet,
    ManifestRef,
    ManifestSending,
)
from sleap_rtc.session.session import Handlers, Session
from sleap_rtc.session.streams import SendStream
from sleap_rtc.transfer.source import BLOCK, UNREADABLE, Source


@dataclass
class Offering:
    """Files on offer.

    Attributes:
        manifest: what there is.
        source: where it is read from.
        on_sent: told the bytes sent, now and then.
        on_skipped: told the bytes that the receiver had already.
    """

    manifest: Manifest
    source: Source
    on_sent: Callable[[int], None] = field(default=lambda size: None)
    on_skipped: Callable[[int], None] = field(default=lambda size: None)


class Provider:
    """Serves offerings over a link.

    Args:
        find: looks an offering up by its transfer id; raises NotFoundError for one that is not there, or not theirs.
    """

    def __init__(self, find: Callable[[str], Awaitable[Offering]]) -> None:
        self._find = find

    @property
    def handlers(self) -> Handlers:
        """What answers the receiver's requests."""
        return {ManifestGet: self._send_manifest, FileGet: self._send_file}

    async def _send_manifest(self, session: Session, message: ManifestGet) -> Message:
        offering = await self._find(message.transfer)
        data = await asyncio.to_thread(offering.manifest.to_bytes)
        session.send_stream(message.stream, lambda stream: stream.write(data))
        return ManifestSending(manifest=ManifestRef(size=len(data), digest=offering.manifest.digest))

    async def _send_file(self, session: Session, message: FileGet) -> Message:
        offering = await self._find(message.transfer)
        if message.file >= len(offering.manifest.files):
            raise NotFoundError("That transfer has no such file.")
        entry = offering.manifest.files[message.file]
        if message.offset > entry.size:
            raise ProtocolError(f"{entry.path} was asked for beyond its end.")
        session.send_stream(message.stream, lambda stream: _stream_file(offering, entry, message.offset, stream))
        offering.on_skipped(message.offset)
        return FileSending()


async def _stream_file(offering: Offering, entry: FileEntry, offset: int, stream: SendStream) -> None:
    left = entry.size - offset
    try:
        file = await asyncio.to_thread(offering.source.open, entry.path)
        try:
            await asyncio.to_thread(file.seek, offset)
            while left:
                block = await asyncio.to_thread(file.read, min(BLOCK, left))
                if not block:
                    raise TransferError(f"{entry.path} became shorter while it was sent. Send the package again.")
                await stream.write(block)
                left -= len(block)
                offering.on_sent(len(block))
        finally:
            file.close()
    except UNREADABLE as error:
        raise TransferError(f"{entry.path} cannot be read any more: {error}. Send the package again.") from error
