"""What one of several processes is given by the one that started it."""

from collections.abc import MutableMapping
from typing import NamedTuple

VARIABLE = "SLEAP_RTC_SERVICE_PROCESS"
"""Tells a process that it is one of several: the descriptors that it was given."""
READY = b"."
"""What a process says once it accepts connections."""


class Inherited(NamedTuple):
    """Descriptors: the socket to accept from, where to say `READY`, and what ends when the parent does."""

    listener: int
    status: int
    leash: int

    def __str__(self) -> str:
        return ",".join(str(each) for each in self)


def take_inherited(environ: MutableMapping[str, str]) -> Inherited | None:
    """What this process was given, once; None for one that was started by somebody else."""
    text = environ.pop(VARIABLE, None)
    return None if text is None else Inherited(*(int(each) for each in text.split(",")))
