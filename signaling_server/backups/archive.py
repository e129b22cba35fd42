"""What a backup is: a zip with a manifest, the pepper, and a file of JSON lines for each table.

Not the database's own format, so that a backup of SQLite can become a database of PostgreSQL's, and so that what one
database made can be read with any zip program and a text editor.
"""

import hashlib
import json
import os
import zipfile
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ValidationError

from sleap_rtc.errors import ConflictError, PackageError, StorageError

MANIFEST = "manifest.json"
PEPPER = "pepper"
_MOST_LINE = 16 * 1024 * 1024
_BYTES = "base64"


class StoredTable(BaseModel):
    """How many rows a table has, and the SHA-256 of its file."""

    rows: int
    sha256: str


class Manifest(BaseModel):
    """What a backup says about itself.

    Attributes:
        version: of the sleap-rtc that made it.
        revision: of the schema.
        made_at: UTC milliseconds.
        pepper_sha256: of the pepper.
        tables: by name.
    """

    format: Literal["sleap-rtc service backup 1"] = "sleap-rtc service backup 1"
    version: str
    revision: str
    made_at: int
    pepper_sha256: str
    tables: dict[str, StoredTable]

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return sum(table.rows for table in self.tables.values())


class Writer:
    """A backup that is being made."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.tables: dict[str, StoredTable] = {}

    def add_table(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write a table's rows, one a line."""
        digest, count = hashlib.sha256(), 0
        with self._archive.open(_file_of(name), "w", force_zip64=True) as file:
            for count, row in enumerate(rows, 1):  # noqa: B007 - the last one is how many there are
                line = json.dumps({column: _encoded(value) for column, value in row.items()}).encode() + b"\n"
                digest.update(line)
                file.write(line)
        self.tables[name] = StoredTable(rows=count, sha256=digest.hexdigest())

    def finish(self, *, version: str, revision: str, made_at: int, pepper: bytes) -> Manifest:
        """Write the pepper, and the manifest last: an archive without one is none."""
        self._archive.writestr(PEPPER, pepper)
        manifest = Manifest(
            version=version,
            revision=revision,
            made_at=made_at,
            pepper_sha256=hashlib.sha256(pepper).hexdigest(),
            tables=self.tables,
        )
        self._archive.writestr(MANIFEST, manifest.model_dump_json(indent=2))
        return manifest


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Make a backup at `path`, which only its owner may read; what fails leaves no file.

    Raises:
        ConflictError: if there is a file already.
        StorageError: if it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConflictError(f"{path} is there already and is not overwritten. Choose another name.") from error
    except OSError as error:
        raise _not_written(path, error) from error
    whole = False
    try:
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        whole = True
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        if not whole:
            path.unlink(missing_ok=True)


class Archive:
    """A backup that is there, checked as a whole before anything of it is used.

    Attributes:
        manifest: what it says about itself.
        pepper: the key its tokens are hashed under.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.manifest = Manifest.model_validate_json(archive.read(MANIFEST))
        self.pepper = archive.read(PEPPER)
        if hashlib.sha256(self.pepper).hexdigest() != self.manifest.pepper_sha256:
            raise ValueError("its pepper is damaged")
        for name, table in self.manifest.tables.items():
            digest, lines = hashlib.sha256(), 0
            with archive.open(_file_of(name)) as file:
                for line in _lines(file):
                    digest.update(line)
                    lines += 1
            if (lines, digest.hexdigest()) != (table.rows, table.sha256):
                raise ValueError(f"its table {name} is damaged")

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """The rows of a table."""
        with self._archive.open(_file_of(table)) as file:
            for line in _lines(file):
                yield {column: _decoded(value) for column, value in json.loads(line).items()}


@contextmanager
def reading(path: Path) -> Iterator[Archive]:
    """Open a backup.

    Raises:
        PackageError: if it is none, or damaged.
        StorageError: if it cannot be read.
    """
    try:
        file = zipfile.ZipFile(path)
    except OSError as error:
        raise StorageError(f"The backup {path} cannot be read: {error.strerror}.") from error
    except zipfile.BadZipFile as error:
        raise PackageError(f"{path} is no backup of a sleap-rtc service: {error}.") from error
    with file:
        try:
            archive = Archive(file)
        except (KeyError, ValidationError) as error:
            raise PackageError(f"{path} is no backup that this version of sleap-rtc can read.") from error
        except (ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            raise PackageError(f"The backup {path} cannot be used: {error}. Take another one.") from error
        yield archive


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(_MOST_LINE):
        yield line


def _file_of(table: str) -> str:
    return f"tables/{table}.jsonl"


def _encoded(value: Any) -> Any:
    return {_BYTES: b64encode(value).decode()} if isinstance(value, bytes) else value


def _decoded(value: Any) -> Any:
    return b64decode(value[_BYTES]) if isinstance(value, dict) else value


def _not_written(path: Path, error: OSError) -> StorageError:
    return StorageError(f"The backup {path} cannot be written: {error.strerror}. Choose another place.")
