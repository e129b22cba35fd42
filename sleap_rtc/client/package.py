"""The package a user names: a folder or a zip, whatever its name, looked at before anything is sent."""

import asyncio
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.protocol.text import printable
from sleap_rtc.transfer.offering import Offering, make_offering
from sleap_rtc.transfer.source import Source, folder_source
from sleap_rtc.transfer.zip_source import ZipSource


@dataclass(frozen=True)
class Package:
    """What will be trained.

    Attributes:
        name: the folder's or file's name.
        offering: its files, ready to be sent.
    """

    name: str
    offering: Offering

    def close(self) -> None:
        """Give the files back, when nothing of the package will be sent any more. Idempotent."""
        self.offering.source.close()

    @property
    def manifest(self) -> Manifest:
        """What the files hold."""
        return self.offering.manifest


class UnreadPackage:
    """A package that was looked at: it can be trained as far as its files' names tell. Made by `look_into`.

    Args:
        name: the folder's or file's name.
        source: its files.
    """

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self._source = source

    async def read(self, on_bytes: Callable[[int, int], None] = lambda done, total: None) -> Package:
        """Hash the files.

        Args:
            on_bytes: told the bytes hashed so far and those there are.

        Raises:
            PackageError: if a file cannot be read, or changes meanwhile.
        """
        total = sum(size for _, size in await asyncio.to_thread(self._source.files))
        done = 0

        def count(size: int) -> None:
            nonlocal done
            done += size
            on_bytes(done, total)

        return Package(self.name, await make_offering(self._source, count))

    def close(self) -> None:
        """Give the files back. Idempotent."""
        self._source.close()


async def look_into(path: Path) -> UnreadPackage:
    """Open a training package without reading it: what cannot be trained is told at once.

    Args:
        path: a folder, or a zip as SLEAP exports it.

    Raises:
        PackageError: if it is missing, empty, neither folder nor zip, hostile, or without labels or config.
    """
    name = printable(await asyncio.to_thread(lambda: path.resolve().name), limit=256) or "package"
    source = await asyncio.to_thread(_source, path)
    try:
        files = await asyncio.to_thread(source.files)
        _check_contents(path, [name for name, _ in files])
    except BaseException:
        source.close()
        raise
    return UnreadPackage(name, source)


async def open_package(path: Path, on_bytes: Callable[[int, int], None] = lambda done, total: None) -> Package:
    """Open and hash a training package; see `look_into` and `UnreadPackage.read`."""
    unread = await look_into(path)
    try:
        return await unread.read(on_bytes)
    except BaseException:
        unread.close()
        raise


def _source(path: Path) -> Source:
    if path.is_dir():
        return folder_source(path)
    if not path.exists():
        raise PackageError(f"There is no {path}. Give the zip that SLEAP exported, or its unpacked folder.")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise PackageError(
            f"{path} is neither a folder nor a zip. In SLEAP, use 'Export training job package', and give that file."
        )
    return ZipSource(path)


def _check_contents(path: Path, names: list[str]) -> None:
    if not names:
        raise PackageError(f"{path} is empty. Export the training package again.")
    lowered = [name.lower() for name in names]
    if not any(name.endswith(".slp") for name in lowered):
        raise PackageError(f"{path} holds no labels (*.slp). Export the training package again, with its labels.")
    if not any(name.endswith((".yaml", ".yml")) for name in lowered):
        raise PackageError(
            f"{path} holds no training config (*.yaml). Add one for each model to be trained; the JSON configs of "
            "SLEAP 1.4 and older are not read yet, so export the package with a newer SLEAP."
        )
