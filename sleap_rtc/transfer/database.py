"""The store's SQLite file: opening it whatever state it is in, one writer at a time, errors as sentences."""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sleap_rtc.config.locks import locked
from sleap_rtc.errors import StorageError
from sleap_rtc.transfer.disk import remove, storage_error
from sleap_rtc.transfer.in_use import InUse

VERSION = 3
"""Of the tables below; a file with a higher one was written by a newer sleap-rtc."""
BUSY = 30.0
"""Seconds to wait for another process that writes."""
_CACHE = 32 * 1024
"""KiB of pages to keep in memory: chunk keys are spread over the whole table."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# A chunk's row belongs to one owner of the file: it says how that one cut it, and only that one finds it.
# lists knows a file by its chunk list, for owners who brought it without its SHA-256. What pins name is either.
# files.pins and totals are kept by triggers: counting anew for each of many small files would take quadratic time.
_TABLES = """
    CREATE TABLE people(id INTEGER PRIMARY KEY, owner TEXT UNIQUE NOT NULL);
    CREATE TABLE files(id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT UNIQUE NOT NULL, size INTEGER NOT NULL,
                       used INTEGER NOT NULL, pins INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX files_used ON files(used);
    CREATE INDEX files_idle ON files(used) WHERE pins = 0;
    CREATE TABLE owners(person INTEGER NOT NULL, file INTEGER NOT NULL, PRIMARY KEY(person, file)) WITHOUT ROWID;
    CREATE INDEX owners_file ON owners(file);
    CREATE TABLE lists(person INTEGER NOT NULL, content TEXT NOT NULL, file INTEGER NOT NULL,
                       PRIMARY KEY(person, content)) WITHOUT ROWID;
    CREATE INDEX lists_file ON lists(file);
    CREATE TABLE chunks(person INTEGER NOT NULL, key INTEGER NOT NULL, file INTEGER NOT NULL, offset INTEGER NOT NULL,
                        length INTEGER NOT NULL, PRIMARY KEY(person, key, file)) WITHOUT ROWID;
    CREATE INDEX chunks_file ON chunks(file);
    CREATE TABLE holders(token TEXT PRIMARY KEY, pid INTEGER NOT NULL, started TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE pins(content TEXT NOT NULL, person INTEGER NOT NULL, token TEXT NOT NULL,
                      PRIMARY KEY(content, person, token)) WITHOUT ROWID;
    CREATE INDEX pins_token ON pins(token);
    CREATE TABLE totals(size INTEGER NOT NULL, idle INTEGER NOT NULL);
    INSERT INTO totals VALUES (0, 0);
    CREATE TRIGGER file_added AFTER INSERT ON files BEGIN
        UPDATE totals SET size = size + new.size, idle = idle + new.size;
    END;
    CREATE TRIGGER file_dropped AFTER DELETE ON files BEGIN
        UPDATE totals SET size = size - old.size, idle = idle - old.size * (old.pins = 0);
    END;
    CREATE TRIGGER file_pinned AFTER UPDATE OF pins ON files WHEN (old.pins = 0) <> (new.pins = 0) BEGIN
        UPDATE totals SET idle = idle + new.size * ((new.pins = 0) - (old.pins = 0));
    END;
    CREATE TRIGGER owner_added AFTER INSERT ON owners BEGIN
        UPDATE files SET pins = pins + (SELECT count(*) FROM pins WHERE pins.content = files.sha256
            AND pins.person = new.person) WHERE id = new.file;
    END;
    CREATE TRIGGER list_added AFTER INSERT ON lists BEGIN
        UPDATE files SET pins = pins + (SELECT count(*) FROM pins WHERE pins.content = new.content
            AND pins.person = new.person) WHERE id = new.file;
    END;
    CREATE TRIGGER pin_added AFTER INSERT ON pins BEGIN
        UPDATE files SET pins = pins + 1 WHERE sha256 = new.content
            AND EXISTS (SELECT 1 FROM owners WHERE person = new.person AND file = files.id);
        UPDATE files SET pins = pins + 1
            WHERE id = (SELECT file FROM lists WHERE person = new.person AND content = new.content);
    END;
    CREATE TRIGGER pin_dropped AFTER DELETE ON pins BEGIN
        UPDATE files SET pins = pins - 1 WHERE sha256 = old.content
            AND EXISTS (SELECT 1 FROM owners WHERE person = old.person AND file = files.id);
        UPDATE files SET pins = pins - 1
            WHERE id = (SELECT file FROM lists WHERE person = old.person AND content = old.content);
    END;
"""


class _UnusableError(Exception):
    """The file is damaged, or made by an older version."""


class Database:
    """One connection that several threads share; several processes may have the file open.

    A file that is damaged or older is set aside, with a warning, and an empty one takes its place: when it is opened,
    or, where the damage shows later, before the next use. That waits until no other process uses the file.

    Args:
        path: the file, on a local disk.
        on_reopened: called when the file was opened once more and may be an empty one; not inside `writing`.

    Raises:
        StorageError: if it can neither be opened nor made, is newer, or is damaged while another process uses it.
    """

    def __init__(self, path: Path, on_reopened: Callable[[], None]) -> None:
        self._path = path
        self._on_reopened = on_reopened
        self._lock = threading.RLock()
        self._damaged = path.with_name(f"{path.name}.is-damaged")
        self._db: sqlite3.Connection | None = None
        self._users: InUse | None = None
        self._writing = False
        self._reopened = False
        self._closed = False
        self._take_up()

    def _take_up(self) -> None:
        try:
            with locked(self._path, patience=BUSY):
                users = InUse(self._path)
                try:
                    self._db = self._open(users)
                    users.share()
                except BaseException:
                    users.close()
                    raise
                self._users = users
        except OSError as error:
            raise storage_error(error, self._path) from error
        except _UnusableError as error:
            raise StorageError(f"{self._path} cannot be used: it {error}. Check the disk, then try again.") from error

    def _open(self, users: InUse) -> sqlite3.Connection:
        try:
            return self._connect()
        except _UnusableError as error:
            if not users.alone():
                raise StorageError(
                    f"The store's index {self._path} {error}, and another sleap-rtc process is using it. "
                    "Wait until that one has ended, or stop it, then try again."
                ) from error
            self._set_aside(str(error))
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        # made here for its mode: SQLite gives the files it keeps beside it the same
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        db = None
        try:
            db = sqlite3.connect(self._path, timeout=BUSY, isolation_level=None, check_same_thread=False)
            self._prepare(db)
        except BaseException as error:
            if db is not None:
                db.close()
            if not isinstance(error, sqlite3.Error):
                raise
            if _code(error) in (*_DAMAGED, sqlite3.SQLITE_ERROR):  # the latter: its tables are not ours
                raise _UnusableError("is damaged") from error
            raise self._sentence(error) from error
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StorageError(
                f"{self._path} was written by a newer sleap-rtc. "
                "Upgrade this one, or set SLEAP_RTC_HOME to another folder."
            )
        if os.path.lexists(self._damaged):
            raise _UnusableError("was found damaged")
        if 0 < version < VERSION:
            raise _UnusableError("was written by an older sleap-rtc")
        (mode,) = db.execute("PRAGMA journal_mode=WAL").fetchone()
        # with WAL a power cut may forget the last entries, never damage the file: what they spoke of is sent again
        db.execute(f"PRAGMA synchronous={'NORMAL' if mode == 'wal' else 'FULL'}")
        db.execute(f"PRAGMA cache_size=-{_CACHE}")
        if version < VERSION:
            db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={VERSION}; COMMIT;")
        # read now, so that damage is known now; chunks are too many
        for table in ("people", "files", "owners", "lists", "holders", "pins", "totals"):
            db.execute(f"SELECT count(*) FROM {table} NOT INDEXED").fetchone()  # noqa: S608 - our own names
        db.execute("SELECT person, key, file, offset, length FROM chunks LIMIT 0").fetchone()

    def _set_aside(self, why: str) -> None:
        aside = self._path.with_name(f"{self._path.name}.aside")
        logging.getLogger(__name__).warning(
            "The store's index %s %s. It is kept as %s, and a new one is begun: files are sent again when needed.",
            self._path,
            why,
            aside.name,
        )
        remove(aside)
        with suppress(FileNotFoundError):
            self._path.replace(aside)
        for name in ("-wal", "-shm", "-journal"):  # of the old file: a new one must not take them for its own
            remove(self._path.with_name(self._path.name + name))
        remove(self._damaged)

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            self._closed = True
            self._let_go()

    def _let_go(self) -> None:
        db, users = self._db, self._users
        self._db = self._users = None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()
        if users is not None:
            users.close()

    def _connection(self) -> sqlite3.Connection:
        """The connection, a new one where this or another process found damage; call it with the lock."""
        if not self._writing and not self._closed:
            if self._db is None or os.path.lexists(self._damaged):
                self._let_go()
                self._take_up()
                self._reopened = True
            if self._reopened:
                self._reopened = False
                try:
                    self._on_reopened()
                except BaseException:
                    self._reopened = True
                    raise
        if self._db is None:
            raise StorageError(f"The store's index {self._path} is closed. Run the same command again.")
        return self._db

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a query and return its rows.

        Raises:
            StorageError: if the disk refuses, or the index turns out to be damaged.
        """
        with self._lock, self._translated():
            return self._connection().execute(query, values).fetchall()

    def run(self, query: str, values: Iterable[Sequence[object]]) -> None:
        """Run a statement for each of `values`, inside `writing`.

        Raises:
            StorageError: if the disk refuses, or the index turns out to be damaged.
        """
        with self._lock, self._translated():
            self._connection().executemany(query, values)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer, of all threads and processes, while the body runs; an error in it undoes what it wrote.

        Raises:
            StorageError: if the disk refuses, the index is damaged, or another process writes for too long.
        """
        with self._lock:
            with self._translated():
                db = self._connection()
                db.execute("BEGIN IMMEDIATE")
            self._writing = True
            try:
                yield
                with self._translated():
                    db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            finally:
                self._writing = False
                if os.path.lexists(self._damaged):  # let nobody wait for us who sets it aside
                    self._let_go()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if _code(error) in _DAMAGED:
                with suppress(OSError):
                    self._damaged.touch(mode=0o600)
                if not self._writing:
                    self._let_go()
            raise self._sentence(error) from error

    def _sentence(self, error: sqlite3.Error) -> StorageError:
        code = _code(error)
        if code in _DAMAGED:
            return StorageError(
                f"The store's index {self._path} is damaged, so this transfer cannot go on. A new index will be begun: "
                "send it again."
            )
        if code == sqlite3.SQLITE_FULL:
            return StorageError(f"The disk of {self._path} is full. Free some space, then run the same command again.")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StorageError(
                f"Another sleap-rtc process has been writing {self._path} for {BUSY:.0f} seconds. "
                "Look for one that hangs, then try again."
            )
        return StorageError(f"{self._path} cannot be used: {error}. Check the disk and its permissions.")


def _code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # the upper bytes only say more about the same
