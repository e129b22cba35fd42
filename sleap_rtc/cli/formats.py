"""Numbers as people read them."""

from collections.abc import Sequence

_KILO = 1000
_SHORTEST = 10


def format_size(size: float) -> str:
    """Say a number of bytes in decimal units: ``999 B``, ``12.3 kB``, ``4.00 GB``."""
    if size < _KILO:
        return f"{int(size)} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= _KILO
        if size < 999.5 or unit == "TB":
            break
    digits = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{size:.{digits}f} {unit}"


def format_percent(part: int, whole: int) -> str:
    """Say a share, rounded down so that only all of it is ``100 %``: ``96 %``, ``<1 %``."""
    percent = 100 * part // whole if whole else 100
    return "<1 %" if part and not percent else f"{percent} %"


def format_rate(bytes_per_second: float) -> str:
    """Say a speed: ``12.3 MB/s``."""
    return f"{format_size(bytes_per_second)}/s"


def format_duration(seconds: float) -> str:
    """Say a time in its two largest units: ``0.4 s``, ``12 s``, ``1 m 20 s``, ``2 h 5 m``, ``3 d 4 h``."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} m"
    if whole >= 10_000 * 86400:
        return "more than 9999 d"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def format_value(value: float | None) -> str:
    """Say a loss with six significant digits; None is a value that was not finite."""
    return "not finite" if value is None else f"{value:.6g}"


def count(number: int, noun: str) -> str:
    """Say ``1 run``, ``2 runs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def enough_of(ids: Sequence[str]) -> int:
    """How many characters of these ids tell them apart, and are enough to be typed."""
    length = _SHORTEST
    while len({job[:length] for job in ids}) < len(set(ids)):
        length += 1
    return length
