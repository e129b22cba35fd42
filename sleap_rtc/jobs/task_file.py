"""What a run does that trains nothing, as it is kept for every attempt: ``control/runs/RUN/task.json``."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from sleap_rtc.errors import StorageError

from .files import write_atomically


class TaskFile(BaseModel):
    """What is written there."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def write(self, path: Path) -> None:
        """Keep it; on disk when this returns."""
        path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        write_atomically(path, self.model_dump_json(indent=1).encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            StorageError: if it is damaged or gone.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StorageError(f"'{path}' is damaged: the job cannot be run.") from error
