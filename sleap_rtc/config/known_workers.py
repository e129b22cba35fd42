"""The workers that this machine has met (``known_workers``), as ssh keeps the hosts it has met.

A worker's id is made of its key, so that an id alone tells nobody who is meant: somebody else simply has another one.
What is remembered is therefore under which name, in which room of which service, which worker answered. An entry a
line: service, room, id, key, and the name in quotes. A line that cannot be read is left as it is, and counts for
nothing.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sleap_rtc.config.locks import locked
from sleap_rtc.config.paths import home, write_private
from sleap_rtc.errors import StorageError
from sleap_rtc.protocol.ids import worker_id_from_key

_LINE = re.compile(r'(\S+) (r_\S+) (w_\S+) ([0-9a-f]{64}) (".*")\r?')
_HEADING = '# Workers that this machine has met: service, room, id, key, "name". Change it with: sleap-rtc worker trust'


@dataclass(frozen=True)
class KnownWorker:
    """One worker under one name.

    Attributes:
        server: the service, as `normal_server` writes it.
        room: the room's id.
        name: what the worker is called there.
        key: its public key, 32 bytes.
    """

    server: str
    room: str
    name: str
    key: bytes

    @property
    def worker_id(self) -> str:
        """Its id, which is made of its key."""
        return worker_id_from_key(self.key)

    @property
    def line(self) -> str:
        """The entry as it stands in the file."""
        # nothing in a name may break the line, or steer a terminal that the file is shown on
        name = json.dumps(self.name, ensure_ascii=not self.name.isprintable())
        return f"{self.server} {self.room} {self.worker_id} {self.key.hex()} {name}"

    @classmethod
    def from_line(cls, line: str) -> Self | None:
        """Read an entry; None for what is none, or does not fit together."""
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        try:
            name = json.loads(match[5])
        except ValueError:
            return None
        worker = cls(match[1], match[2], name, bytes.fromhex(match[4]))
        return worker if isinstance(name, str) and worker.worker_id == match[3] else None


class KnownWorkers:
    """The file.

    Args:
        path: where it lies; ``known_workers`` in our home by default.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or home() / "known_workers"

    def all(self) -> list[KnownWorker]:
        """Every entry, in the order in which they were made. Blocks.

        Raises:
            StorageError: if the file is there and cannot be read: who is known must not be met as a stranger.
        """
        return [worker for line in self._lines() if (worker := KnownWorker.from_line(line))]

    def of_room(self, server: str, room: str) -> list[KnownWorker]:
        """The entries of one room. Blocks."""
        return [each for each in self.all() if (each.server, each.room) == (server, room)]

    def change(
        self, make: Callable[[list[KnownWorker]], tuple[Iterable[KnownWorker], Iterable[KnownWorker]]]
    ) -> list[KnownWorker]:
        """Change the file in one step, while no other process does. Blocks.

        Args:
            make: given all entries, says which of them go, and which ones come; what it raises leaves all as it is.

        Returns:
            The entries that went.
        """
        with locked(self._path):
            lines = self._lines()
            parsed = [KnownWorker.from_line(line) for line in lines]
            known = [worker for worker in parsed if worker]
            going, coming = map(set, make(known))
            kept = [line for line, worker in zip(lines, parsed, strict=True) if worker not in going]
            added = [worker.line for worker in sorted(coming - (set(known) - going), key=lambda each: each.line)]
            if added or len(kept) < len(lines):
                text = "\n".join([*(kept or [_HEADING]), *added])
                write_private(self._path, f"{text}\n".encode("utf-8", "surrogateescape"))
            return [worker for worker in known if worker in going]

    def forget(self, is_meant: Callable[[KnownWorker], bool]) -> list[KnownWorker]:
        """Remove entries; return those that were removed. Blocks."""
        return self.change(lambda known: (filter(is_meant, known), ()))

    def _lines(self) -> list[str]:
        try:
            text = self._path.read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {error.strerror}. Check its permissions.") from error
        # by newlines alone: other characters that break lines may stand in a name
        return text.removesuffix("\n").split("\n") if text else []
