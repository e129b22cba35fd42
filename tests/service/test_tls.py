"""A service behind TLS: no credential is sent to whoever cannot show that it is the service."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import UnreachableError
from sleap_rtc.protocol.tokens import make_token
from sleap_rtc.signaling.api import ServiceAPI
from sleap_rtc.signaling.client import SignalingClient

pytestmark = pytest.mark.one_database

TOKEN = make_token("session", bytes(32))


@dataclass
class Listener:
    """Something with a certificate, and all that clients said to it."""

    url: str
    heard: list[bytes] = field(default_factory=list)


def certificate_for(folder: Path, name: str) -> ssl.SSLContext:
    """A certificate for `name` that clients trust who trust ``ca.pem`` in `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


@asynccontextmanager
async def listening(folder: Path, name: str) -> AsyncIterator[Listener]:
    """Listen on this machine, under `name`, and answer nothing."""
    listener = Listener("")

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.heard.append(await reader.read(65536))
        writer.close()

    server = await asyncio.start_server(hear, "localhost", 0, ssl=certificate_for(folder, name))
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
