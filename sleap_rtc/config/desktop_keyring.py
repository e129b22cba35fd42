"""The desktop's keyring, where there is one: asked in a thread of its own, and never waited for without end.

A keyring of a desktop may be locked, and then waits for somebody to type a password; a worker without a screen would
wait with it. So every question has an end, and what hangs is left to itself.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from sleap_rtc.errors import StorageError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "sleap-rtc"
READ_WITHIN = 10.0
"""Seconds for an answer: a keyring that is open gives it at once."""
WRITE_WITHIN = 60.0
"""Seconds for keeping something: somebody sits there and may have to unlock it."""
_LEAST_PRIORITY = 1
"""Below it are backends that keep nothing, or keep it in the open."""

T = TypeVar("T")


class Keyring(Protocol):
    """Something that keeps texts by name."""

    def get(self, name: str) -> str | None:
        """The text of that name, or None.

        Raises:
            StorageError: if the keyring cannot be asked.
        """

    def set(self, name: str, text: str) -> bool:
        """Keep a text; tell whether that was possible."""

    def delete(self, name: str) -> None:
        """Forget a text, if the keyring can be asked."""


class DesktopKeyring:
    """The keyring of whoever is logged in on this machine. Every method blocks, but for a bounded time.

    Args:
        read_within: seconds for an answer.
        write_within: seconds for keeping or deleting something.
    """

    def __init__(self, read_within: float = READ_WITHIN, write_within: float = WRITE_WITHIN) -> None:
        self._read_within = read_within
        self._write_within = write_within

    def get(self, name: str) -> str | None:
        """See `Keyring.get`."""

        def ask() -> str | None:
            backend = _backend()
            return None if backend is None else backend.get_password(SERVICE, name)

        return _bounded(ask, self._read_within)

    def set(self, name: str, text: str) -> bool:
        """See `Keyring.set`."""

        def keep() -> bool:
            backend = _backend()
            if backend is None:
                return False
            backend.set_password(SERVICE, name, text)
            return backend.get_password(SERVICE, name) == text

        try:
            return _bounded(keep, self._write_within)
        except StorageError:
            return False

    def delete(self, name: str) -> None:
        """See `Keyring.delete`."""

        def remove() -> None:
            backend = _backend()
            if backend is not None and backend.get_password(SERVICE, name) is not None:
                backend.delete_password(SERVICE, name)

        _bounded(remove, self._write_within)


def _backend() -> "KeyringBackend | None":
    """The best keyring of this machine that deserves the name. Looking for it can hang as well."""
    import keyring

    found = keyring.get_keyring()
    # several in a chain count as good, whatever they are: the first of them is the one that would keep something
    chained = getattr(found, "backends", None)
    best = next(iter(chained), None) if chained is not None else found
    return best if best is not None and best.priority >= _LEAST_PRIORITY else None


def _bounded(call: Callable[[], T], seconds: float) -> T:
    results: list[T] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001 - each backend has errors of its own
            errors.append(error)

    # a daemon: one that hangs must not keep the program from ending
    thread = threading.Thread(target=work, daemon=True, name="keyring")
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    why = f"it failed ({type(errors[0]).__name__})" if errors else f"it did not answer within {seconds:g} s"
    raise StorageError(f"The keyring of this machine cannot be used: {why}; it may be locked.")
