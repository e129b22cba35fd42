"""How a supervisor behaves: times and limits in one object, which tests replace by tenths of a second."""

import json
from dataclasses import asdict, dataclass

from .environment import python_command
from .sandbox.settings import SandboxSettings

WARM_MEMORY = 1536 * 1024**2
"""Bytes of memory that must be free for each warm runner: somewhat more than sleap-nn takes once it is imported."""


@dataclass(frozen=True)
class SupervisorSettings:
    """Times in seconds, sizes in bytes.

    Attributes:
        tick: how often processes and commands are looked at.
        heartbeat: how often ``supervisor.json`` is renewed.
        step_interval: the shortest time between two step events of an epoch; a little less than the second that a
            runner keeps to, so that jitter does not cost every other event.
        stop_grace: from the stop command to SIGTERM; validation, checkpoint and evaluation happen in it.
        terminate_grace: from SIGTERM to SIGKILL.
        max_log: largest log of a job; max_line: longest line in it; tail: lines quoted when a run fails.
        max_journal: size of the journal from which on only states and ends of runs are written.
        max_work: what a job may take of the disk. min_free: what must be free for a new one; far below that, the one
            that takes most is ended; 0 leaves the disk to itself. quota_look: how often both are looked at.
        max_processes, max_threads: what a job may start. max_memory: what it may hold of the memory; 0 for all of it.
            min_memory: what must be left of the machine's; below that, the one that holds most is ended; 0 leaves that
            to the kernel. load_look: how often these are looked at.
        max_hours: how long a job may run; None for as long as it takes.
        runner: the command that starts a runner; ours without it.
        sandbox: what runners are kept in; None for nothing.
    """

    tick: float = 0.1
    heartbeat: float = 5.0
    step_interval: float = 0.9
    stop_grace: float = 900.0
    terminate_grace: float = 5.0
    max_log: int = 100 * 1024 * 1024
    max_line: int = 8 * 1024
    tail: int = 50
    max_journal: int = 256 * 1024 * 1024
    max_work: int = 100 * 10**9
    min_free: int = 0
    quota_look: float = 2.0
    max_processes: int = 1024
    max_threads: int = 16 * 1024
    max_memory: int = 0
    min_memory: int = 0
    load_look: float = 0.5
    max_hours: float | None = None
    runner: tuple[str, ...] = ()
    sandbox: SandboxSettings | None = None

    @property
    def runner_command(self) -> list[str]:
        """The command line of a runner."""
        return list(self.runner) or python_command("sleap_rtc.jobs.runner")

    def to_json(self) -> str:
        """The settings as an argument for a supervisor's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "SupervisorSettings":
        """Read what `to_json` wrote."""
        values = json.loads(text)
        sandbox = SandboxSettings.from_dict(values["sandbox"]) if values["sandbox"] else None
        return cls(**values | {"runner": tuple(values["runner"]), "sandbox": sandbox})
