"""Trainings without a config: the names that sleap-nn's presets have, and what each of them is asked for."""

from collections.abc import Sequence

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.training import Preset

from .making import PresetRequest

HEADS = (
    "single_instance",
    "centroid",
    "centered_instance",
    "bottomup",
    "multi_class_bottomup",
    "multi_class_topdown",
    "bottomup_segmentation",
    "centered_instance_segmentation",
    "semantic_segmentation",
    "embedding",
    "bbox_centernet",
    "bbox_ssd",
)
BACKBONES = (
    "unet",
    "unet_medium_rf",
    "unet_large_rf",
    "convnext",
    "convnext_tiny",
    "convnext_small",
    "convnext_base",
    "convnext_large",
    "swint",
    "swint_tiny",
    "swint_small",
    "swint_base",
)
"""Those that need no published weights: a job has no network to take them from."""
INTENSITY = ("uniform_noise", "gaussian_noise", "contrast", "brightness")
GEOMETRY = ("rotation", "scale", "translate", "erase_scale", "mixup", "flip")


def preset_request(preset: Preset) -> PresetRequest:
    """Ask for a preset's config, each augmentation as what it is for sleap-nn.

    Raises:
        ConfigError: if a name is none of sleap-nn's.
    """
    _check("preset", [preset.head], HEADS)
    _check("backbone", [preset.backbone], BACKBONES)
    _check("augmentation", preset.augment, INTENSITY + GEOMETRY)
    return PresetRequest(
        head=preset.head,
        backbone=preset.backbone,
        intensity=tuple(name for name in dict.fromkeys(preset.augment) if name in INTENSITY),
        geometry=tuple(name for name in dict.fromkeys(preset.augment) if name in GEOMETRY),
    )


def preset_notices(preset: Preset) -> list[str]:
    """What sleap-nn adds to a preset by itself."""
    if preset.augment and not preset_request(preset).geometry:
        return ["No geometric augmentation was named: sleap-nn's own default, rotation, is on."]
    return []


def _check(what: str, names: Sequence[str], known: tuple[str, ...]) -> None:
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise ConfigError(f"sleap-nn has no {what} '{unknown}'. Choose among {', '.join(known)}.")
