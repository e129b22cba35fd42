"""The package a user names: a folder or a zip, whatever its name, looked at before anything is sent."""

import asyncio
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.protocol.options import JobOptions
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import TrainOptions
from sleap_rtc.transfer.offering import Offering, make_offering
from sleap_rtc.transfer.source import Source, folder_source
from sleap_rtc.transfer.zip_source import ZipSource


@dataclass(frozen=True)
class Package:
    """What a job is about.

    Attributes:
        name: the folder's or file's name.
        offering: its files, ready to be sent.
        options: what is said about it beside, where `RemoteWorker.submit` is not told otherwise.
    """

    name: str
    offering: Offering
    options: JobOptions = field(default_factory=TrainOptions)

    def close(self) -> None:
        """Give the files back, when nothing of the package will be sent any more. Idempotent."""
        self.offering.source.close()

    @property
    def manifest(self) -> Manifest:
        """What the files hold."""
        return self.offering.manifest


class UnreadPackage:
    """A package that was looked at: it can be trained as far as its files' names tell.

    Args:
        name: the folder's or file's name.
        source: its files.
        options: what is said about it beside.
        unasked: files of it that the user did not name; configs did.
    """

    def __init__(
        self, name: str, source: Source, options: JobOptions | None = None, unasked: tuple[Path, ...] = ()
    ) -> None:
        self.name = name
        self.unasked = unasked
        self.source = source
        self.options: JobOptions = options or TrainOptions()

    async def read(self, on_bytes: Callable[[int, int], None] = lambda done, total: None) -> Package:
        """Hash the files.

        Args:
            on_bytes: told the bytes hashed so far and those there are.

        Raises:
            PackageError: if a file cannot be read, or changes meanwhile.
        """
        total = sum(size for _, size in await asyncio.to_thread(self.source.files))
        done = 0

        def count(size: int) -> None:
            nonlocal done
            done += size
            on_bytes(done, total)

        return Package(self.name, await make_offering(self.source, count), self.options)

    def close(self) -> None:
        """Give the files back. Idempotent."""
        self.source.close()


async def open_package(path: Path, on_bytes: Callable[[int, int], None] = lambda done, total: None) -> Package:
    """Open and hash a training package.

    Args:
        path: a folder, or a zip as SLEAP exports it.
        on_bytes: told the bytes hashed so far and those there are.

    Raises:
        PackageError: if it is missing, empty, neither folder nor zip, hostile, without labels or config, or cannot be
            read.
    """
    source = await asyncio.to_thread(open_source, path)
    try:
        files = await asyncio.to_thread(source.files)
        check_contents(path, [name for name, _ in files])
        return await UnreadPackage(await asyncio.to_thread(shown_name, path), source).read(on_bytes)
    except BaseException:
        source.close()
        raise


def shown_name(path: Path) -> str:
    """What a package is called. Blocks."""
    return printable(path.resolve().name, limit=256) or "package"


def open_source(path: Path) -> Source:
    """Open a package without reading it. Blocks.

    Raises:
        PackageError: if it is missing, neither folder nor zip, or hostile.
    """
    if path.is_dir():
        return folder_source(path)
    if not path.exists():
        raise PackageError(f"There is no {path}. Give the zip that SLEAP exported, or its unpacked folder.")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise PackageError(
            f"{path} is neither a folder nor a zip. In SLEAP, use 'Export training job package', and give that file; "
            "labels and configs that are no package are given with --labels and --config."
        )
    return ZipSource(path)


def check_contents(path: Path | None, names: Sequence[str], *, configured: bool = False) -> None:
    """Check that files can be trained, as far as their names tell.

    Args:
        path: the package; None if there is none.
        names: the files.
        configured: whether configs or a preset were named.

    Raises:
        PackageError: if they are none, or have no labels or no config among them.
    """
    lowered = [name.lower() for name in names]
    if path is not None and not names:
        raise PackageError(f"{path} is empty. Export the training package again.")
    if not any(name.endswith(".slp") for name in lowered):
        if path is None:
            raise PackageError("No labels are named. Give the labels file (.slp) with --labels.")
        raise PackageError(
            f"{path} holds no labels (*.slp). Export the training package again, with its labels, or add --labels."
        )
    if not configured and not any(name.endswith((".yaml", ".yml", ".json")) for name in lowered):
        raise PackageError(
            f"{path} holds no training config (*.yaml). Add one for each model to be trained, name one with --config, "
            "or train without: --preset."
        )
