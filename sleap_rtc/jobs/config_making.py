"""Makes configs with sleap-nn's own code: out of those of SLEAP 1.4 and older, and out of its presets.

Runs in the preflight helper only.
"""

from pathlib import Path
from typing import Any

from sleap_rtc.errors import ConfigError, ProtocolError
from sleap_rtc.protocol.codec import parse_json
from sleap_rtc.protocol.text import printable

from .making import ConversionRequest, Made, MakingRequest, PresetRequest
from .values import Config
from .yaml_data import MAX_BYTES, write_yaml


class Maker:
    """sleap-nn's conversion and its presets, ready to be asked."""

    def __init__(self) -> None:
        from omegaconf import OmegaConf
        from sleap_nn.config import get_config
        from sleap_nn.config.training_job_config import TrainingJobConfig

        self._presets = get_config
        self._whole = TrainingJobConfig
        self._plain = OmegaConf.to_container

    def make(self, request: MakingRequest) -> Made:
        """The config that is asked for, or a sentence."""
        try:
            config = self._converted(request) if isinstance(request, ConversionRequest) else self._preset(request)
        except ConfigError as error:
            return Made(problem=error.sentence)
        text = write_yaml(config)
        if len(text.encode()) > MAX_BYTES:
            return Made(problem=f"The config made of {_shown(request)} would be larger than {MAX_BYTES // 1024} KiB.")
        return Made(config=text)

    def _converted(self, request: ConversionRequest) -> Config:
        old = _read(request)
        try:
            config = self._as_data(self._whole.load_sleap_config_from_json(old))
        except MemoryError:
            raise
        except Exception as error:
            said = printable(f"{type(error).__name__}: {error}".split("\n", 1)[0], limit=200)
            raise ConfigError(
                f"The config {_shown(request)} of SLEAP 1.4 or older cannot be converted by sleap-nn ({said}). "
                "Export the training package from SLEAP 1.5 or newer."
            ) from error
        # sleap-nn forgets the name unless it is a prefix
        config["trainer_config"]["run_name"] = _run_name(old) or None
        return config

    def _preset(self, request: PresetRequest) -> Config:
        """What `sleap_nn.train.train()` trains when it is given these names, and ``save_ckpt``."""
        augment: dict[str, list[str]] = {}
        if request.intensity:
            augment["intensity_aug"] = list(request.intensity)
        if request.geometry:
            augment["geometry_aug"] = list(request.geometry)
        try:
            config = self._whole(
                data_config=self._presets.get_data_config(**augment),
                model_config=self._presets.get_model_config(
                    backbone_config=request.backbone, head_configs=request.head
                ),
                trainer_config=self._presets.get_trainer_config(save_ckpt=True),
            )
            return self._as_data(config.to_sleap_nn_cfg())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            said = printable(str(error).split("\n", 1)[0], limit=200)
            raise ConfigError(
                f"This worker's sleap-nn has no {_shown(request)} ({said}). Choose another one."
            ) from error

    def _as_data(self, config: Any) -> Config:
        plain: Config = self._plain(config, resolve=True, enum_to_str=True)
        return plain


def _shown(request: MakingRequest) -> str:
    if isinstance(request, ConversionRequest):
        return f"'{printable(request.name, limit=120)}'"
    return f"preset '{request.head}' with the backbone '{request.backbone}'"


def _read(request: ConversionRequest) -> dict[str, Any]:
    with Path(request.path).open("rb") as source:
        data = source.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"The config {_shown(request)} is refused: it is larger than {MAX_BYTES // 1024} KiB.")
    try:
        old = parse_json(data.decode("utf-8-sig"), limit=MAX_BYTES)
    except (ProtocolError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The config {_shown(request)} is refused: it is not plain JSON, or nested deeper than SLEAP writes it."
        ) from error
    if not isinstance(old, dict):
        raise ConfigError(f"The config {_shown(request)} is refused: it is not a mapping.")
    return old


def _run_name(old: dict[str, Any]) -> str:
    outputs = old.get("outputs")
    parts = (
        [outputs.get(key) for key in ("run_name_prefix", "run_name", "run_name_suffix")]
        if isinstance(outputs, dict)
        else []
    )
    return "".join(part for part in parts if isinstance(part, str))
