"""Networks of their own, as network namespaces of this machine: each lives as long as a program in it, and has no name.

Nothing is left behind, even by tests that were killed: what holds a network ends when its standard input does, and
every program that was started in one ends with the thread that started it. Without root the same is done in a
namespace of users, where the system lets anybody make one.
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "turnserver": "coturn",
}
"""What is needed, each with the package it comes with."""
_ADMIN = ("/usr/sbin", "/sbin")
"""Where the programs of administrators are, which are not on everybody's path."""


def path() -> str:
    """Where programs are looked for."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *_ADMIN))


@functools.cache
def missing() -> str | None:
    """Why there can be no networks here; None if there can."""
    packages = sorted({package for program, package in PROGRAMS.items() if shutil.which(program, path=path()) is None})
    if packages:
        return f"not installed: apt-get install {' '.join(packages)}"
    try:
        with ExitStack() as stack:
            space = Space(stack)
            space.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
            space.run("nft", "add table ip trial")
    except (subprocess.CalledProcessError, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        return f"no network namespace can be made here: {said}"
    return None


class Space:
    """A network, with its loopback up and nothing else in it.

    Args:
        stack: what ends it.
        beside: another one, of the same namespace of users, so that a cable can lead from one to the other.

    Raises:
        CalledProcessError: if it cannot be made; its `stderr` says why.
    """

    def __init__(self, stack: ExitStack, beside: "Space | None" = None) -> None:
        privileged = os.geteuid() == 0
        self._user: list[str] = []
        if beside is not None:
            self._user = beside._user
        make = ["unshare", "--net"] if privileged or beside else ["unshare", "--user", "--map-root-user", "--net"]
        command = [*(self._inside_user()), *make, "sh", "-c", "echo made; exec cat"]
        self._holder = stack.enter_context(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=os.environ | {"PATH": path()},
            )
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if not self._holder.stdout.readline():
            raise subprocess.CalledProcessError(1, command, stderr=self._holder.stderr.read())
        if not privileged and beside is None:
            self._user = [f"--user=/proc/{self.holder}/ns/user", "--preserve-credentials"]
        self.run("ip", "link", "set", "lo", "up")

    @property
    def holder(self) -> int:
        """The process by which others find this network."""
        return self._holder.pid

    def inside(self, *words: str) -> list[str]:
        """The command line that runs a command in this network."""
        return ["nsenter", *self._user, f"--net=/proc/{self.holder}/ns/net", "--", *words]

    def run(self, *words: str, said: str | None = None) -> str:
        """Run a short command that must succeed; what it says.

        Args:
            words: its command line.
            said: what it reads.

        Raises:
            CalledProcessError: if it fails; its `stderr` says why.
        """
        command = self.inside(*words)
        seen = os.environ | {"PATH": path()}
        done = subprocess.run(command, input=said or "", capture_output=True, text=True, env=seen, check=False)
        if done.returncode:
            error = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
            error.add_note(done.stderr)
            raise error
        return done.stdout

    def start(
        self, *words: str, environment: Mapping[str, str] | None = None, log: Path | None = None, **more: Any
    ) -> "subprocess.Popen[str]":
        """Start a program that ends at the latest with the thread that starts it.

        Args:
            words: its command line.
            environment: what it sees beside the environment of this process.
            log: where what it says on standard error is added; without it, it is to be read from the process.
            more: further arguments of `subprocess.Popen`.
        """
        command = self.inside("setpriv", "--pdeathsig", "KILL", "--", *words)
        seen = os.environ | {"PATH": path()} | dict(environment or {})
        with open(os.devnull if log is None else log, "a") as errors:  # noqa: PTH123 - the one is no file of ours
            return subprocess.Popen(
                command, env=seen, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if log is None else errors, text=True, **more,
            )  # fmt: skip

    def _inside_user(self) -> list[str]:
        return ["nsenter", *self._user, "--"] if self._user else []
