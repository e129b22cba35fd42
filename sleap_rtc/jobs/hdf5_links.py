"""Looks through an HDF5 file of a stranger before anything reads it: it may refer to no other file.

Runs in the preflight helper only.
"""

from pathlib import Path
from typing import Any

import h5py

from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.text import printable

MAX_OBJECTS = 100_000
"""Links in one file; a labels file has a dozen, and a few for each video."""


def datasets_of(path: Path, shown: str) -> frozenset[str]:
    """The names of the datasets in a file that stands alone.

    Args:
        path: the file.
        shown: what to call it.

    Raises:
        PackageError: if it refers to other files, or holds too many objects.
        OSError: if it is no HDF5 file, or a damaged one.
    """
    names: set[str] = set()
    count = 0

    def problem(name: str, link: Any) -> str | None:
        # returned, which ends the visit: h5py does not take an exception well here
        nonlocal count
        count += 1
        if count > MAX_OBJECTS:
            return f"'{shown}' holds more than {MAX_OBJECTS} objects, as no labels file does. Export it again."
        if isinstance(link, h5py.ExternalLink):
            return _refers(shown, name)
        if isinstance(link, h5py.HardLink) and isinstance(found := file[name], h5py.Dataset):
            if found.is_virtual or found.external:
                return _refers(shown, name)
            names.add(name)
        return None

    with h5py.File(path, "r") as file:
        found = file.visititems_links(problem)
    if found is not None:
        raise PackageError(found)
    return frozenset(names)


def _refers(shown: str, name: str) -> str:
    return (
        f"'{shown}' refers to other files in '{printable(name, limit=120)}', and a job reads only its package. "
        "Export it again with embedded images."
    )
