"""The index of the store: which files there are, whose they are, where each chunk lies, what is in use."""

import json
import secrets
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import NamedTuple

from sleap_rtc.errors import StorageError
from sleap_rtc.protocol.chunks import ChunkList
from sleap_rtc.transfer.database import Database
from sleap_rtc.transfer.process_id import is_running, this_process

_KEY = struct.Struct("!q")
_BATCH = 50_000
"""Keys looked up in one query."""
_VICTIMS = 256
"""Files to evict that are read in one query."""


class StoredFile(NamedTuple):
    """A whole file: its number in the index, its SHA-256 in hex, its bytes."""

    id: int
    sha256: str
    size: int


class Place(NamedTuple):
    """Where a chunk may lie: in which file, where in it, and how many bytes. Only its hash proves it."""

    file: StoredFile
    offset: int
    length: int


class ChunkIndex:
    """The index; all methods may be called by several threads, and in several processes at once.

    Args:
        path: its file.
        on_reopened: called when it had to be opened once more and may be empty; pins of this process are back then.

    Raises:
        StorageError: if it can neither be opened nor made; every method raises it when the disk refuses.
    """

    def __init__(self, path: Path, on_reopened: Callable[[], None] = lambda: None) -> None:
        self._pinned: dict[str, tuple[str, frozenset[str]]] = {}
        self._released: list[str] = []
        self._on_reopened = on_reopened
        self._db = Database(path, self._start_again)

    def _start_again(self) -> None:
        with self._db.writing():
            for token, (owner, contents) in list(self._pinned.items()):
                self._enter_pin(token, owner, contents)
        self._on_reopened()

    def close(self) -> None:
        """Close its file; idempotent."""
        self._db.close()

    def writing(self) -> AbstractContextManager[None]:
        """Be the only one, of all threads and processes, that changes files or index while the body runs."""
        return self._db.writing()

    def find(self, sha256: str) -> StoredFile | None:
        """Find a file, whoever brought it."""
        rows = self._db.rows("SELECT id, sha256, size FROM files WHERE sha256 = ?", (sha256,))
        return StoredFile(*rows[0]) if rows else None

    def find_of(self, owner: str, content: str) -> StoredFile | None:
        """Find a file that `owner` brought, by its SHA-256 or by the chunk list that it came with without that."""
        rows = self._db.rows(
            "WITH asker(person) AS (SELECT id FROM people WHERE owner = ?)"
            " SELECT id, sha256, size FROM files WHERE sha256 = ?"
            " AND EXISTS (SELECT 1 FROM owners WHERE file = files.id AND person = (SELECT person FROM asker))"
            " UNION SELECT id, sha256, size FROM files"
            " WHERE id = (SELECT file FROM lists WHERE person = (SELECT person FROM asker) AND content = ?)",
            (owner, content, content),
        )
        return StoredFile(*rows[0]) if rows else None

    def find_chunks(self, owner: str, hashes: Collection[bytes]) -> dict[bytes, Place]:
        """Look up where chunks may lie among the files that `owner` brought, the newest file of each first.

        Args:
            owner: whose files to look at.
            hashes: SHA-256 of the chunks.
        """
        keys = {_key(sha256): sha256 for sha256 in hashes}
        found: dict[bytes, Place] = {}
        for batch in _batches(list(keys), _BATCH):
            rows = self._db.rows(
                "SELECT key, offset, length, id, sha256, size FROM (SELECT key, max(file) AS newest, offset, length"
                " FROM chunks WHERE person = (SELECT id FROM people WHERE owner = ?)"
                " AND key IN (SELECT value FROM json_each(?)) GROUP BY key) JOIN files ON id = newest",
                (owner, json.dumps(batch)),
            )
            found.update((keys[key], Place(StoredFile(*file), offset, length)) for key, offset, length, *file in rows)
        return found

    def sizes(self) -> tuple[int, int]:
        """Bytes of all whole files, and of those among them that nobody pinned."""
        ((size, idle),) = self._db.rows("SELECT size, idle FROM totals")
        return int(size), int(idle)

    def files(self) -> list[StoredFile]:
        """All files."""
        return [StoredFile(*row) for row in self._db.rows("SELECT id, sha256, size FROM files")]

    def evictable(self, enough: int) -> Iterator[StoredFile]:
        """The files that nobody pinned, the least recently used first, until they have `enough` bytes together."""
        after = -1
        while enough > 0:
            rows = self._db.rows(
                "SELECT id, sha256, size, used FROM files WHERE pins = 0 AND used > ? ORDER BY used LIMIT ?",
                (after, _VICTIMS),
            )
            for number, sha256, size, _ in rows:
                if enough > 0:
                    yield StoredFile(number, sha256, size)
                    enough -= size
            if len(rows) < _VICTIMS:
                return
            after = rows[-1][-1]

    def add(self, sha256: str, size: int) -> StoredFile:
        """Enter a file; inside `writing`."""
        self._db.run(
            "INSERT INTO files(sha256, size, used) VALUES (?, ?, (SELECT coalesce(max(used), 0) + 1 FROM files))",
            [(sha256, size)],
        )
        file = self.find(sha256)
        if file is None:
            raise RuntimeError("a row just written is not there")
        return file

    def add_owner(self, file: StoredFile, owner: str, chunks: ChunkList) -> None:
        """Note that `owner` brought a file, cut like this; inside `writing`.

        The chunks are entered for every owner: those of another one would tell, by where they lie and by the time
        that entering takes, that the file was here.
        """
        if self.find_of(owner, file.sha256) is not None:
            return
        person = self._person(owner)
        self._db.run("INSERT INTO owners(person, file) VALUES (?, ?)", [(person, file.id)])
        # in order of the keys it takes half the time; of several equal chunks one is enough
        rows = sorted((person, _key(chunk.sha256), file.id, chunk.offset, chunk.length) for chunk in chunks)
        self._db.run("INSERT OR IGNORE INTO chunks(person, key, file, offset, length) VALUES (?, ?, ?, ?, ?)", rows)

    def add_list(self, file: StoredFile, owner: str, content: str) -> None:
        """Note that `content` names a file too, when `owner` sends it without its SHA-256; inside `writing`."""
        person = self._person(owner)
        self._db.run(
            "INSERT OR IGNORE INTO lists(person, content, file) VALUES (?, ?, ?)", [(person, content, file.id)]
        )

    def _person(self, owner: str) -> int:
        """The number of an owner, who stays known: pins name people before they have a file; inside `writing`."""
        self._db.run("INSERT OR IGNORE INTO people(owner) VALUES (?)", [(owner,)])
        ((person,),) = self._db.rows("SELECT id FROM people WHERE owner = ?", (owner,))
        return int(person)

    def touch(self, file: StoredFile) -> None:
        """Make a file the most recently used; inside `writing`."""
        # a count, no clock: clocks jump
        self._db.run("UPDATE files SET used = (SELECT max(used) + 1 FROM files) WHERE id = ?", [(file.id,)])

    def drop(self, files: Sequence[StoredFile]) -> None:
        """Forget files; inside `writing`."""
        if not files:
            return
        ids = json.dumps([file.id for file in files])
        for table, column in (("chunks", "file"), ("lists", "file"), ("owners", "file"), ("files", "id")):
            self._db.run(
                f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))",  # noqa: S608 - our own names
                [(ids,)],
            )

    def pin(self, owner: str, contents: Iterable[str]) -> str:
        """Keep these files of `owner` from being evicted, also those that are still to come.

        Args:
            owner: whose.
            contents: which, as `find_of` knows them.

        Returns:
            What to `unpin`.
        """
        token = secrets.token_hex(8)
        wanted = frozenset(contents)
        with self._db.writing():
            self._enter_pin(token, owner, wanted)
            self._pinned[token] = (owner, wanted)
        return token

    def _enter_pin(self, token: str, owner: str, contents: Iterable[str]) -> None:
        person = self._person(owner)
        self._db.run("INSERT OR IGNORE INTO holders VALUES (?, ?, ?)", [(token, *this_process())])
        self._db.run(
            "INSERT OR IGNORE INTO pins(content, person, token) VALUES (?, ?, ?)",
            [(content, person, token) for content in sorted(contents)],
        )

    def unpin(self, token: str) -> None:
        """Undo a `pin`."""
        self._pinned.pop(token, None)
        self._released.append(token)
        with suppress(StorageError), self._db.writing():  # a full disk, say: another time
            self.drop_dead_pins()

    def drop_dead_pins(self) -> None:
        """Forget pins that were undone, and those of processes that are gone; inside `writing`."""
        released = self._released.copy()
        holders = self._db.rows("SELECT token, pid, started FROM holders")
        running = {process: is_running(*process) for process in {(pid, started) for _, pid, started in holders}}
        dead = [token for token, *process in holders if not running[tuple(process)]]
        for table in ("pins", "holders"):
            self._db.run(
                f"DELETE FROM {table} WHERE token = ?",  # noqa: S608 - our own names
                [(token,) for token in (*released, *dead)],
            )
        for token in released:
            with suppress(ValueError):  # another thread was faster
                self._released.remove(token)


def _key(sha256: bytes) -> int:
    return int(_KEY.unpack_from(sha256)[0])


def _batches(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (items[at : at + size] for at in range(0, len(items), size))
