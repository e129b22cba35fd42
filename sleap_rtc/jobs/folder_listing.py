"""What lies in a folder of a mount: a bounded look, in bounded time, that follows no link."""

import heapq
import os
import time
from collections.abc import Callable, Iterable, Iterator

from sleap_rtc.errors import NotFoundError
from sleap_rtc.protocol.mounts import MAX_ENTRIES, EntryKind, FolderEntry, FolderListing
from sleap_rtc.protocol.text import printable

from .below import NotThereError, folder_below
from .mounts import Mounts

PATIENCE = 5.0
"""Seconds for one listing."""
_FOR_NAMES = 0.5
"""The share of them that is for finding names, so that something can be said of those that were found."""
_LATEST = 2**53 - 1


class Look:
    """A look into a folder that may be cut short at any moment.

    Args:
        mounts: where clients may look.
        place: ``label:/path``.
        clock: seconds.
        patience: seconds for all of it.
    """

    def __init__(
        self, mounts: Mounts, place: str, *, clock: Callable[[], float] = time.monotonic, patience: float = PATIENCE
    ) -> None:
        self._mounts = mounts
        self._place = place
        self._clock = clock
        self._patience = patience
        self._found: list[FolderEntry] = []
        self._cut = False
        self._whole = False

    @property
    def listing(self) -> FolderListing:
        """What was found so far; from any thread."""
        return FolderListing(entries=tuple(self._found), more=not self._whole)

    def run(self) -> None:
        """Look. Blocks, for about as long as it may: one call of the system cannot be cut short.

        Raises:
            ConfigError: if that is no place below a mount.
            NotFoundError: if there is no such folder.
        """
        root, parts = self._mounts.locate(self._place)
        try:
            with folder_below(root, parts) as folder, os.scandir(folder) as entries:
                self._read(entries)
        except NotThereError as error:
            raise NotFoundError(
                f"'{printable(self._place, limit=200)}' on this worker {error.why}. List the folder above it."
            ) from error

    def _read(self, entries: "Iterable[os.DirEntry[str]]") -> None:
        began = self._clock()
        # one more than is told, to know whether there is more; never the names of a million files at once
        names = self._in_time(filter(_kind, entries), began + _FOR_NAMES * self._patience)
        first = heapq.nsmallest(MAX_ENTRIES + 1, names, key=lambda entry: entry.name)
        for entry in self._in_time(first[:MAX_ENTRIES], began + self._patience):
            if (found := _described(entry)) is not None:
                self._found.append(found)
        self._whole = not self._cut and len(first) <= MAX_ENTRIES

    def _in_time(self, entries: "Iterable[os.DirEntry[str]]", until: float) -> "Iterator[os.DirEntry[str]]":
        for entry in entries:
            if self._clock() > until:
                self._cut = True
                return
            yield entry


def _kind(entry: "os.DirEntry[str]") -> EntryKind | None:
    try:
        if entry.is_file(follow_symlinks=False):
            return EntryKind.FILE
        return EntryKind.FOLDER if entry.is_dir(follow_symlinks=False) else None
    except OSError:  # gone meanwhile
        return None


def _described(entry: "os.DirEntry[str]") -> FolderEntry | None:
    kind = _kind(entry)
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    if kind is None:
        return None
    return FolderEntry(
        # a name that is no text is shown by its bytes: JSON could not carry it
        name=entry.name.encode("utf-8", "backslashreplace").decode(),
        kind=kind,
        size=found.st_size if kind is EntryKind.FILE else 0,
        modified=min(max(0, int(found.st_mtime * 1000)), _LATEST),
    )
