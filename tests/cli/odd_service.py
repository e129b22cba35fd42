"""A service that is none: it says what a test wants, and remembers what it was asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class OddService:
    """What listens there.

    Attributes:
        answer: what it says to each request, byte for byte; None keeps whoever asks waiting.
        asked: the heads of the requests, as they came.
        changed: notified of each of them.
    """

    url: str = ""
    answer: bytes | None = b""
    asked: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            async with self.changed:
                self.asked.append(head)
                self.changed.notify_all()
            if self.answer is None:
                await reader.read()
            else:
                writer.write(self.answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return  # whoever asked has heard enough
        finally:
            writer.close()


@asynccontextmanager
async def odd_service(answer: bytes | None, path: str = "") -> AsyncIterator[OddService]:
    """Let one listen on this machine, behind a path if one is given."""
    odd = OddService(answer=answer)
    async with await asyncio.start_server(odd.serve, "127.0.0.1", 0) as server:
        odd.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
        yield odd


def says(body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """An answer with a body."""
    head = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *headers,
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body
