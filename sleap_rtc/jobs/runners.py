"""The runners that one supervisor starts: the first perhaps before it has a job."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from .environment import runner_environment
from .processes import this_process
from .settings import SupervisorSettings


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
        self._ahead: subprocess.Popen[bytes] | None = None

    def start_ahead(self) -> subprocess.Popen[bytes]:
        """Start the runner of a run that is still to come."""
        self._ahead = self.start()
        return self._ahead

    def take_ahead(self) -> subprocess.Popen[bytes] | None:
        """The runner that was started ahead, once; None if there is none, or if it has ended."""
        process, self._ahead = self._ahead, None
        if process is None or process.poll() is None:
            return process
        with process:  # its pipes are closed
            return None

    def start(self) -> subprocess.Popen[bytes]:
        """Start a runner. It ends with the thread that calls this."""
        # one each: what a run left in its home must not be read by the next while that loads
        home = Path(tempfile.mkdtemp(prefix="sleap-rtc-runner-"))
        self._homes.append(home)
        return subprocess.Popen(
            self._settings.runner_command, cwd=home, env=runner_environment(self.supervisor.mark, home),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def close(self) -> None:
        """Clear up what they left outside the job. They have to be gone."""
        for home in self._homes:
            shutil.rmtree(home, ignore_errors=True)
        self._homes.clear()
