"""Whether a worker is the one that is known under its name, and how a new one becomes known."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sleap_rtc.config.known_workers import KnownWorker, KnownWorkers
from sleap_rtc.config.servers import server_words
from sleap_rtc.errors import AuthenticationError
from sleap_rtc.protocol.text import printable

_TYPEABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Met:
    """A worker that was remembered just now.

    Attributes:
        before: what it was called until now; None for one that was met for the first time.
    """

    name: str
    worker_id: str
    before: str | None = None


OnMet = Callable[[Met], None]


@dataclass(frozen=True)
class Encounter:
    """A worker as its room shows it.

    Attributes:
        server: the service, as `normal_server` writes it.
        room: the room's id.
        name: what the room shows of the worker.
        worker_id: the id that goes with that name now.
    """

    server: str
    room: str
    name: str
    worker_id: str

    @property
    def shown(self) -> str:
        """How to name the worker in a command: by its name if that can be typed as it is, else by its id."""
        return self.name if _TYPEABLE.fullmatch(self.name) else self.worker_id


class Acquaintance:
    """What is known of one worker that is about to be dialled.

    Args:
        encounter: the worker as its room shows it.
        known: all workers that were met before.
        on_met: told when it is remembered, or remembered under another name.
    """

    def __init__(self, encounter: Encounter, known: KnownWorkers, on_met: OnMet = lambda met: None) -> None:
        self._encounter = encounter
        self._known = known
        self._on_met = on_met

    def check(self) -> bytes | None:
        """See that the name is not another worker's, before anything is sent; return its key if it is known. Blocks.

        Raises:
            AuthenticationError: if another worker is known under that name.
            StorageError: if it cannot be found out.
        """
        known = self._known.all()
        news_of(self._encounter, known)
        return next((each.key for each in known if each.worker_id == self._encounter.worker_id), None)

    def remember(self, key: bytes) -> Met | None:
        """Remember the worker, which has proven that it has this key; return what is new. Blocks.

        Raises:
            AuthenticationError: if another process has met another worker under that name meanwhile.
            StorageError: if it cannot be written down.
        """
        encounter = self._encounter
        met: list[Met] = []

        def add(known: list[KnownWorker]) -> tuple[Iterable[KnownWorker], Iterable[KnownWorker]]:
            new = news_of(encounter, known)
            if new is None:
                return (), ()
            met.append(new)
            return (), [KnownWorker(encounter.server, encounter.room, encounter.name, key)]

        self._known.change(add)
        return met[0] if met else None

    def tell(self, met: Met) -> None:
        """Tell whoever wants to know."""
        self._on_met(met)


def news_of(encounter: Encounter, known: Sequence[KnownWorker]) -> Met | None:
    """Compare a worker with those that were met before; None if it is known as it is called now.

    A name stays with who had it first: a known worker may take a free name in addition, but nobody else's.

    Raises:
        AuthenticationError: if another worker is known under that name.
    """
    room = [each for each in known if (each.server, each.room) == (encounter.server, encounter.room)]
    namesakes = [each.worker_id for each in room if each.name == encounter.name]
    if encounter.worker_id in namesakes:
        return None
    if namesakes:
        raise _stranger(encounter, namesakes)
    names = [each.name for each in room if each.worker_id == encounter.worker_id]
    return Met(encounter.name, encounter.worker_id, names[-1] if names else None)


def _stranger(now: Encounter, expected: Sequence[str]) -> AuthenticationError:
    command = f"sleap-rtc worker trust {now.shown} --room {now.room}{server_words(now.server)}"
    return AuthenticationError(
        f"The worker '{printable(now.name, limit=80)}' is not the one that this machine has met in that room: its id "
        f"was {' or '.join(expected)}, and now it is {now.worker_id}. It may have been installed anew, it may be a "
        "second worker of the same name, or somebody is standing in for it. Nothing was sent to it. Compare the id "
        "with the worker's first lines, or ask who runs it. If it is the right one, type: "
        f"{command} --replace (or, if both are real, --add)"
    )
