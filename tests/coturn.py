"""A real coturn, with the configuration that the page about deploying recommends."""

import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep, time

import pytest

from signaling_server.signaling.turn import password
from sleap_rtc.protocol.sdp import IceServer
from tests.certificates import certificate_for
from tests.docs.pages import DOCS

STARTED = b"Total General servers"
START_WITHIN = 20.0
LOOPBACK = ("allow-loopback-peers", "allowed-peer-ip=127.0.0.1")
"""What peers of one machine need beside the configuration, which lets nobody get there."""


def recommended() -> str:
    """The configuration on the page: the one block that begins with the name of its file."""
    found: list[str] = re.findall(
        r"^```ini\n(# /etc/turnserver\.conf\n.*?)^```",
        (DOCS / "deploy.md").read_text("utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    assert len(found) == 1
    return found[0]


@dataclass(frozen=True)
class Coturn:
    """A relay that runs.

    Attributes:
        host: where it listens and relays.
        port: for UDP and TCP.
        tls_port: for TLS.
        secret: what it shares with a service.
        certificate: the file of its certificate, which nobody but a test trusts.
        log: the file of what it says.
        process: the program.
    """

    host: str
    port: int
    tls_port: int
    certificate: Path
    log: Path
    process: subprocess.Popen[bytes]
    secret: str = field(repr=False)

    def url(self, transport: str) -> str:
        """Its address for ``udp``, ``tcp`` or ``tls``."""
        if transport == "tls":
            return f"turns:{self.host}:{self.tls_port}?transport=tcp"
        return f"turn:{self.host}:{self.port}?transport={transport}"

    def server(self, *transports: str, seconds: int = 3600, secret: str | None = None) -> IceServer:
        """What a service with this secret, or another one, tells somebody of it."""
        username = f"{int(time()) + seconds}:u_aaaaaaaa.p_{secrets.token_hex(4)}"
        shared = (secret or self.secret).encode()
        urls = [self.url(transport) for transport in transports]
        return IceServer(urls=urls, username=username, credential=password(shared, username))

    def stop(self) -> None:
        """End it at once; again does nothing."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextmanager
def coturn(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    more: Sequence[str] = LOOPBACK,
    prefix: Sequence[str] = (),
    ports: tuple[int, int] | None = None,
) -> Iterator[Coturn]:
    """Run coturn while the block runs.

    Args:
        folder: for its files.
        host: the address to listen and relay on.
        more: lines beside the recommended configuration; the last of a repeated key counts.
        prefix: what its command begins with, as ``ip netns exec NAME``.
        ports: for UDP and TCP, and for TLS; free ones of this machine by default.
    """
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("coturn is not installed")
    port, tls_port = ports or (_free_port(host), _free_port(host))
    certificate, key = certificate_for(folder, host)
    secret = secrets.token_hex(32)
    lines = [
        f"static-auth-secret={secret}",
        f"listening-port={port}",
        f"tls-listening-port={tls_port}",
        f"cert={certificate}",
        f"pkey={key}",
        f"listening-ip={host}",
        f"relay-ip={host}",
        f"pidfile={folder / 'turnserver.pid'}",
        f"userdb={folder / 'turndb'}",
        "log-file=stdout",
        *more,
    ]
    config = folder / "turnserver.conf"
    # of the secret each line counts, not the last alone
    page = re.sub(r"^static-auth-secret=.*\n", "", recommended(), flags=re.MULTILINE)
    config.write_text(page + "\n".join(lines) + "\n")
    log = folder / "turnserver.log"
    with log.open("wb") as output:
        process = subprocess.Popen([*prefix, program, "-c", str(config)], stdout=output, stderr=subprocess.STDOUT)
    made = Coturn(host, port, tls_port, certificate, log, process, secret)
    try:
        _wait_until_it_serves(made)
        yield made
    finally:
        made.stop()


def _wait_until_it_serves(relay: Coturn) -> None:
    until = monotonic() + START_WITHIN
    while STARTED not in relay.log.read_bytes():
        assert monotonic() < until, relay.log.read_text(errors="replace")
        assert relay.process.poll() is None, relay.log.read_text(errors="replace")
        sleep(0.02)


def _free_port(host: str) -> int:
    with socket.socket() as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])
