"""How models are told of on a terminal."""

from sleap_rtc.cli.formats import format_value
from sleap_rtc.signaling.model_records import RoomModelRecord

_SHORT = {"centered_instance": "centered", "single_instance": "single", "multi_class_topdown": "class-topdown"}
"""Types of models where a line has no space for their whole names."""


def types_text(model: RoomModelRecord, *, short: bool = False) -> str:
    """What its parts are: ``centroid + centered_instance``."""
    return " + ".join(_SHORT.get(each, each) if short else each for each in model.types) or model.title


def formats_text(model: RoomModelRecord, *, short: bool = False) -> str:
    """In which formats workers have it; `short` leaves out the one that all models have if there are others."""
    others = [each for each in model.formats if each != "sleap-nn"]
    return f"+{', '.join(others)}" if short and others else ", ".join(model.formats)


def loss_text(model: RoomModelRecord) -> str:
    """Its best validation loss, in four digits; nothing where nobody measured it."""
    return "" if model.loss is None else f"{model.loss:.4g}"


def full_loss_text(model: RoomModelRecord) -> str:
    """Likewise, as exact as jobs show it."""
    return "" if model.loss is None else format_value(model.loss)


def holders_text(model: RoomModelRecord) -> str:
    """How many of the workers that have it are online: ``1/2``."""
    return f"{sum(1 for _ in model.online_holders())}/{len(model.holders)}"
