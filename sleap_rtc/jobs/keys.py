"""Keys of other services that submitters brought for one job each: in memory alone, and until that job starts."""


class Keys:
    """Holds each key until its job's supervisor is started. Nothing of it is ever written or shown."""

    def __init__(self) -> None:
        self._held: dict[str, str] = {}

    def keep(self, job: str, key: str) -> None:
        """Hold the key of a job that waits."""
        self._held[job] = key

    def take(self, job: str) -> str | None:
        """Hand a job's key out, and forget it; None if it brought none, or this worker was started again since."""
        return self._held.pop(job, None)
