"""What sleap-nn will say about a config, all of it at once instead of one complaint a start."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from sleap_rtc.protocol.text import printable

from .values import Config

MAX_PROBLEMS = 20
"""Problems told of one config."""
_MAX_QUOTED = 300


def verify_config(
    config: Config, verify: Callable[[Config], Any], checks: Sequence[Callable[[Any], object]]
) -> tuple[Any | None, list[str]]:
    """Let sleap-nn's own classes read a config, and go on after each complaint about a single key.

    Args:
        config: as it will be written for sleap-nn.
        verify: sleap-nn's verification: returns the config with all defaults, or raises.
        checks: what sleap-nn checks, and adjusts, afterwards; each raises a `ValueError`.

    Returns:
        What `verify` returned for the config without the keys that were complained about, or None if it never did; and
        the complaints, as sentences.
    """
    config = copy.deepcopy(config)
    problems: list[str] = []
    verified = None
    while verified is None and len(problems) < MAX_PROBLEMS:
        try:
            verified = verify(config)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it raises here ends the training as well
            key = getattr(error, "full_key", None)
            problems.append(_sentence(error, key))
            if not _removed(config, key):
                return None, problems
    if verified is not None:
        raised = [_raised(check, verified) for check in checks]
        problems += [_sentence(error, None) for error in raised if error is not None]
    return verified, problems


def _raised(check: Callable[[Any], object], verified: Any) -> ValueError | None:
    try:
        check(verified)
    except ValueError as error:
        return error
    return None


def _sentence(error: Exception, key: object) -> str:
    said = printable(str(error).split("\n", 1)[0].strip().rstrip("."), limit=_MAX_QUOTED)
    if not key:
        return f"sleap-nn refuses the config: {said}. Correct it."
    shown = printable(str(key), limit=_MAX_QUOTED)
    if isinstance(error, (KeyError, AttributeError)):
        return f"sleap-nn knows no key {shown}: remove it, or correct its name."
    return f"sleap-nn refuses {shown}: {said}. Correct the value."


def _removed(config: Config, key: object) -> bool:
    """Take a key out, so that the next complaint is about another one; False if it cannot be found."""
    *sections, last = str(key or "").split(".")
    section: Any = config
    for name in sections:
        section = section.get(name) if isinstance(section, dict) else None
    if not isinstance(section, dict) or last not in section:
        return False
    del section[last]
    return True
