"""What an operator says about Redis: where it is, and how to get in."""

import re
from urllib.parse import parse_qs, urlsplit

# whom to log in as, where, and over which TLS; all else would change what the service relies on
_OPTION = re.compile(r"db|username|password|ssl_[a-z_]+")
_DATABASE = re.compile(r"/?[0-9]*")


def checked_url(url: str) -> str:
    """The address, if redis-py understands it as its writer does.

    Raises:
        ValueError: if it is none; the sentence does not repeat it, for a password is in it.
    """
    if not _is_redis(url):
        raise ValueError(
            "it must be an address such as redis://:password@127.0.0.1:6379/0, in which all of the password but "
            "letters and digits is written as in any address: # as %23, / as %2F"
        )
    return url


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port that is no number, as behind a password with a slash, or a bracket that does not close
        return False
    if parts.fragment or not all(map(_OPTION.fullmatch, parse_qs(parts.query, keep_blank_values=True))):
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    return parts.scheme in ("redis", "rediss") and port != 0 and bool(_DATABASE.fullmatch(parts.path))
