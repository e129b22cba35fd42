"""A training that begins with the weights of a model of the room."""

from collections.abc import Sequence

from sleap_rtc.errors import ConfigError

from .folder import JobFolder
from .trained import CHECKPOINT, ROOM_MODEL, head_of, room_model_folders
from .values import NOTHING, Config

_WEIGHTS = ("pretrained_backbone_weights", "pretrained_head_weights")


def start_from(folder: JobFolder, configs: Sequence[tuple[Config, str]]) -> None:
    """Let each config begin with the part of the model that finds the same.

    Args:
        folder: the job's, with the model in ``inputs/``.
        configs: each with its head; changed in place.

    Raises:
        PackageError: if the model is not there, or none that was trained.
        ConfigError: if it has no part for one of the configs, or a config says something else to begin with.
    """
    parts = {head_of(path): path for path in room_model_folders(folder)}
    for config, head in configs:
        model = config["model_config"]
        if any(model.get(key) not in NOTHING for key in _WEIGHTS):
            raise ConfigError("The config names weights to begin with, and so does --from. Leave one of them out.")
        if config["trainer_config"].get("resume_ckpt_path") not in NOTHING:
            raise ConfigError(
                "The config goes on from a checkpoint (resume_ckpt_path), and --from names a model to begin with. "
                "Leave one of them out."
            )
        if head not in parts:
            raise ConfigError(
                f"The model that the training shall begin with finds {', '.join(sorted(parts))}, and the config trains "
                f"'{head}'. Choose a model of that kind, or leave --from out."
            )
        place = f"{ROOM_MODEL}/{parts[head].name}/{CHECKPOINT}"
        model.update(dict.fromkeys(_WEIGHTS, place))
