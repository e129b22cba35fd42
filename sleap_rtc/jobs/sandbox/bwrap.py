"""Starts a program in a sandbox of bubblewrap, and shows it its job.

The program gets namespaces of its own (no other process, no network but a loopback, no user but itself), no capability,
and the file system of `view`. Whatever it starts ends when it ends, and all of it when the supervisor does. What
bubblewrap's ``--clearenv`` would do is done by whoever gives the environment: it has what a job may see and no more.
"""

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sleap_rtc.errors import DependencyError

from .calls import refused_calls
from .devices import make_gpu_files
from .settings import SandboxSettings
from .view import HOME, view, view_of

_ADMITTED_WITHIN = 20.0
_MAX_INFO = 64 * 1024
_MAX_REASON = 500


@dataclass(frozen=True)
class Sandboxed:
    """A program in its sandbox.

    Attributes:
        process: bubblewrap, whose pipes are the program's; it ends with the program.
        first: the first process inside, by its pid outside: it leads the group of the program.
        settings: what the sandbox is made of.
    """

    process: subprocess.Popen[bytes]
    first: int
    settings: SandboxSettings

    def admit(self, job: str) -> None:
        """Show the program one job, and no other one ever again. Blocks for a moment.

        Args:
            job: the job's id.

        Raises:
            DependencyError: if that fails: the program must not be told the job then.
        """
        # isolated: neither this folder nor the user's own packages have a say in what enters the namespaces
        command = [sys.executable, "-m", "sleap_rtc.jobs.sandbox.admitting", str(self.first), self.settings.jobs, job]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_ADMITTED_WITHIN, env=_plain(), check=False)
        except subprocess.TimeoutExpired:
            raise DependencyError(_failed(f"it took longer than {_ADMITTED_WITHIN:g} seconds")) from None
        if done.returncode != 0:
            raise DependencyError(_failed(_last_line(done.stderr)))

    def terminate(self) -> None:
        """Ask everything inside to end, by SIGTERM."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.first, signal.SIGTERM)


def start(
    settings: SandboxSettings, command: Sequence[str], environment: Mapping[str, str], *, network: bool = False
) -> Sandboxed:
    """Start a program in a sandbox that shows no job yet. It ends with the thread that calls this.

    Args:
        settings: what the sandbox is made of.
        command: what to run inside; its standard streams are pipes.
        environment: all that it sees of the environment.
        network: whether it may reach the network.

    Raises:
        DependencyError: if the sandbox cannot be made.
    """
    make_gpu_files()
    read, write = os.pipe()
    try:
        with _starting(settings, view(settings, network=network), command, network=network, info=write) as (
            words,
            given,
        ):
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=given, cwd="/",
                env=dict(environment), start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        os.close(read)
        raise DependencyError(f"The sandbox cannot be started: {error}.") from error
    finally:
        os.close(write)
    try:
        first = _first_process(read)
    finally:
        os.close(read)
    if first is None:
        said = process.communicate()[1]
        raise DependencyError(f"The sandbox cannot be started: {_last_line(said)}.")
    return Sandboxed(process, first, settings)


@dataclass(frozen=True)
class Look:
    """What starts a program in a sandbox where it gets no job and can write nothing. Making one blocks for a moment.

    Attributes:
        settings: what the sandbox is made of.
        seen: the arguments that build what is seen.
        command: what to run inside, as the first process there; bubblewrap ends with it, and it with bubblewrap.
    """

    settings: SandboxSettings
    seen: tuple[str, ...]
    command: tuple[str, ...]

    @classmethod
    def at(cls, folder: str, settings: SandboxSettings, command: Sequence[str]) -> "Look":
        """Look at a folder, as it is at each moment, where the folder of jobs is outside."""
        _no_nested(settings.bwrap)
        return cls(settings, tuple(view_of(folder, settings)), tuple(command))

    @contextmanager
    def starting(self) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        """The command, and the descriptors to pass to it, which are good for the body of ``with``."""
        # the first process itself: one of bubblewrap's own beside it could be changed from inside, and would stay
        with _starting(self.settings, ("--as-pid-1", *self.seen), self.command) as found:
            yield found


@contextmanager
def _starting(
    settings: SandboxSettings,
    seen: Sequence[str],
    command: Sequence[str],
    *,
    network: bool = False,
    info: int | None = None,
) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """The command that starts a sandbox, and the descriptors to pass to it."""
    options = _options(settings, seen, network=network)
    given = [] if info is None else [info]
    options += [] if info is None else ["--info-fd", str(info)]
    opened = []
    try:
        if (refused := refused_calls()) is not None:
            opened.append(_in_memory(refused))
            options += ["--seccomp", str(opened[0])]
        # not on the command line, which can be read from inside: where things lie here is nobody's business there
        opened.append(_in_memory(b"".join(os.fsencode(word) + b"\0" for word in options)))
        yield [settings.bwrap, "--args", str(opened[-1]), "--", *command], (*given, *opened)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _options(settings: SandboxSettings, seen: Sequence[str], *, network: bool = False) -> list[str]:
    shared = ["--share-net"] if network else []
    return [
        "--unshare-user", "--unshare-all", *shared, *_no_nested(settings.bwrap), "--die-with-parent",
        "--new-session", "--cap-drop", "ALL", "--hostname", "localhost", *seen, "--chdir", HOME,
    ]  # fmt: skip


def _in_memory(data: bytes) -> int:
    """The descriptor of a file in memory."""
    descriptor = os.memfd_create("options")
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


@functools.cache
def _no_nested(bwrap: str) -> tuple[str, ...]:
    """What keeps programs inside from namespaces of their own, a door to much of the kernel; new in bubblewrap 0.8."""
    helped = subprocess.run([bwrap, "--help"], capture_output=True, check=False).stdout
    return ("--disable-userns",) if b"--disable-userns" in helped else ()


def _first_process(info: int) -> int | None:
    said = b""
    while block := os.read(info, _MAX_INFO):
        said += block
    try:
        return int(json.loads(said)["child-pid"])
    except (ValueError, KeyError, TypeError):
        return None


def _plain() -> dict[str, str]:
    names = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in names if name in os.environ} | {"PYTHONSAFEPATH": "1"}


def _failed(why: str) -> str:
    return f"The sandbox could not be given its job: {why}. The job was not started; start the worker again."


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
    return lines[-1].removeprefix("bwrap: ").rstrip(".")[:_MAX_REASON]
