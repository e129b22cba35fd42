"""The socket of a service, and where it is reached."""

import socket
from dataclasses import dataclass, field

from signaling_server.listening import listen
from signaling_server.settings import Settings
from sleap_rtc.errors import ConflictError, UnreachableError

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


@dataclass(frozen=True)
class Listening:
    """A service that accepts connections.

    Attributes:
        url: where this machine reaches it.
        first_link: where somebody chooses the first account's password, once; None unless nobody has one yet.
    """

    url: str
    first_link: str | None = field(default=None, repr=False, kw_only=True)


def listen_at(settings: Settings) -> socket.socket:
    """A socket at the address of the settings.

    Raises:
        ConflictError: if the port is taken.
        UnreachableError: if the host is no address of this machine.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return listen(place[:2], family=family)
    except socket.gaierror as error:
        raise UnreachableError(f"The service cannot listen on '{settings.host}': no such address.") from error
    except OSError as error:
        raise ConflictError(
            f"The service cannot listen on {settings.host} port {settings.port}: {error.strerror}. Perhaps one is "
            "running already; stop it, or choose another port with --port."
        ) from error


def address(settings: Settings, listener: socket.socket) -> str:
    """Where this machine reaches what listens there."""
    host = _WILDCARDS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
