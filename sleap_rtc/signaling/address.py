"""The service's address, and whether a credential may travel there."""

import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from sleap_rtc.errors import UsageError

API = "/api/v1"


@dataclass(frozen=True)
class ServiceAddress:
    """Where a signaling service is.

    Attributes:
        url: its base, without a slash at the end.
        private: whether nobody on the way can listen: TLS, or this very machine.
        local: whether it is this machine.
    """

    url: str
    private: bool
    local: bool

    @property
    def websocket(self) -> str:
        """The URL of its WebSocket."""
        return "ws" + self.url.removeprefix("http") + API + "/ws"

    def check_private(self) -> None:
        """Refuse to send a credential where others could read it.

        Raises:
            UsageError: if the address is plain http beyond this machine.
        """
        if not self.private:
            raise UsageError(
                f"{self.url} is not encrypted, so no token is sent there. Use the service's https address, or reach "
                "it through a tunnel to this machine: ssh -L 8000:127.0.0.1:8000 <its host>"
            )


def service_address(server: str) -> ServiceAddress:
    """Read the address a user or a file gave.

    Raises:
        UsageError: if it is no http or https address.
    """
    parts = _parts(server)
    local = _is_local(parts.hostname or "")
    url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return ServiceAddress(url, private=local or parts.scheme == "https", local=local)


def tls_context(address: ServiceAddress) -> ssl.SSLContext | None:
    """How to check that an https service is who it says; None for plain http."""
    return ssl.create_default_context() if address.url.startswith("https") else None


def _parts(server: str) -> SplitResult:
    try:
        parts = urlsplit(server.strip())
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, a bracket that does not close
        good = False
    if not good or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(
            f"'{server}' is not the address of a signaling service. Write it as https://rtc.example.org "
            "or http://127.0.0.1:8000."
        )
    return parts


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
