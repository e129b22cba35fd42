"""A service behind TLS: no credential is sent to whoever cannot show that it is the service."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import UnreachableError
from sleap_rtc.protocol.tokens import make_token
from sleap_rtc.signaling.api import ServiceAPI
from sleap_rtc.signaling.client import SignalingClient
from tests.certificates import certificate_for

pytestmark = pytest.mark.one_database

TOKEN = make_token("session", bytes(32))


@dataclass
class Listener:
    """Something with a certificate, and all that clients said to it."""

    url: str
    heard: list[bytes] = field(default_factory=list)


def server_context(folder: Path, name: str) -> ssl.SSLContext:
    """Who has a certificate for `name` that clients trust who trust ``ca.pem`` in `folder`."""
    certificate, key = certificate_for(folder, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@asynccontextmanager
async def listening(folder: Path, name: str) -> AsyncIterator[Listener]:
    """Listen on this machine, under `name`, and answer nothing."""
    listener = Listener("")

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.heard.append(await reader.read(65536))
        writer.close()

    server = await asyncio.start_server(hear, "localhost", 0, ssl=server_context(folder, name))
    async with server:
        listener.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        yield listener


async def refusals(url: str) -> list[str]:
    """Ask with a credential by both ways, of which neither is answered; why not."""
    with pytest.raises(UnreachableError) as rest:
        await ServiceAPI(url, TOKEN).me()
    async with SignalingClient(url, TOKEN, timeouts=Timeouts()) as client:
        with pytest.raises(UnreachableError) as socket:
            await client.welcome()
    return [rest.value.sentence, socket.value.sentence]


async def test_a_certificate_for_another_name_gets_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with listening(tmp_path, "other.example") as listener:
        assert all("not valid for it" in each for each in await refusals(listener.url))
    assert b"".join(listener.heard) == b""
    # the same with the right name is believed: it is the name that was refused
    async with listening(tmp_path, "localhost") as listener:
        assert not any("not valid for it" in each for each in await refusals(listener.url))
    assert sum(TOKEN.encode() in each for each in listener.heard) == 2


async def test_a_certificate_of_nobody_known_gets_no_token(tmp_path: Path) -> None:
    async with listening(tmp_path, "localhost") as listener:
        assert all("not valid for it" in each for each in await refusals(listener.url))
    assert b"".join(listener.heard) == b""
