"""What a database says when it cannot serve, as errors of ours: SQLAlchemy's, the drivers' and the network's."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

from sleap_rtc.errors import ConflictError, StorageError, UsageError

logger = logging.getLogger(__name__)

UNUSABLE = "The service's database is busy, full or away. Try again in a moment."
NO_TEXT = "What was given holds a character that cannot be kept: the one with the number zero. Leave it out."
CHANGED = "Somebody changed or deleted what this needs at the very same moment. Try again."
UNANSWERED = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What asyncpg raises when it gets no connection; SQLAlchemy passes it on as it is."""
# PostgreSQL's classes: no connection, rolled back (deadlock), no resources, not as it must be (locks), stopped, disk
_PASSING = ("08", "40", "53", "55", "57", "58")
_NO_TEXT_STATE = "22021"


@contextmanager
def translated() -> Iterator[None]:
    """Turn a database's refusals inside the block into sentences; the log gets the reason.

    Raises:
        StorageError: if the database is busy, full or away.
        ConflictError: if what was read in the block is no longer so.
        UsageError: if a text has a zero character, which PostgreSQL takes in no value, not even to look it up.
    """
    try:
        yield
    except (IntegrityError, StaleDataError) as error:
        logger.warning("two changes met: %s", first_line(error))
        raise ConflictError(CHANGED) from error
    except (DBAPIError, PoolTimeoutError, *UNANSWERED) as error:
        if _state(error) == _NO_TEXT_STATE:
            raise UsageError(NO_TEXT) from error
        if not _passes(error):
            raise
        logger.error("the database refused: %s", first_line(error))
        raise StorageError(UNUSABLE) from error


def first_line(error: Exception) -> str:
    """What `error` says, without the statement and its values, which SQLAlchemy puts on lines of their own."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _passes(error: Exception) -> bool:
    if not isinstance(error, DBAPIError) or isinstance(error, OperationalError | InterfaceError):
        return True
    return error.connection_invalidated or _state(error).startswith(_PASSING)


def _state(error: Exception) -> str:
    state: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state or ""
