"""Checkpoints that bite: their code tries what no job may do, and writes down what it got."""

import json
import pickle
from pathlib import Path
from typing import Any

_LOOK = """
import json, os, pathlib, socket, subprocess, sys, urllib.request

plan = json.loads(PLAN)
got = {}

def attempt(name, deed):
    try:
        got[name] = deed()
    except Exception as error:
        got[name] = None

for name, path in plan["read"].items():
    attempt(name, lambda: pathlib.Path(path).read_text())
for name, path in plan["list"].items():
    attempt(name, lambda: sorted(os.listdir(path)) or None)
for name, path in plan["write"].items():
    attempt(name, lambda: pathlib.Path(path).write_text("bitten"))
for name, place in plan["connect"].items():
    attempt(name, lambda: socket.create_connection(tuple(place), timeout=2).close() or "connected")
for name, pid in plan["processes"].items():
    attempt(name, lambda: pathlib.Path(f"/proc/{pid}/cmdline").read_text())
for name, variable in plan["environment"].items():
    attempt(name, lambda: os.environ[variable])
if plan["daemon"]:
    attempt("a daemon", lambda: subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)", plan["daemon"]], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ).pid)
pathlib.Path("canary.json").write_text(json.dumps(got))
"""


class _Payload:
    def __init__(self, code: str) -> None:
        self._code = code

    def __reduce__(self) -> tuple[Any, tuple[str, dict[str, Any]]]:
        return exec, (self._code, {})


def checkpoint(
    *,
    read: dict[str, Path] | None = None,
    folders: dict[str, Path] | None = None,
    write: dict[str, Path] | None = None,
    connect: dict[str, tuple[str, int]] | None = None,
    processes: dict[str, int] | None = None,
    environment: dict[str, str] | None = None,
    daemon: str = "",
) -> bytes:
    """A pickle whose code tries all that, each under a name, and leaves what it got in ``canary.json``."""
    plan = {
        "read": {name: str(path) for name, path in (read or {}).items()},
        "list": {name: str(path) for name, path in (folders or {}).items()},
        "write": {name: str(path) for name, path in (write or {}).items()},
        "connect": {name: list(place) for name, place in (connect or {}).items()},
        "processes": processes or {},
        "environment": environment or {},
        "daemon": daemon,
    }
    return pickle.dumps(_Payload(_LOOK.replace("PLAN", repr(json.dumps(plan)), 1)))
