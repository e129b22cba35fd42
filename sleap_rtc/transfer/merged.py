"""Files of several places as one tree."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import BinaryIO

from sleap_rtc.errors import TransferError
from sleap_rtc.protocol.files import check_tree

from .source import Source


class MergedSource(Source):
    """A package and the files that go with it.

    Args:
        sources: what is merged, in the order it is sent; closing this closes them.
        replaced: paths of which the last source's file is sent, and not another one's.
    """

    def __init__(self, *sources: Source, replaced: Collection[str] = ()) -> None:
        self._sources = sources
        self._replaced = frozenset(replaced)
        self._owners: dict[str, Source] | None = None
        self._listed: list[tuple[str, int]] = []

    def files(self) -> Sequence[tuple[str, int]]:
        """See `Source`."""
        self._look()
        return self._listed

    def open(self, path: str) -> BinaryIO:
        """See `Source`."""
        return self._owner(path).open(path)

    def unchanged(self, path: str) -> bool:
        """See `Source`."""
        return self._owner(path).unchanged(path)

    def read(self, path: str, offset: int, size: int) -> bytes:
        """See `Source`."""
        return self._owner(path).read(path, offset, size)

    def local(self, path: str) -> Path | None:
        """See `Source`."""
        return self._owner(path).local(path)

    def close(self) -> None:
        """See `Source`."""
        for source in self._sources:
            source.close()

    def _look(self) -> dict[str, Source]:
        if self._owners is None:
            found = [
                (source, path, size)
                for source in self._sources
                for path, size in source.files()
                if path not in self._replaced or source is self._sources[-1]
            ]
            check_tree(path for _, path, _ in found)
            self._listed = [(path, size) for _, path, size in found]
            self._owners = {path: source for source, path, _ in found}
        return self._owners

    def _owner(self, path: str) -> Source:
        owner = self._look().get(path)
        if owner is None:
            raise TransferError(f"{path} is not among the files that are sent.")
        return owner
