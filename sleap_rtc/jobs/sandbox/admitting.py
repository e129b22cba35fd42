"""``python -m sleap_rtc.jobs.sandbox.admitting PID JOBS JOB``: shows one job to a sandbox that was started without.

A runner is started long before its job, and what it may see is decided when it starts. So the folder of all jobs waits
in its sandbox, below `STAGE`, while it imports sleap-nn and nothing of any job has reached it. Then this program enters
the sandbox's mount namespace, which the user who made it may do, puts the one job's ``inputs/`` (read-only) and
``work/`` at their usual places, and takes the rest away for ever. Only after that is the runner told its job.

Standard library only, and no more of that than is needed: a job waits for it.
"""

import ctypes
import os
import sys
from fcntl import ioctl
from pathlib import Path

from sleap_rtc.jobs.sandbox.view import STAGE

_NS_GET_USERNS = 0xB701
_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND = 1, 2, 4, 32, 4096
_DETACH = 2


class Kernel:
    """The system calls that Python 3.11 has no names for (namespaces(7), mount(2))."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def enter(self, pid: int) -> None:
        """Join the mount namespace of a process, and first the user namespace that owns it."""
        mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
        owner = ioctl(mounts, _NS_GET_USERNS)
        self._call("setns", owner, _NEWUSER)
        self._call("setns", mounts, _NEWNS)

    def bind(self, source: str, target: str) -> None:
        """Let `source` be seen at `target`, writable or not as it was."""
        self._call("mount", source.encode(), target.encode(), None, _BIND, None)

    def make_read_only(self, target: str) -> None:
        """Let nothing be written at `target` any more; what is mounted below it stays as it is."""
        self._call("mount", None, target.encode(), None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV, None)

    def unmount(self, target: str) -> None:
        """Take away what is seen at `target`."""
        self._call("umount2", target.encode(), _DETACH)

    def _call(self, name: str, *arguments: object) -> None:
        if getattr(self._libc, name)(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")


def admit(pid: int, jobs: str, job: str) -> None:
    """Show a job to the sandbox of a process, and no other one ever again.

    Args:
        pid: a process in the sandbox.
        jobs: the folder of jobs, outside and inside.
        job: which one.

    Raises:
        OSError: if the kernel refuses; nothing of the job may be told to the runner then.
    """
    kernel = Kernel()
    kernel.enter(pid)
    for name, way in (("inputs", "read"), ("work", "write")):
        Path(jobs, job, name).mkdir(parents=True)
        kernel.bind(f"{STAGE}/{way}/{job}/{name}", f"{jobs}/{job}/{name}")
    kernel.make_read_only(jobs)
    for way in ("read", "write"):
        kernel.unmount(f"{STAGE}/{way}")


if __name__ == "__main__":
    try:
        admit(int(sys.argv[1]), sys.argv[2], sys.argv[3])
    except OSError as error:
        sys.exit(str(error))
