"""Keys of workers this client has met (``known_workers``): one ``worker_id key`` a line, trusted at first use."""

import re
from pathlib import Path

from sleap_rtc.config.paths import home, write_private

_LINE = re.compile(r"(w_\S+)\s+([0-9a-f]{64})\s*")


class KnownWorkers:
    """The pinned keys.

    Args:
        path: the file; ``known_workers`` in our home by default.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or home() / "known_workers"

    def _read(self) -> dict[str, bytes]:
        if not self._path.exists():
            return {}
        found = map(_LINE.fullmatch, self._path.read_text("utf-8").splitlines())
        return {match[1]: bytes.fromhex(match[2]) for match in found if match}

    def key_of(self, worker_id: str) -> bytes | None:
        """The key this worker had the last time, 32 bytes, or None for a stranger."""
        return self._read().get(worker_id)

    def remember(self, worker_id: str, key: bytes) -> bool:
        """Pin `key`; return whether the worker was new."""
        known = self._read()
        if known.get(worker_id) == key:
            return False
        known[worker_id] = key
        lines = "".join(f"{name} {value.hex()}\n" for name, value in sorted(known.items()))
        write_private(self._path, lines.encode())
        return True
