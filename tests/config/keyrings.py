"""Keyrings as tests need them: one that remembers, one that keeps nothing, one that never answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import keyring
from keyring.backend import KeyringBackend


class MemoryKeyring(KeyringBackend):
    """A desktop's keyring that is open."""

    priority: float = 5

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.items: dict[tuple[str, str], str] = {}
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        return self.items.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.items[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.items[service, username]


class OpenKeyring(MemoryKeyring):
    """A backend that keeps everything in the open, and says so by its priority."""

    priority = 0.5


class LockedKeyring(MemoryKeyring):
    """A desktop's keyring that waits for a password nobody types, until the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.unlocked = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.unlocked.wait()
        return super().get_password(service, username)


@contextmanager
def using(backend: KeyringBackend) -> Iterator[None]:
    """Let a keyring be this machine's while the body runs."""
    before = keyring.get_keyring()
    keyring.set_keyring(backend)
    try:
        yield
    finally:
        keyring.set_keyring(before)
        if isinstance(backend, LockedKeyring):
            backend.unlocked.set()
