"""The sending side of a transfer: answers what the receiver asks for."""

from collections.abc import Awaitable, Callable

from sleap_rtc.errors import NotFoundError, ProtocolError
from sleap_rtc.protocol.files import ChunksGet, FileGet, ManifestGet
from sleap_rtc.session.session import Producers, Session
from sleap_rtc.session.streams import SendStream
from sleap_rtc.transfer.offering import Offering
from sleap_rtc.transfer.threads import in_thread

BLOCK = 1024 * 1024
"""Bytes read from the disk at once."""


class Provider:
    """Serves offerings over a link.

    Args:
        find: looks an offering up by its transfer id; raises NotFoundError for one that is not there, or not theirs.
    """

    def __init__(self, find: Callable[[str], Awaitable[Offering]]) -> None:
        self._find = find

    @property
    def producers(self) -> Producers:
        """What answers the receiver's stream requests."""
        return {ManifestGet: self._send_manifest, ChunksGet: self._send_chunks, FileGet: self._send_file}

    async def _send_manifest(self, _: Session, message: ManifestGet, stream: SendStream) -> None:
        offering = await self._find(message.transfer)
        await stream.write(await in_thread(offering.manifest.to_bytes), last=True)

    async def _send_chunks(self, _: Session, message: ChunksGet, stream: SendStream) -> None:
        offering = await self._find(message.transfer)
        if message.file >= len(offering.chunks):
            raise NotFoundError("That transfer has no such file.")
        await stream.write(await in_thread(offering.chunks[message.file].to_bytes), last=True)

    async def _send_file(self, _: Session, message: FileGet, stream: SendStream) -> None:
        offering = await self._find(message.transfer)
        if message.file >= len(offering.manifest.files):
            raise NotFoundError("That transfer has no such file.")
        entry = offering.manifest.files[message.file]
        end = message.offset + message.size
        if end > entry.size:
            raise ProtocolError(f"{entry.path} was asked for beyond its end.")
        for offset in range(message.offset, end, BLOCK):
            size = min(BLOCK, end - offset)
            data = await in_thread(offering.source.read, entry.path, offset, size)
            await stream.write(data, last=offset + size == end)
