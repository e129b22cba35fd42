"""Looks through an HDF5 file of a stranger before anything reads it: it may refer to no other file, and claim little.

Runs in the preflight helper, and in a client's helper for labels, only. Each look is cheap and all are counted, so that
no file takes longer than those who wait for the helper do: it would be passed over then.
"""

from math import prod
from pathlib import Path
from typing import Any

import h5py
from h5py import h5a, h5d, h5g, h5l, h5o, h5t

from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.text import one_line

MAX_OBJECTS = 20_000
"""Links and attributes in one file; a labels file has a dozen, and a few for each video."""
MAX_DEPTH = 32
"""How deep groups may be nested: the HDF5 library takes ever longer for deeper ones."""
MAX_ATTRIBUTES = 64 * 1024**2
"""Bytes of all attributes together, which are read whole."""
MAX_RATIO = 200
FREE_SIZE = 256 * 1024**2
"""A dataset larger than this many bytes may be at most `MAX_RATIO` times as large as what the file holds of it."""
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError)


def datasets_of(path: Path, shown: str) -> frozenset[str]:
    """The names of the datasets in a file that stands alone.

    Args:
        path: the file.
        shown: what to call it.

    Raises:
        PackageError: if it refers to other files, or holds more objects, deeper groups or larger things than labels do.
        OSError: if it is no HDF5 file, or a damaged one.
    """
    try:
        with h5py.File(path, "r") as file:
            look = _Look(file.id)
            look.through()
        if look.damage is not None:
            raise look.damage
    except _DAMAGE as error:
        # which of them the library raises depends on where a byte is wrong
        raise OSError(f"it is damaged: {one_line(str(error), limit=200)}") from error
    if look.problem is not None:
        raise PackageError(f"'{shown}' {look.problem}")
    return frozenset(look.datasets)


class _Look:
    """One walk through a file.

    Args:
        file: the open file.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._count = self._attributes = 0
        self.datasets: set[str] = set()
        self.problem: str | None = None
        self.damage: Exception | None = None

    def through(self) -> None:
        """Walk until the end, a problem, or damage."""
        if not self._ends(self._group, b"/", h5o.open(self._file, b"/")):
            self._file.links.visit(self._link, info=True)

    def _link(self, name: bytes, info: Any) -> bool | None:
        # what is returned ends the walk: the library does not take an exception well here
        return self._ends(self._linked, name, info) or None

    def _ends(self, look: Any, name: bytes, what: Any) -> bool:
        try:
            self.problem = look(name, what)
        except _DAMAGE as error:
            self.damage = error
        return self.problem is not None or self.damage is not None

    def _linked(self, name: bytes, info: Any) -> str | None:
        if (problem := self._too_many(1)) or info.type == h5l.TYPE_SOFT:
            return problem
        if name.count(b"/") >= MAX_DEPTH:
            return f"nests groups deeper than {MAX_DEPTH}, as no labels file does. Export it again."
        if info.type != h5l.TYPE_HARD:
            return _refers(name)
        found = h5o.open(self._file, name)
        if isinstance(found, h5d.DatasetID):
            return self._dataset(name, found)
        return self._group(name, found) if isinstance(found, h5g.GroupID) else None

    def _group(self, name: bytes, group: Any) -> str | None:
        # before the library lists them
        return self._too_many(group.get_num_objs(), counted=False) or self._look_at_attributes(name, group)

    def _dataset(self, name: bytes, dataset: Any) -> str | None:
        made = dataset.get_create_plist()
        if made.get_external_count() or made.get_layout() == h5d.VIRTUAL:
            return _refers(name)
        kind = dataset.get_type()
        if kind.detect_class(h5t.REFERENCE):
            return f"holds references in '{_shown(name)}', as no labels file does. Export it again."
        size = prod(dataset.shape or ()) * kind.get_size()
        if size > FREE_SIZE and size > MAX_RATIO * dataset.get_storage_size():
            return f"claims {size} bytes for '{_shown(name)}', and holds next to nothing of it. Export it again."
        self.datasets.add(name.decode("utf-8", "replace"))
        return self._look_at_attributes(name, dataset)

    def _look_at_attributes(self, name: bytes, found: Any) -> str | None:
        if problem := self._too_many(h5a.get_num_attrs(found)):
            return problem

        def measure(_: bytes, info: Any) -> None:
            self._attributes += info.data_size

        h5a.iterate(found, measure, info=True)
        if self._attributes > MAX_ATTRIBUTES:
            return (
                f"has more than {MAX_ATTRIBUTES // 1024**2} MiB of attributes, of which some are at '{_shown(name)}', "
                "as no labels file does. Export it again."
            )
        return None

    def _too_many(self, more: int, *, counted: bool = True) -> str | None:
        self._count += more if counted else 0
        if (self._count if counted else self._count + more) > MAX_OBJECTS:
            return f"holds more than {MAX_OBJECTS} objects, as no labels file does. Export it again."
        return None


def _refers(name: bytes) -> str:
    return (
        f"refers to other files in '{_shown(name)}', and a job reads only its package. "
        "Export it again with embedded images."
    )


def _shown(name: bytes) -> str:
    return one_line(name.decode("utf-8", "replace"), limit=120)
