"""How a run is brought to its end: asked, told, forced."""

from enum import Enum, auto

from .settings import SupervisorSettings


class Action(Enum):
    """What to do to the run now."""

    STOP = auto()
    TERMINATE = auto()
    KILL = auto()


class Ladder:
    """Decides what a stop or cancel means for one run; the clock is an argument."""

    def __init__(self, settings: SupervisorSettings) -> None:
        self._settings = settings
        self._last: Action | None = None
        self._deadline = 0.0

    @property
    def climbed(self) -> bool:
        """Whether anything was done to the run at all."""
        return self._last is not None

    def step(self, now: float, command: str | None, training: bool) -> Action | None:
        """The next action, if one is due.

        Args:
            now: monotonic seconds.
            command: the strongest command so far.
            training: whether the training loop has begun: before it, nobody listens and nothing is worth keeping.
        """
        if command is None or self._last is Action.KILL:
            return None
        if command == "kill":
            return self._do(Action.KILL, now)
        if self._last is Action.TERMINATE:
            return self._do(Action.KILL, now) if now >= self._deadline else None
        if command == "stop" and training and self._last is None:
            return self._do(Action.STOP, now, self._settings.stop_grace)
        if command == "stop" and self._last is Action.STOP and now < self._deadline:
            return None
        return self._do(Action.TERMINATE, now, self._settings.terminate_grace)

    def _do(self, action: Action, now: float, grace: float = 0.0) -> Action:
        self._last, self._deadline = action, now + grace
        return action
