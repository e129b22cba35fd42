"""The one error tree.

Every error carries a ``code`` for the wire, an ``exit_code`` for the shell, and a sentence for the user:
what happened, why, what to do. Errors of other libraries are translated where they enter.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class SleapRTCError(Exception):
    """Anything sleap-rtc reports to a user or a peer.

    Args:
        sentence: What happened, why, and what to do about it.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class UsageError(SleapRTCError):
    """The command or its arguments make no sense as typed."""

    code = "usage"
    exit_code = 2


class PackageError(SleapRTCError):
    """The package cannot be trained: missing, empty, hostile, without labels or configs."""

    code = "package"
    exit_code = 2


class ConfigError(SleapRTCError):
    """A training config or a settings file is refused."""

    code = "config"
    exit_code = 2


class NotFoundError(SleapRTCError):
    """A room, worker or job is unknown, or belongs to somebody else; the two look the same."""

    code = "not_found"
    exit_code = 2


class ConflictError(SleapRTCError):
    """The same id was used for something else, or the state does not allow the request."""

    code = "conflict"
    exit_code = 2


class AuthenticationError(SleapRTCError):
    """A credential or proof is missing, wrong, expired or revoked."""

    code = "authentication"
    exit_code = 3


class ForbiddenError(SleapRTCError):
    """The credential is good, but does not allow this."""

    code = "forbidden"
    exit_code = 3


class UnreachableError(SleapRTCError):
    """The service, a worker or a peer cannot be reached."""

    code = "unreachable"
    exit_code = 4


class ConnectionLost(UnreachableError):  # noqa: N818 - the name the field uses
    """A link, lane or socket ended; nothing more will arrive on it."""

    code = "connection_lost"


class LaneLost(UnreachableError):  # noqa: N818 - see ConnectionLost
    """One lane of a link ended; what was under way on it comes over another one."""

    code = "lane_lost"


class BusyError(UnreachableError):
    """A limit is reached for now: try again later."""

    code = "busy"


class ProtocolError(UnreachableError):
    """The other side broke the protocol or speaks a version we do not."""

    code = "protocol"


class TransferError(UnreachableError):
    """A file changed while it was sent, or arrived other than announced."""

    code = "transfer"


class StorageError(SleapRTCError):
    """A disk is full, read-only or refuses us."""

    code = "storage"


class DependencyError(SleapRTCError):
    """A part this command needs is not installed or does not run here."""

    code = "dependency"


class JobFailedError(SleapRTCError):
    """The job ended without a model: failed or lost."""

    code = "job_failed"
    exit_code = 5


def _tree(root: type[SleapRTCError]) -> dict[str, type[SleapRTCError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def from_wire(code: str, sentence: str) -> SleapRTCError:
    """Rebuild the error a peer or the service reported.

    Args:
        code: the wire code; one we do not know becomes a plain `SleapRTCError`.
        sentence: the sentence to show, already cleaned of control characters.
    """
    if code == ConnectionLost.code:
        return UnreachableError(sentence)  # some connection of theirs; ours is what brought this
    return _tree(SleapRTCError).get(code, SleapRTCError)(sentence)


def first_error(group: BaseExceptionGroup[SleapRTCError]) -> SleapRTCError:
    """Return the first error of a group, however deep it lies: a user is told one thing."""
    first = group.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first


@contextmanager
def ungrouped() -> Iterator[None]:
    """Let an error leave the task groups in the body as itself; what is not ours stays in its group."""
    try:
        yield
    except BaseExceptionGroup as group:
        ours, others = group.split(SleapRTCError)
        if ours is None or others is not None:
            raise
        raise first_error(ours) from group
