"""Credentials by service: ``credentials.json``, readable by this user alone, each entry used at its own server only."""

import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from sleap_rtc.config.paths import home, write_private
from sleap_rtc.errors import ConfigError


@dataclass(frozen=True)
class WorkerSession:
    """What a worker without an account needs to be found again: its room and the two tokens of its string."""

    room_id: str
    worker_token: str
    session_token: str


class Credentials:
    """The file.

    Args:
        path: where it lies; ``credentials.json`` in our home by default.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or home() / "credentials.json"

    def worker_session(self, server: str) -> WorkerSession | None:
        """The session this worker had with `server`, or None.

        Raises:
            ConfigError: if the file is damaged, or others can read it.
        """
        entry = self._read().get(server, {}).get("worker_session")
        try:
            return WorkerSession(**entry) if entry else None
        except TypeError as error:
            raise self._damaged() from error

    def keep_worker_session(self, server: str, session: WorkerSession) -> None:
        """Keep a session for the next start."""
        everything = self._read()
        everything.setdefault(server, {})["worker_session"] = asdict(session)
        write_private(self._path, json.dumps(everything, indent=1).encode())

    def _read(self) -> dict[str, dict[str, dict[str, str]]]:
        try:
            if os.name == "posix" and stat.S_IMODE(self._path.stat().st_mode) & 0o077:
                raise ConfigError(f"{self._path} can be read by others: run 'chmod 600 {self._path}', then try again.")
            found = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise self._damaged() from error
        if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
            raise self._damaged()
        return found

    def _damaged(self) -> ConfigError:
        return ConfigError(f"{self._path} is damaged. Remove it; workers and logins are then made anew.")
