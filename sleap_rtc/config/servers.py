"""One form for a service's address, so that a credential is never taken for another service's, nor lost for a slash."""

import re
from urllib.parse import urlsplit

from sleap_rtc.errors import ConfigError

DEFAULT_SERVER = "http://127.0.0.1:8000"
"""Where ``sleap-rtc server`` listens."""

_HOST = re.compile(r"[0-9A-Za-z._:%-]+")
_PATH = re.compile(r"[0-9A-Za-z._~/%-]*")
_PORTS = {"http": 80, "https": 443}


def normal_server(text: str, where: str = "The server") -> str:
    """Return `text` as ``scheme://host[:port][/path]``: lower case, without the usual port and a slash at the end.

    Args:
        text: what a user or a file gave.
        where: who gave it, as the beginning of a sentence.

    Raises:
        ConfigError: if it is no http or https address.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, a bracket that does not close
        host = port = None
    # nothing that a shell would act on: addresses stand in lines that users copy
    if (
        not host
        or not _HOST.fullmatch(host)
        or not _PATH.fullmatch(parts.path)
        or parts.scheme not in _PORTS
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
        or port == 0
    ):
        raise ConfigError(
            f"{where} is '{text}', which is not the address of a signaling service. Write it as "
            "https://rtc.example.org or http://127.0.0.1:8000."
        )
    shown = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[parts.scheme]:
        shown += f":{port}"
    return f"{parts.scheme}://{shown}{parts.path.rstrip('/')}"


def server_words(server: str) -> str:
    """What a line to be typed elsewhere needs so that it means this service: `` --server URL``, or nothing."""
    return "" if server == DEFAULT_SERVER else f" --server {server}"
