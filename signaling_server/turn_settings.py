"""What an operator says about TURN relays: their addresses, and the secret that they share with the service."""

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from signaling_server.secrets_given import MIN_LENGTH, is_guessable, others_may_read
from sleap_rtc.errors import ConfigError

_PLACE = r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_-]{1,63}(\.[0-9A-Za-z_-]{1,63})*)(:(?P<port>[0-9]{1,5}))?"
_URL = re.compile(rf"(?P<scheme>turns?):{_PLACE}(\?transport=(?P<transport>udp|tcp))?")
_STUN = re.compile(rf"stuns?:{_PLACE}")
_NEW_ONE = "Make one for both: openssl rand -hex 32"


def checked_urls(urls: Sequence[str]) -> list[str]:
    """The addresses, if peers can use them (RFC 7065).

    Raises:
        ValueError: if one of them is none of a TURN server's.
    """
    for url in urls:
        match = _URL.fullmatch(url)
        if match is None or not _has_port(match):
            raise ValueError(
                f"'{url}' is no TURN server. Write it as turn:turn.lab.example:3478?transport=udp, with transport=tcp "
                "for TCP, or as turns:turn.lab.example:443?transport=tcp for TLS"
            )
        if match["scheme"] == "turns" and match["transport"] == "udp":
            raise ValueError(f"'{url}' means TLS, which runs over TCP: write transport=tcp")
    return list(urls)


def check_static(url: str) -> None:
    """See that peers can use one of the servers that they are told of as they are.

    Raises:
        ValueError: if it is neither a STUN nor a TURN server: engines would refuse all links for it.
    """
    stun = _STUN.fullmatch(url)
    if stun is None:
        checked_urls([url])
    elif not _has_port(stun):
        raise ValueError(f"'{url}' has no port that there is")


def _has_port(match: re.Match[str]) -> bool:
    return match["port"] is None or 0 < int(match["port"]) < 2**16


def load_secret(urls: Sequence[str], secret: SecretStr | None, file: Path | None) -> bytes:
    """The secret that the service shares with its relays; empty if it has none of either.

    Args:
        urls: the relays' addresses.
        secret: the secret itself.
        file: where it stands, instead.

    Raises:
        ConfigError: if there is no secret for the addresses or no address for the secret, both are given, others may
            read the file, or the secret can be guessed.
    """
    if secret is not None and file is not None:
        raise ConfigError("Both turn_secret and turn_secret_file are set. Give one of them.")
    if not urls:
        if secret is not None or file is not None:
            raise ConfigError("There is a secret for TURN servers, but turn_urls names none. Name them, or remove it.")
        return b""
    if file is not None:
        secret = SecretStr(_read(file))
    if secret is None:
        raise ConfigError(
            "The service's turn_urls need the secret that the TURN server knows as static-auth-secret: set turn_secret "
            f"or turn_secret_file. {_NEW_ONE}"
        )
    text = secret.get_secret_value()
    if len(text) < MIN_LENGTH or is_guessable(text):
        raise ConfigError(
            f"The service's turn_secret must have at least {MIN_LENGTH} random characters, or everybody relays there. "
            f"{_NEW_ONE}"
        )
    return text.encode()


def _read(file: Path) -> str:
    try:
        if others_may_read(file):
            raise ConfigError(f"Others may read {file}, which must stay secret. Run: chmod 600 {file}")
        return file.read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"The service's turn_secret_file {file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The service's turn_secret_file {file} holds no text. {_NEW_ONE}") from error
