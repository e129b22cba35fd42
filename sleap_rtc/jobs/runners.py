"""The runners that one supervisor starts: the first perhaps before it has a job."""

import os
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .environment import runner_environment
from .files import remove_tree
from .processes import kill_descendants, kill_group, start_time, terminate_group, this_process
from .sandbox import bwrap
from .sandbox.compiled import compile_once
from .sandbox.view import HOME
from .settings import SupervisorSettings

_SIGNALLED = 128
_HOME = "sleap-rtc-runner-"


@dataclass(frozen=True)
class RunnerProcess:
    """A runner that was started, in its sandbox where there is one.

    Attributes:
        process: what the supervisor has pipes to: the runner, or the sandbox that it is in.
        sandbox: the sandbox.
    """

    process: subprocess.Popen[bytes]
    sandbox: bwrap.Sandboxed | None = None

    @property
    def returncode(self) -> int:
        """How it ended: its exit code, or the number of a signal below zero."""
        code: int = self.process.returncode
        # a sandbox tells of signals as shells do
        return _SIGNALLED - code if self.sandbox and code > _SIGNALLED else code

    def admit(self, job: str) -> None:
        """Let it see its job, which without a sandbox it does already.

        Raises:
            DependencyError: if that fails; it must not be told the job then.
        """
        if self.sandbox:
            self.sandbox.admit(job)

    def terminate(self) -> None:
        """Ask it and all that it started to end, by SIGTERM."""
        if self.sandbox:
            self.sandbox.terminate()
        else:
            terminate_group(self.process.pid)

    def kill(self, spare: "RunnerProcess | None" = None) -> None:
        """End it and all that it started, by force. Blocks for a moment.

        Args:
            spare: a runner that waits for the next run.
        """
        if self.process.poll() is None:
            # a sandbox ends with its first process, and that with this one, whatever is started in it meanwhile
            self.process.kill()
            kill_group(self.process.pid)
        if spare is None or spare.process.poll() is not None:
            kill_descendants()
        else:
            kill_descendants(spare=spare.process.pid)


class Runners:
    """Starts runners, all in the same way: what they load is loaded before they know their job.

    Args:
        settings: with the command that starts one.
    """

    def __init__(self, settings: SupervisorSettings) -> None:
        self._settings = settings
        self.supervisor = this_process()
        """Who claims the job. Asked once: a start time that is asked twice differs where the clock was set."""
        self._homes: list[Path] = []
        self._ahead: RunnerProcess | None = None

    @property
    def ahead(self) -> RunnerProcess | None:
        """The runner that was started ahead, as long as nobody took it."""
        return self._ahead

    def start_ahead(self) -> RunnerProcess:
        """Start the runner of a run that is still to come."""
        self._ahead = self.start()
        return self._ahead

    def take_ahead(self, *, network: bool = False) -> RunnerProcess | None:
        """The runner that was started ahead, once; None if there is none, if it has ended, or is of no use.

        Args:
            network: whether the job may reach the network, which a sandbox gives from its start or never.
        """
        runner, self._ahead = self._ahead, None
        if runner is None:
            return None
        if network and runner.sandbox:
            runner.kill()
        elif runner.process.poll() is None:
            return runner
        with runner.process:  # its pipes are closed
            return None

    def start(self, *, network: bool = False) -> RunnerProcess:
        """Start a runner. It ends with the thread that calls this.

        Args:
            network: whether its job may reach the network, where there is a sandbox to keep it from that.

        Raises:
            DependencyError: if there should be a sandbox, and it cannot be made.
        """
        command, mark = self._settings.runner_command, self.supervisor.mark
        if self._settings.sandbox:
            if not self._settings.runner:
                compile_once()
            environment = runner_environment(mark, Path(HOME))
            inside = bwrap.start(self._settings.sandbox, command, environment, network=network)
            return RunnerProcess(inside.process, inside)
        # one each: what a run left in its home must not be read by the next while that loads
        _clear_forgotten()
        home = Path(tempfile.mkdtemp(prefix=f"{_HOME}{self.supervisor.pid}-{int(self.supervisor.started)}-"))
        self._homes.append(home)
        process = subprocess.Popen(
            command, cwd=home, env=runner_environment(mark, home), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        return RunnerProcess(process)

    def close(self) -> None:
        """Clear up what they left outside the job. They have to be gone."""
        for home in self._homes:
            remove_tree(home)
        self._homes.clear()


def _clear_forgotten() -> None:
    """Remove the homes of runners whose supervisor was killed before it could."""
    for path in Path(tempfile.gettempdir()).glob(f"{_HOME}*-*-*"):
        pid, started, _ = path.name.removeprefix(_HOME).split("-", 2)
        with suppress(OSError):
            # the folder around it is everybody's, and so may be what lies there under such a name
            if _is_ours(path) and not (pid.isdecimal() and _has(int(pid), started)):
                remove_tree(path)


def _is_ours(path: Path) -> bool:
    return not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()


def _has(pid: int, started: str) -> bool:
    """Whether the process still runs that made a home."""
    now = start_time(pid)
    return now is not None and str(int(now)) == started
