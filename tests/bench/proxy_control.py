"""The near side of `udp_proxy`: start it, and tell it what to do."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.wire import Network

ROOT = Path(__file__).resolve().parents[2]
ANSWER_WITHIN = 10.0


class ProxyControl:
    """A control connection to a proxy. Blocking, and safe to use from several threads.

    Args:
        address: host and port, as the proxy printed them.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        host, _, port = address.rpartition(":")
        self._turn = threading.Lock()
        self._socket = socket.create_connection((host, int(port)), timeout=ANSWER_WITHIN)
        self._lines = self._socket.makefile("rb")

    def open(self, host: str, port: int) -> int:
        """Open a port of the proxy in front of an address, and return it."""
        return int(self._ask(open=[host, port])["port"])

    def change(self, direction: str | None = None, **changes: object) -> None:
        """Change settings of a `Network` while it is used.

        Args:
            direction: ``up`` is towards the addresses that were opened, ``down`` away from them; None is both.
            changes: the settings, by name.
        """
        self._ask(set=changes, direction=direction)

    def cut(self, port: int, *, blocked: bool = True) -> None:
        """Drop everything through a port that was opened, both ways; or no longer."""
        self._ask(cut=port, blocked=blocked)

    def counters(self) -> dict[str, dict[str, int]]:
        """What passed and what was dropped so far, by direction."""
        return self._ask(counters=True)

    def close(self) -> None:
        """End the control connection; the proxy goes on."""
        self._lines.close()
        self._socket.close()

    def _ask(self, **command: object) -> dict[str, Any]:
        with self._turn:
            self._socket.sendall(json.dumps(command).encode() + b"\n")
            answer: dict[str, Any] = json.loads(self._lines.readline())
        if "error" in answer:
            raise ValueError(f"The proxy did not take {command}: {answer['error']}.")
        return answer


@contextmanager
def running_proxy(network: Network | None = None, *, seed: int = 1) -> Iterator[ProxyControl]:
    """Run a proxy while the body does.

    Args:
        network: what it does to datagrams; nothing by default.
        seed: the same seed loses the same ones.
    """
    settings = asdict(network or Network())
    blocked = settings.pop("blocked")
    options = [text for name, value in settings.items() if value is not None for text in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.udp_proxy", *options, "--seed", str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,  # a Ctrl-C is for the bench, which ends it
    )
    assert process.stdin
    assert process.stdout
    try:
        control = ProxyControl(process.stdout.readline().strip())
        try:
            control.change(blocked=blocked)
            yield control
        finally:
            control.close()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
