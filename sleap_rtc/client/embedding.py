"""Labels with their images: made once, and kept for the same command typed again.

Making them is slow, and the next version of sleap-io may write other bytes. So a file that was made is found again by
what it was made of, and the same labels and videos are the same job.
"""

import asyncio
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sleap_rtc.client.labels_asking import Helper, embed
from sleap_rtc.client.labels_messages import Embed
from sleap_rtc.config.paths import home
from sleap_rtc.errors import PackageError, StorageError

KEPT = 20 * 1024**3
"""Bytes of embedded labels that are kept; the oldest go first."""
_IN_USE = 24 * 3600.0
"""Seconds for which a file is not removed, whatever the sum: another command may be sending it."""
_SUFFIX = ".pkg.slp"


async def embedded(
    labels: Path,
    places: Sequence[tuple[str, ...] | None],
    *,
    every: bool = False,
    suggested: bool = False,
    on_frames: Callable[[int, int], None] = lambda done, total: None,
    helper: Helper | None = None,
) -> Path:
    """A copy of a labels file that holds the images of its labelled frames.

    Args:
        labels: the file, by its absolute path.
        places: where the images of each of its videos are; None for one that is not needed.
        every: embed the frames that only have predictions as well.
        suggested: embed the suggested frames, and no others.
        on_frames: told the frames embedded so far and those there are.
        helper: how the helper is started.

    Returns:
        Where it is, on this machine.

    Raises:
        PackageError: if a file cannot be read.
        StorageError: if the disk refuses.
    """
    folder = home() / "embedded"
    which = "suggested" if suggested else "every" if every else "trained on"
    kept = folder / (await asyncio.to_thread(_key, labels, places, which) + _SUFFIX)
    if await asyncio.to_thread(_renewed, kept):
        return kept
    fresh = folder / f".making-{os.getpid()}-{secrets.token_hex(6)}"
    try:
        await asyncio.to_thread(_make_room, folder, fresh)
        # always of one name, which is written into it
        target = fresh / f"labels{_SUFFIX}"
        request = Embed(path=str(labels), target=str(target), places=tuple(places), every=every, suggested=suggested)
        await embed(request, on_frames, helper)
        target.replace(kept)
    except OSError as error:
        raise StorageError(
            f"The labelled frames cannot be kept in {folder}: {error.strerror}. Free some space, or set "
            "SLEAP_RTC_HOME to a folder on another disk."
        ) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
    return kept


def _key(labels: Path, places: Sequence[tuple[str, ...] | None], which: str) -> str:
    """Names what a copy is made of: the labels' bytes, and which files the videos are."""
    try:
        with labels.open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        content.update(which.encode())
        for images in places:
            for image in images or ():
                status = Path(image).stat()
                content.update(f"\n{image}\0{status.st_size}\0{status.st_mtime_ns}".encode())
            content.update(b"\n")
    except OSError as error:
        raise PackageError(
            f"{error.filename or labels} cannot be read: {error.strerror}. Check that it is there."
        ) from error
    return content.hexdigest()[:40]


def _renewed(kept: Path) -> bool:
    try:
        # counts as written now, so that others are removed before it
        os.utime(kept)
    except OSError:
        return False
    return True


def _make_room(folder: Path, fresh: Path) -> None:
    """Make the folder, and remove what is too old: copies beyond what is kept, and what a crash left."""
    fresh.mkdir(parents=True, mode=0o700)
    now = time.time()
    found = sorted(((path.stat().st_mtime, path) for path in folder.iterdir()), reverse=True)
    total = 0
    for written, path in found:
        total += path.stat().st_size if path.is_file() else 0
        stale = path.is_dir() or total > KEPT
        if stale and now - written > _IN_USE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
