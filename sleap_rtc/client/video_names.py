"""What videos are called once a user has said where they are: sleap-io's rules, for names alone. Pure."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from sleap_rtc.client.labels_messages import LabelsLook
from sleap_rtc.errors import PackageError, UsageError
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import Videos

OPTIONS = {"paths": "--video-paths", "map": "--video-path-map", "prefix": "--prefix-map"}
_ON_WORKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]+:/")
"""How a place on the worker may begin: a mount's label; one letter would be a drive."""
_SHOWN = 5


def spelled(name: str) -> str:
    """A file's name as sleap-io spells it: one of Windows with forward slashes."""
    return name.replace("\\", "/")


def is_on_worker(place: str) -> bool:
    """Whether a place is said to be below a mount of the worker: ``label:/path``."""
    return _ON_WORKER.match(place) is not None


def local_names(places: Videos, index: int, names: Sequence[str]) -> tuple[str, ...]:
    """What a video is called now.

    Args:
        places: what the user said.
        index: which video of its labels it is.
        names: what the labels call it; several where it is images.
    """
    if places.kind == "paths":
        return (places.targets[index].new,) if len(names) == 1 else tuple(names)
    return tuple(_renamed(places, name) for name in names)


def _renamed(places: Videos, name: str) -> str:
    for target in places.targets:
        old = spelled(target.old)
        if places.kind == "map" and _same(name, old):
            name = target.new
        elif places.kind == "prefix" and spelled(name).startswith(old):
            rest = spelled(name)[len(old) :]
            apart = rest.startswith("/") or old.endswith("/")
            name = target.new.rstrip("/\\") + "/" + rest.removeprefix("/") if apart else target.new + rest
    return name


def _same(name: str, old: str) -> bool:
    return PurePosixPath(name) == PurePosixPath(old)


def check_places(places: Videos, read: Sequence[tuple[str, LabelsLook]], *, local: bool) -> None:
    """See that what a user said about videos fits the labels.

    Args:
        places: what was said.
        read: the labels, by their path in the package.
        local: whether places are on this machine.

    Raises:
        UsageError: if the count does not fit, or something was said of a video that the labels do not have.
        PackageError: if nothing was said of a video that they need.
    """
    for target in places.targets:
        if local and is_on_worker(target.new):
            raise UsageError(
                f"'{printable(target.new, limit=200)}' is a place on the worker, and --embed-frames and --send-videos "
                "need the video here. Leave those out, or name a file of this machine."
            )
    if places.kind == "paths":
        for labels, look in read:
            _check_count(places, labels, look)
        return
    names = [name for _, look in read for video in look.videos for name in video.names]
    for target in places.targets:
        if not any(_matches(places.kind, name, spelled(target.old)) for name in names):
            raise UsageError(
                f"{OPTIONS[places.kind]} names '{printable(target.old, limit=200)}', and the labels have no such "
                f"video: {_listed(names)}. Write OLD as the labels do."
            )
    if not local:
        _check_covered(places, read)


def _check_count(places: Videos, labels: str, look: LabelsLook) -> None:
    count, said = len(look.videos), len(places.targets)
    if count != said:
        names = [video.names[0] for video in look.videos]
        raise UsageError(
            f"The labels {printable(labels, limit=120)} have {count} video{'s' * (count != 1)}, and --video-paths was "
            f"given {said}: give one for each, in this order: {_listed(names)}."
        )


def _check_covered(places: Videos, read: Sequence[tuple[str, LabelsLook]]) -> None:
    for labels, look in read:
        for name in (name for video in look.needed for name in video.names):
            if not any(_matches(places.kind, name, spelled(target.old)) for target in places.targets):
                raise PackageError(
                    f"The labels {printable(labels, limit=120)} need the video '{printable(name, limit=300)}' as well. "
                    f"Say where it is with another {OPTIONS[places.kind]}."
                )


def _matches(kind: str, name: str, old: str) -> bool:
    return _same(name, old) if kind == "map" else spelled(name).startswith(old)


def _listed(names: Sequence[str]) -> str:
    shown = [printable(name, limit=120) for name in dict.fromkeys(names)]
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
