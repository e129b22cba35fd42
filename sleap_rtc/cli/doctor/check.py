"""What a check is: a function that looks at one thing and says one sentence about it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sleap_rtc.config.settings import Settings
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConfigError
from sleap_rtc.transport.engines import Engine

if TYPE_CHECKING:
    from sleap_rtc.cli.jobs.reaching import Request


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        status: how it came out.
        sentence: what was found, and what to do about it.
        details: the same in values, for scripts.
    """

    status: Status
    sentence: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """What the checks look at.

    Attributes:
        settings: the user's settings; the defaults if they cannot be read.
        settings_error: why they cannot be read.
        server: the service's address.
        engine: the WebRTC engine that is asked for.
        home: the folder of our files.
        jobs: the folder of a worker's jobs.
        timeouts: how long to wait for what.
        request: which worker to look at; None for none.
    """

    settings: Settings
    settings_error: ConfigError | None
    server: str
    engine: Engine
    home: Path
    jobs: Path
    timeouts: Timeouts
    request: "Request | None" = None


@dataclass(frozen=True)
class Check:
    """A check by its name.

    Attributes:
        name: one word, for scripts and the page about it.
        run: looks.
        alone: whether it measures, and so has the machine to itself after all others.
    """

    name: str
    run: Callable[[Scene], Awaitable[Finding]]
    alone: bool = False


def ok(sentence: str, **details: object) -> Finding:
    """All is well."""
    return Finding(Status.OK, sentence, details)


def warn(sentence: str, **details: object) -> Finding:
    """Something to know: not everything will work, or not well."""
    return Finding(Status.WARN, sentence, details)


def fail(sentence: str, **details: object) -> Finding:
    """Something is broken."""
    return Finding(Status.FAIL, sentence, details)


def skip(sentence: str, **details: object) -> Finding:
    """There was nothing to look at."""
    return Finding(Status.SKIP, sentence, details)
