"""Where files from anywhere on this machine go in a package: safe names, no two alike, the same ones every time."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from sleap_rtc.errors import PackageError, UsageError
from sleap_rtc.protocol.files import check_path, folded
from sleap_rtc.protocol.text import printable

_UNSAFE = re.compile(r'[<>:"|?*\\/\x00-\x1f\x7f-\x9f\ud800-\udfff]')
_MAX_NAME = 200


class Packing:
    """The files that are sent beside a package, or instead of one.

    Args:
        taken: the paths that the package itself has.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._files: dict[str, Path] = {}
        self._places: dict[Path, str] = {}
        self._meant: dict[str, str] = {}
        self._names: set[str] = set()
        self._folders: set[str] = set()
        for path in taken:
            self._take(path)

    @property
    def files(self) -> Mapping[str, Path]:
        """Where each path of the package is read from."""
        return self._files

    @property
    def meant(self) -> Mapping[str, str]:
        """The path in the package that each path a user wrote stands for."""
        return self._meant

    def add(self, folder: str, file: Path, name: str = "") -> str:
        """Send a file along; the same file has one place however often it is named.

        Args:
            folder: the folder of the package that it should be in; another one if there is such a name already.
            file: the file on this machine.
            name: what it should be called; as it is called here by default.

        Returns:
            Its path in the package.
        """
        real = file.resolve()
        if real not in self._places:
            name, number = safe_name(name or file.name), 1
            while not self._is_free(place := f"{folder}/{name}"):
                number += 1
                folder = f"{folder.partition('-')[0]}-{number}"
            self._take(place)
            self._places[real] = place
            self._files[place] = file
        return self._places[real]

    def folder(self, name: str) -> str:
        """A folder of the package that is nobody's yet, called so or nearly so."""
        wanted, number = name, 1
        while not self._is_free(name):
            number += 1
            name = f"{wanted}-{number}"
        return name

    def put(self, place: str, file: Path) -> None:
        """Send a file along under just this path, which is free."""
        self._take(place)
        self._files[place] = file

    def mean(self, text: str, place: str) -> str:
        """Note that a path as the user wrote it stands for a path in the package, and return that.

        Raises:
            UsageError: if it stands for another one already.
        """
        if self._meant.setdefault(text, place) != place:
            shown = printable(text, limit=200)
            raise UsageError(
                f"'{shown}' stands for two different files. Write whole paths, so that they can be told apart."
            )
        return place

    def _is_free(self, path: str) -> bool:
        key = folded(path)
        return key not in self._names | self._folders and not self._names & _above(key)

    def _take(self, path: str) -> None:
        key = folded(path)
        self._names.add(key)
        self._folders |= _above(key)


def safe_name(name: str) -> str:
    """A file's name, changed where some system could not have it, or where a worker would take it for hidden."""
    name = unicodedata.normalize("NFC", _UNSAFE.sub("_", name)).rstrip(". ")
    name = re.sub(r"\A\.+", "_", name) or "file"
    stem, dot, suffix = name.rpartition(".")
    while len(name.encode()) > _MAX_NAME and len(stem) > 1:
        stem = stem[:-1]
        name = f"{stem}{dot}{suffix}"
    try:
        return check_path(name)
    except PackageError:
        return check_path(f"_{name}"[-_MAX_NAME:])  # a device of Windows: CON.slp


def _above(key: str) -> set[str]:
    parts = key.split("/")
    return {"/".join(parts[:end]) for end in range(1, len(parts))}
