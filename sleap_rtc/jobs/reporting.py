"""Where a training reports to: our own pipe, and Weights & Biases where its submitter brought a key for the job.

The key itself is never in a config: it comes beside the job, and reaches sleap-nn in its environment alone.
"""

from typing import Any

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import TrainOptions

from . import config_rules
from .values import NOTHING, Config

_MAX_TEXT = 256
_TEXTS = ("entity", "project", "name", "group", "prv_runid")
_FLAGS = ("save_viz_imgs_wandb", "viz_enabled", "viz_boxes", "viz_masks", "log_viz_table")
_NUMBERS = ("viz_box_size", "viz_confmap_threshold")
_OURS: dict[str, tuple[Any, ...]] = {
    "wandb_mode": (None, "", "online"),
    "delete_local_logs": (None, True),
}
"""Keys of sleap-nn's that are left out, and the values that say nothing else than what happens anyway."""
_SILENT = ("api_key", "current_run_id")
"""Left out as well: said elsewhere, or what sleap-nn had noted about another run."""


def set_reporting(trainer: Config, options: TrainOptions) -> list[str]:
    """Write into a run's config where it reports to.

    Args:
        trainer: the section `trainer_config`; it is changed.
        options: what the submitter asked for.

    Returns:
        The notices.

    Raises:
        ConfigError: if a value for Weights & Biases has the wrong form.
    """
    trainer["enable_progress_bar"] = False
    zmq = trainer.get("zmq")
    notices = []
    if isinstance(zmq, dict) and "control_port" in zmq:
        notices.append("sleap-nn has no trainer_config.zmq.control_port: it was left out.")
    if isinstance(zmq, dict) and {zmq.get("controller_port"), zmq.get("publish_port")} != {None}:
        notices.append(config_rules.left_out("trainer_config.zmq"))
    # the runner fills in the ports that it has bound
    trainer["zmq"] = {"controller_port": None, "publish_port": None}
    return notices + _set_wandb(trainer, wanted=options.wandb)


def _set_wandb(trainer: Config, *, wanted: bool) -> list[str]:
    notices = []
    section, alias = trainer.pop("wandb", None), trainer.pop("wandb_config", None)
    if alias is not None:
        notices.append("trainer_config.wandb_config is read as trainer_config.wandb, which is sleap-nn's name for it.")
    merged = {**_mapping(alias), **_mapping(section)}
    if merged.get("api_key") not in NOTHING:
        notices.append(
            "The W&B key in the config is not used, but it came along in the config's file, which this worker keeps "
            "with the job: take it out there, and give it as WANDB_API_KEY where you submit."
        )
    if not wanted and trainer.get("use_wandb"):
        notices.append("Weights & Biases is off: it needs your key for this job. Submit with --wandb to report there.")
    trainer["use_wandb"] = wanted
    if wanted:
        kept, left_out = _kept(merged)
        # what it writes beside the model is on its server, and no result
        trainer["wandb"] = kept | {"delete_local_logs": True}
        notices += left_out
    return notices


def _mapping(section: object) -> Config:
    return {str(key): value for key, value in section.items()} if isinstance(section, dict) else {}


def _kept(section: Config) -> tuple[Config, list[str]]:
    kept, left_out = {}, []
    for key, value in section.items():
        if key in (*_TEXTS, *_FLAGS, *_NUMBERS):
            if value is not None:
                kept[key] = _checked(key, value)
        elif key not in _SILENT and value not in _OURS.get(key, ()):
            left_out.append(f"trainer_config.wandb.{printable(key, limit=80)} has no effect here: it was left out.")
    return kept, left_out


def _checked(key: str, value: Any) -> Any:
    if key in _FLAGS:
        fits, kind = isinstance(value, bool), "true or false"
    elif key in _NUMBERS:
        fits, kind = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    else:
        fits, kind = isinstance(value, str) and len(value) <= _MAX_TEXT and value.isprintable(), "one line of text"
    if not fits:
        raise ConfigError(f"trainer_config.wandb.{key} must be {kind}.")
    return value
