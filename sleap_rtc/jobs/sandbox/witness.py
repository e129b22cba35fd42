"""``python -m sleap_rtc.jobs.sandbox.witness``: says what can be seen and done from where it runs.

The self-test runs it where runners run, and believes nothing but what it reports: it says that it is ready, is told
where to look, and answers, in JSON lines on its pipes. Standard library only.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


def look(places: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Try everything.

    Args:
        places: paths to ``read``, and folders and files to ``write`` into. Of a file nothing is changed.
    """
    return {
        "read": [path for path in places["read"] if _can_read(path)],
        "write": [path for path in places["write"] if _can_write(path)],
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "processes": sum(entry.isdecimal() for entry in os.listdir("/proc")),  # noqa: PTH208 - names alone
        "environment": sorted(os.environ),
        "capabilities": _capabilities(),
    }


def _can_read(path: str) -> bool:
    with suppress(OSError):
        return bool(os.listdir(path)) if Path(path).is_dir() else Path(path).exists()  # noqa: PTH208
    return False


def _can_write(path: str) -> bool:
    with suppress(OSError):
        if Path(path).is_dir():
            Path(path, "witness").write_bytes(b"")
        else:
            os.close(os.open(path, os.O_WRONLY))
        return True
    return False


def _capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdout.write(json.dumps(look(json.loads(sys.stdin.readline()))) + "\n")
