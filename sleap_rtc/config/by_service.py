"""Files of ours in which each signaling service has an entry of its own, readable by this user alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sleap_rtc.config.locks import locked
from sleap_rtc.config.paths import read_private, write_private
from sleap_rtc.config.servers import normal_server
from sleap_rtc.errors import ConfigError


class ByService:
    """Such a file. Two processes that change it at once both succeed. The methods block.

    Args:
        path: where it lies.
        if_damaged: what to do about a damaged one, as sentences.

    Every method raises `ConfigError` if the file is damaged, a link, or open to others.
    """

    def __init__(self, path: Path, if_damaged: str) -> None:
        self.path = path
        self._if_damaged = if_damaged

    def read(self) -> dict[str, dict[str, Any]]:
        """Every service's entry, by its address."""
        try:
            found = json.loads(read_private(self.path))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise self.damaged() from error
        if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
            raise self.damaged()
        return found

    def entry(self, server: str) -> dict[str, Any]:
        """One service's entry; empty if it has none."""
        return self.read().get(normal_server(server), {})

    @contextmanager
    def changing(self, server: str) -> Iterator[dict[str, Any]]:
        """Give a service's entry to the body, and write the file if that has changed it.

        Raises:
            StorageError: if the disk refuses.
        """
        with locked(self.path):
            everything = self.read()
            before = json.dumps(everything)
            yield everything.setdefault(normal_server(server), {})
            kept = {name: entry for name, entry in everything.items() if entry}
            if json.dumps(kept) != before:
                write_private(self.path, json.dumps(kept, indent=1).encode())

    def damaged(self) -> ConfigError:
        """What to raise where an entry is none."""
        return ConfigError(f"{self.path} is damaged{self._if_damaged}")
