"""What people want to know of a training before it starts, out of its config and its labels.

This module imports neither sleap-nn nor sleap-io: it runs in the worker and, with more to look at, in the preflight
helper.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

from sleap_rtc.protocol.inspecting import InspectedLabels, RunSettings
from sleap_rtc.protocol.text import printable

from .label_checks import Opened
from .values import Config

_MOST = 2**53


def settings_of(config: Config) -> RunSettings:
    """The settings of a training config that people change most; what is no sensible value counts as not set."""
    trainer, data = _section(config, "trainer_config"), _section(config, "data_config")
    backbones = _section(_section(config, "model_config"), "backbone_config")
    backbone = next((str(name) for name, settings in backbones.items() if settings is not None), None)
    return RunSettings(
        backbone=backbone and printable(backbone, limit=64),
        max_epochs=_count(trainer.get("max_epochs")),
        batch_size=_count(_section(trainer, "train_data_loader").get("batch_size")),
        learning_rate=_number(_section(trainer, "optimizer").get("lr")),
        min_steps=_count(trainer.get("min_train_steps_per_epoch")),
        scale=_number(_section(data, "preprocessing").get("scale")),
    )


def labels_of(files: Iterable[Opened]) -> InspectedLabels | None:
    """Count what labels files hold together; None without any, or where that cannot be counted."""
    labels = [opened.labels for opened in files]
    frames = _sum(labels, len)
    if not labels or frames is None:
        return None
    return InspectedLabels(
        frames=frames,
        instances=_sum(labels, lambda each: each.n_user_instances + each.n_pred_instances),
        videos=_sum(labels, lambda each: len(each.videos)),
        nodes=_sum(labels[:1], lambda each: len(each.skeletons[0].node_names)),
    )


def _sum(labels: list[Any], count: Callable[[Any], int]) -> int | None:
    try:
        return _count(sum(int(count(each)) for each in labels))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a stranger's file: whatever cannot be counted is left out
        return None


def _section(config: Config, name: str) -> Config:
    section = config.get(name)
    return section if isinstance(section, dict) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None


def _number(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not -_MOST < value < _MOST:
        return None
    return float(value) if math.isfinite(value) else None
