"""How times are said in sentences. Pure."""

from signaling_server.lifetimes import DAY_MS, HOUR_MS, MINUTE_MS

LONGEST_NAME = 40
_UNITS = (("day", DAY_MS), ("hour", HOUR_MS), ("minute", MINUTE_MS))


def ago(then: int, now: int) -> str:
    """How long before `now` it was, for people: ``3 days ago``."""
    return f"{_duration(now - then)} ago" if now - then >= _UNITS[-1][1] else "just now"


def within(then: int, now: int) -> str:
    """How long after `now` it will be, for people: ``3 days``."""
    return _duration(then - now) if then - now >= _UNITS[-1][1] else "a minute"


def lasting(end: int | None, now: int) -> str:
    """How long something that begins `now` lasts: ``for 30 days``, ``for ever``."""
    return "for ever" if end is None else f"for {within(end, now)}"


def _duration(span: int) -> str:
    unit, size = next((unit, size) for unit, size in _UNITS if span >= size)
    count = span // size
    return f"{count} {unit}{'' if count == 1 else 's'}"


def shown(name: str) -> str:
    """A name in a sentence: a long one is cut, because a closing WebSocket has room for little."""
    return f"'{name}'" if len(name) <= LONGEST_NAME else f"'{name[: LONGEST_NAME - 1]}…'"
