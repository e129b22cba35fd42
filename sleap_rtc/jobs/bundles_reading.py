"""What a trained run says of itself: facts for ``model.json``, read as data from files that the job wrote."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.models import ModelPart
from sleap_rtc.protocol.text import printable

from .yaml_data import MAX_OWN_BYTES, read_yaml

CONFIG = "training_config.yaml"
METRICS = "metrics.val.0.json"
MAX_CONFIG = MAX_OWN_BYTES
MAX_METRICS = 16 * 1024 * 1024
_MOST_VALUES = 500_000
"""Values and lists in a file of metrics that is read: two bytes of an empty list take forty times as much in memory."""
_MOST_METRICS, _MOST_NODES, _MOST_EDGES = 64, 512, 2048
_NOT_ALONE = ("avg", "p50", "p75", "p90", "p95", "p99", "tp", "fp", "tn", "fn", "precision", "recall")
"""Metrics whose names say nothing without the section that they are in."""


def describe_run(folder: str, model_type: str, config: bytes, metrics: bytes = b"") -> tuple[ModelPart, str]:
    """What there is to say about a run. What cannot be read, or makes no sense, is left out: the weights are the model.

    Args:
        folder: its folder in the bundle.
        model_type: sleap-nn's head name; read from the config if empty.
        config: its ``training_config.yaml``.
        metrics: what sleap-nn measured, as JSON; empty where it did not.

    Returns:
        The part, and the version of sleap-nn that wrote the config.
    """
    try:
        content = read_yaml(config, MAX_CONFIG)
    except ConfigError:
        content = None
    data, model = _mapping(content, "data_config"), _mapping(content, "model_config")
    preprocessing = _mapping(data, "preprocessing")
    nodes, edges = _skeleton(data)
    part = ModelPart(
        folder=folder,
        model_type=model_type or head_of(model),
        nodes=nodes,
        edges=edges,
        input_scale=_number(preprocessing.get("scale")),
        channels=_channels(model),
        crop=_whole(preprocessing.get("crop_size")),
        config=f"{folder}/{CONFIG}",
        metrics=dict(_scalars(metrics)),
    )
    version = content.get("sleap_nn_version") if isinstance(content, dict) else None
    return part, printable(version, limit=64) if isinstance(version, str) else ""


def head_of(model: Mapping[Any, Any]) -> str:
    """Sleap-nn's name of the one head that a ``model_config`` has; empty if it has none, or several."""
    heads = [name for name, head in _mapping(model, "head_configs").items() if head is not None]
    return printable(str(heads[0]), limit=64) if len(heads) == 1 else ""


def _mapping(content: object, key: str) -> Mapping[Any, Any]:
    found = content.get(key) if isinstance(content, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _skeleton(data: Mapping[Any, Any]) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    skeletons = data.get("skeletons")
    first = skeletons[0] if isinstance(skeletons, list) and skeletons else None
    names = [_name(node) for node in _listed(first, "nodes")]
    if not names or len(names) > _MOST_NODES or len(set(names)) != len(names) or not all(names):
        return (), ()
    numbers = {name: number for number, name in enumerate(names)}
    edges = []
    for edge in _listed(first, "edges")[:_MOST_EDGES]:
        ends = [_name(edge.get(end)) if isinstance(edge, Mapping) else "" for end in ("source", "destination")]
        if all(end in numbers for end in ends):
            edges.append((numbers[ends[0]], numbers[ends[1]]))
    return tuple(names), tuple(edges)


def _listed(content: object, key: str) -> list[Any]:
    found = content.get(key) if isinstance(content, Mapping) else None
    return found if isinstance(found, list) else []


def _name(node: object) -> str:
    name = node.get("name") if isinstance(node, Mapping) else node
    return printable(name, limit=128) if isinstance(name, str) else ""


def _channels(model: Mapping[Any, Any]) -> int | None:
    for backbone in _mapping(model, "backbone_config").values():
        if isinstance(backbone, Mapping):
            return _whole(backbone.get("in_channels"))
    return None


def _number(value: object) -> float | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fits else None  # type: ignore[arg-type]


def _whole(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 < number < 2**31 and number == int(number) else None


def _scalars(data: bytes) -> Iterator[tuple[str, float | None]]:
    """The numbers among the metrics, by their last name: lists over frames and thresholds stay in the file."""
    if not data or len(data) > MAX_METRICS or sum(map(data.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        return
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return
    seen: set[str] = set()
    for section, inner in content.items() if isinstance(content, dict) else ():
        for key, value in inner.items() if isinstance(inner, dict) else [(section, inner)]:
            name = printable(f"{section}.{key}" if key in _NOT_ALONE else str(key), limit=128)
            if isinstance(value, int | float) and not isinstance(value, bool) and name and name not in seen:
                seen.add(name)
                # a whole number of thousands of digits is no float
                yield name, _number(value) if abs(value) < 2**63 else None
            if len(seen) == _MOST_METRICS:
                return
