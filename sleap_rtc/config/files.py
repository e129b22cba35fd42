"""Finds and reads the configuration files."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from sleap_rtc.config.paths import home
from sleap_rtc.config.schema import API_KEY, SECRETS
from sleap_rtc.errors import ConfigError

FILE_NAME = "sleap-rtc.toml"
MAX_SIZE = 1024 * 1024

_POSITION = re.compile(r"\s*\(at (?:line \d+, column \d+|end of document)\)")


@dataclass(frozen=True)
class FoundFile:
    """A configuration file that is there.

    Attributes:
        path: where it lies.
        project: whether it was found on the way up from a folder, and may be anybody's.
    """

    path: Path
    project: bool


def own_file() -> Path:
    """The file that commands write: ``config.toml`` in our home."""
    return home() / "config.toml"


def find_files(folder: Path) -> list[FoundFile]:
    """List the files that say something for `folder`, the nearest first."""
    own = [Path.home() / FILE_NAME, own_file()]
    folder = folder.absolute()
    found = [
        FoundFile(path, project=True) for path in (each / FILE_NAME for each in (folder, *folder.parents)) if _is(path)
    ][:1]
    # in the home folder it is the user's own, whichever way one came to it
    found = [file for file in found if not any(_same(file.path, path) for path in own)]
    return found + [FoundFile(path, project=False) for path in own if _is(path)]


def read_file(file: FoundFile) -> tuple[dict[str, Any], list[str]]:
    """Read a file's TOML.

    Returns:
        What it says, and what the user should be told about the file itself.

    Raises:
        ConfigError: if it is no TOML, or cannot be read.
    """
    path = file.path
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno())
            raw = stream.read(MAX_SIZE + 1)
    except OSError as error:
        if file.project:
            return {}, [f"{path} cannot be read ({error.strerror}), so it is left out."]
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    if len(raw) > MAX_SIZE:
        raise ConfigError(f"{path} is larger than 1 MiB, so it is no settings file of ours.")
    data = parse_toml(raw, path)
    return data, [_readable_by_others(path)] if _holds_credentials(data) and _is_open(mode) else []


def parse_toml(raw: bytes, path: Path) -> dict[str, Any]:
    """Read TOML.

    Raises:
        ConfigError: with the file and the line.
    """
    try:
        return tomli.loads(raw.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}, line {line}: the file is not UTF-8 text. Save it as UTF-8.") from error
    except tomli.TOMLDecodeError as error:
        what = _POSITION.sub("", str(error)).rstrip(".")
        raise ConfigError(f"{path}, line {error.lineno}, column {error.colno}: {what}.") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets without end
        raise ConfigError(f"{path} cannot be read as TOML: a number is too long or a value nested too deep.") from error


def _is(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder on the way that we may not look into
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _holds_credentials(data: dict[str, Any]) -> bool:
    worker = data.get("worker")
    return bool(data.get(SECRETS)) or (isinstance(worker, dict) and API_KEY.partition(".")[2] in worker)


def _is_open(found: os.stat_result) -> bool:
    return os.name == "posix" and found.st_uid == os.getuid() and bool(stat.S_IMODE(found.st_mode) & 0o077)


def _readable_by_others(path: Path) -> str:
    return f"{path} holds a key or secret and can be read by others: run 'chmod 600 {path}'."
