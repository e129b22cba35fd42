"""Field types of messages in words, as the protocol page shows them."""

import types
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types as at
from pydantic import BaseModel, JsonValue, StringConstraints

from sleap_rtc.protocol import files, ids, jobs, labels, models, places, reports, signaling, streams, training

NAMES: list[tuple[Any, str]] = [
    (ids.RoomId, "room id"),
    (ids.UserId, "user id"),
    (ids.WorkerId, "worker id"),
    (ids.PresenceId, "presence id"),
    (ids.LinkId, "link id"),
    (ids.JobId, "job id"),
    (streams.StreamId, "stream id"),
    (streams.LaneId, "lane number"),
    (files.TransferId, "transfer id"),
    (jobs.RunName, "name of a run or a model"),
    (jobs.Metrics, "metrics"),
    (jobs.EventBody, "one of the event bodies"),
    (places.PackagePath, "path in the package"),
    (places.UserPath, "path"),
    (training.OverrideKey, "dotted key"),
    (training.Word, "word"),
    (JsonValue, "JSON"),
    (labels.Reason, "sentence, at most 300 characters"),
    (signaling.CredentialId, "credential id"),
    (labels.Label, "label"),
    (labels.Name, "label"),
    (labels.UtcMs, "UTC milliseconds"),
    (reports.Word, "word"),
    (models.Alias, "alias"),
    (models.ModelVersion, "version number"),
    (reports.ErrorCode, "error code"),
    (signaling.Sdp, "SDP"),
]
_HEX = {r"^[0-9a-f]{16}$": "16 hex digits", r"^[0-9a-f]{64}$": "64 hex digits", r"^[0-9a-f]{128}$": "128 hex digits"}
_PLAIN: dict[Any, str] = {str: "text", int: "integer", float: "number", bool: "boolean"}


def own_fields(model: type[BaseModel], without: Sequence[str] = ()) -> Iterator[tuple[str, str, bool]]:
    """Name, type in words and whether it may be left out, of every field of a model."""
    hints = get_type_hints(model, include_extras=True)
    for name, info in model.model_fields.items():
        if name not in without:
            # constraints given as Field(...) are no part of the annotation
            given = [] if get_origin(hints[name]) is Annotated else info.metadata
            yield info.alias or name, _limited(describe(hints[name]), given), not info.is_required()


def describe(annotation: Any) -> str:
    """An annotation in words."""
    for known, name in NAMES:
        if annotation == known:
            return name
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel | StrEnum):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _SHAPES[get_origin(annotation)](annotation)


def _annotated(annotation: Any) -> str:
    inner, *metadata = get_args(annotation)
    for part in metadata:
        if isinstance(part, StringConstraints) and part.pattern in _HEX:
            return _HEX[str(part.pattern)]
    return _limited(describe(inner), metadata)


def _union(annotation: Any) -> str:
    return " or ".join("null" if option is types.NoneType else describe(option) for option in get_args(annotation))


def _literal(annotation: Any) -> str:
    return " or ".join(f"`{value}`" for value in get_args(annotation))


def _list(annotation: Any) -> str:
    return f"list of {describe(get_args(annotation)[0])}"


def _map(annotation: Any) -> str:
    key, value = get_args(annotation)
    return f"map of {describe(key)} to {describe(value)}"


_SHAPES: dict[Any, Callable[[Any], str]] = {
    Annotated: _annotated,
    Literal: _literal,
    Union: _union,
    types.UnionType: _union,
    tuple: _list,
    list: _list,
    dict: _map,
}


def _limited(words: str, metadata: Sequence[Any]) -> str:
    """A type in words, with its bounds."""
    parts = [part for item in metadata for part in (getattr(item, "metadata", None) or [item])]
    longest, least, below = (_first(parts, name) for name in ("max_length", "ge", "lt"))
    most = _first(parts, "le") if below is None else below - 1
    if longest is not None:
        return f"{words}, at most {longest} {'of them' if words.startswith(('list', 'map')) else 'characters'}"
    if least is not None and most is not None:
        return f"{words}, {least} to {_bound(most)}"
    return words if least is None else f"{words}, at least {least}"


def _first(parts: Sequence[Any], name: str) -> Any:
    found = (getattr(part, name, None) for part in parts if isinstance(part, at.BaseMetadata | StringConstraints))
    return next((value for value in found if value is not None), None)


def _bound(value: int) -> str:
    """A bound, near a large power of two as that power."""
    for rest, written in ((0, ""), (1, " - 1")):
        power = value + rest
        if power >= 2**16 and power & (power - 1) == 0:
            return f"2^{power.bit_length() - 1}{written}"
    return str(value)


def models_in(annotation: Any) -> Iterator[type[BaseModel] | type[StrEnum]]:
    """Every class of ours an annotation mentions, itself included."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel | StrEnum):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)
