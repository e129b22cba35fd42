"""Where a worker has videos: what was said before, kept for labels that name the same ones."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sleap_rtc.config.locks import locked
from sleap_rtc.config.paths import home, write_private
from sleap_rtc.protocol.training import Videos, VideoTarget

MAX_KEPT = 500
MAX_TARGETS = 64


class VideoMap(BaseModel):
    """One thing that was said: a video, or all whose names begin with `old`, is there on the worker."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    kind: Literal["map", "prefix"]
    old: Annotated[str, Field(min_length=1, max_length=4096)]
    new: Annotated[str, Field(min_length=1, max_length=4096)]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    maps: tuple[VideoMap, ...] = ()


class VideoMaps:
    """The file of them, ``video_maps.json`` in our own folder."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or home() / "video_maps.json"

    def all(self) -> tuple[VideoMap, ...]:
        """Everything that is remembered, the latest first; a file that is torn or foreign is none. Blocks."""
        try:
            return _File.model_validate(json.loads(self._path.read_text("utf-8"))).maps
        except (OSError, ValueError, ValidationError):
            return ()

    def remember(self, maps: Iterable[VideoMap]) -> None:
        """Add what was said; what was said of the same names before gives way. Blocks.

        Raises:
            StorageError: if the disk refuses.
        """
        said = list(dict.fromkeys(maps))
        names = {(each.kind, each.old) for each in said}
        with locked(self._path):
            kept = [each for each in self.all() if (each.kind, each.old) not in names]
            write_private(self._path, _File(maps=tuple([*said, *kept][:MAX_KEPT])).model_dump_json(indent=1).encode())

    def places_of(self, names: Sequence[str]) -> Videos | None:
        """Where the worker has these videos, if that is known of every one. Blocks."""
        known = self.all()
        single = {each.old: each.new for each in known if each.kind == "map"}
        if names and all(name in single for name in names):
            if len(names) > MAX_TARGETS:
                return None
            targets = tuple(VideoTarget(old=name, new=single[name]) for name in names)
            return Videos(kind="map", targets=targets)
        for each in known:
            # sleap-io would also take half a folder's name for a beginning; what was not typed now must not
            beginning = each.old.rstrip("/") + "/"
            if each.kind == "prefix" and names and all(name.startswith(beginning) for name in names):
                return Videos(kind="prefix", targets=(VideoTarget(old=each.old, new=each.new),))
        return None
