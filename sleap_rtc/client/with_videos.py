"""Between finding a training's files and hashing them: see that the images of its labels come along."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sleap_rtc.client.assembling import check_size
from sleap_rtc.client.labels_asking import Helper
from sleap_rtc.client.package import UnreadPackage
from sleap_rtc.client.video_choice import Decide, Labels, PreparedVideos, VideoChoice, as_usual
from sleap_rtc.client.videos import prepare_videos
from sleap_rtc.config.paths import home
from sleap_rtc.errors import ConfigError, StorageError
from sleap_rtc.jobs.yaml_data import MAX_BYTES, read_yaml
from sleap_rtc.protocol.files import is_clutter
from sleap_rtc.protocol.training import TrainOptions
from sleap_rtc.transfer.merged import MergedSource
from sleap_rtc.transfer.source import BLOCK, FilesSource, Source

_EMBEDDED = ".pkg.slp"
_MAX_LABELS = 2 * 1024**3
"""Bytes of labels in a zip that are unpacked to be looked at; without images they are a few millions."""
_USERS_ONLY = "user_instances_only"


async def with_videos(
    unread: UnreadPackage,
    choice: VideoChoice,
    *,
    decide: Decide = as_usual,
    package: Path | None = None,
    on_frames: Callable[[int, int], None] = lambda done, total: None,
    helper: Helper | None = None,
) -> tuple[UnreadPackage, PreparedVideos]:
    """Add to a package what its labels need; where they hold their images, it is returned as it is.

    A file called ``.pkg.slp`` is taken at its word, unless something was typed about videos: the worker looks again.

    Args:
        unread: the package; closing what is returned closes it.
        choice: what the user typed about videos.
        decide: picks a way where none was typed.
        package: the zip or folder, where there is one: from beside a zip the relative names in its labels count.
        on_frames: told the frames embedded so far and those there are.
        helper: how the helper is started.

    Raises:
        UsageError: if what was typed does not fit the labels.
        PackageError: if a video is not there, or cannot be read.
        StorageError: if the disk refuses.
    """
    source, options = unread.source, unread.options
    if not isinstance(options, TrainOptions):
        return unread, PreparedVideos()
    names = [path for path, _ in await asyncio.to_thread(source.files) if not is_clutter(path)]
    looked_at = [path for path in names if path.lower().endswith(".slp")]
    if not choice.typed:
        looked_at = [path for path in looked_at if not path.lower().endswith(_EMBEDDED)]
    if not looked_at:
        return unread, PreparedVideos()
    async with labels_here(source, looked_at, package) as labels:
        prepared = await prepare_videos(
            labels,
            choice,
            decide=decide,
            taken=names,
            every=await asyncio.to_thread(_trains_on_predictions, source, options),
            on_frames=on_frames,
            helper=helper,
        )
    return _changed(unread, options, prepared), prepared


@asynccontextmanager
async def labels_here(source: Source, names: Sequence[str], package: Path | None) -> AsyncIterator[list[Labels]]:
    """Labels of a package as files of this machine, while the body runs.

    Args:
        source: the package's files.
        names: its labels; one in a zip that is too large to be unpacked is left out.
        package: the zip or folder, where there is one: from beside a zip the relative names in its labels count.

    Raises:
        StorageError: if the disk refuses.
    """
    scratch = home() / "tmp" / f"labels-{os.getpid()}-{secrets.token_hex(6)}"
    try:
        yield await asyncio.to_thread(_labels, source, names, package, scratch)
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _changed(unread: UnreadPackage, options: TrainOptions, prepared: PreparedVideos) -> UnreadPackage:
    source = unread.source
    files = {**prepared.replaced, **prepared.added}
    if files:
        source = MergedSource(source, FilesSource(files), replaced=prepared.replaced)
    if prepared.videos is None and not files:
        return unread
    said = check_size(options.model_copy(update={"videos": prepared.videos}))
    return UnreadPackage(unread.name, source, said, unread.unasked)


def _labels(source: Source, names: Sequence[str], package: Path | None, scratch: Path) -> list[Labels]:
    """The labels as files of this machine; those in a zip are unpacked."""
    sizes = dict(source.files())
    beside = package.absolute().parent if package else Path.cwd()
    found = []
    for number, name in enumerate(names):
        file = source.local(name)
        if file is not None:
            found.append(Labels(name, file.absolute(), file.absolute().parent))
        elif sizes[name] <= _MAX_LABELS:
            unpacked = scratch / str(number) / Path(name).name
            _unpack(source, name, unpacked)
            found.append(Labels(name, unpacked, beside))
    return found


def _unpack(source: Source, name: str, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, mode=0o700)
        with source.open(name) as member, target.open("xb") as file:
            shutil.copyfileobj(member, file, BLOCK)
    except OSError as error:
        raise StorageError(
            f"{name} cannot be unpacked into {target.parent}: {error.strerror}. Free some space, or set SLEAP_RTC_HOME "
            "to a folder on another disk."
        ) from error


def _trains_on_predictions(source: Source, options: TrainOptions) -> bool:
    """Whether a config or an override says so: then predicted frames need their images, too."""
    said = [each.value for each in options.overrides if each.key == f"data_config.{_USERS_ONLY}"]
    if said:
        return said[-1] is False
    return any(
        _says_so(source, path)
        for path, size in source.files()
        if path.lower().endswith((".yaml", ".yml")) and size <= MAX_BYTES
    )


def _says_so(source: Source, path: str) -> bool:
    with source.open(path) as file:
        data = file.read(MAX_BYTES)
    if _USERS_ONLY.encode() not in data:
        return False
    try:
        section = read_yaml(data)["data_config"]
        return section[_USERS_ONLY] is False
    except (ConfigError, KeyError, TypeError):
        return False  # the worker says what is wrong with it
