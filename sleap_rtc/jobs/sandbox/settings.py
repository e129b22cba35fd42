"""What a sandbox is made of, decided by the worker and handed to supervisors on their command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SandboxSettings:
    """Real, absolute paths, as text because they travel as JSON.

    Attributes:
        bwrap: the program.
        jobs: the folder of all jobs, of which a sandbox is shown one at most.
        readable: what jobs may read beside their own files: mounts.
        writable: what they may write as well.
        private: what is never shown, also where it lies below something that is: the user's home, our own folder.
    """

    bwrap: str
    jobs: str
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    private: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SandboxSettings":
        """Read what `dataclasses.asdict` and JSON made of one."""
        lists = {name: tuple(values[name]) for name in ("readable", "writable", "private")}
        return cls(bwrap=values["bwrap"], jobs=values["jobs"], **lists)
