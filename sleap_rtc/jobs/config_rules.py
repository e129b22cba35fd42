"""What may be in a training config, whoever wrote it, and which of its keys are the worker's alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.override_text import HYDRA_KEYS
from sleap_rtc.protocol.text import printable

from .values import Config
from .yaml_data import read_yaml

SECTIONS = ("data_config", "model_config", "trainer_config")
_TOP_LEVEL = frozenset(SECTIONS) | {"name", "description", "sleap_nn_version", "filename"}
WORKERS_OWN: Mapping[str, str] = {
    "trainer_config.zmq": "progress comes over the worker's own ports",
    "trainer_config.ckpt_dir": "the worker picks the folder, and the models come home from it",
    "trainer_config.enable_progress_bar": "progress is shown by the client",
    "trainer_config.model_ckpt.save_last": "the last checkpoint is always kept, so that the job can be resumed",
    "trainer_config.wandb.api_key": "a key comes with the job in other ways, never in its config",
    "trainer_config.wandb_config.api_key": "a key comes with the job in other ways, never in its config",
    "data_config.cache_img_path": "the worker picks the folder of cached images",
}
"""Keys, with all below them, that a submitter cannot set, and why."""


def left_out(key: str) -> str:
    """What to tell the submitter who set one of `WORKERS_OWN`."""
    return f"{key} was left out: {WORKERS_OWN[key]}."


def load_config(data: bytes, name: str = "config.yaml") -> Config:
    """Read a sleap-nn training config.

    Raises:
        ConfigError: if it is no plain YAML within the limits, uses interpolation or Hydra's own keys, or has top-level
            keys that sleap-nn does not know.
    """
    shown = printable(name, limit=120)
    try:
        config = read_yaml(data)
    except ConfigError as error:
        raise ConfigError(f"The config '{shown}' is refused: {error.sentence}.") from error
    if not isinstance(config, dict):
        raise ConfigError(f"The config '{shown}' is refused: it is not a mapping.")
    check_config(config, f"'{shown}'")
    return config


def check_config(config: Config, which: str) -> None:
    """Check what was read, or made, as a config.

    Raises:
        ConfigError: if it uses interpolation or Hydra's own keys, or has sections that sleap-nn does not know; `which`
            says which config that is.
    """
    for problem in _problems(config):
        raise ConfigError(f"The config {which} is refused: {problem}.")


def _problems(config: Config) -> Iterator[str]:
    unknown = [key for key in config if key not in _TOP_LEVEL | HYDRA_KEYS]
    if unknown:
        yield f"sleap-nn has no section '{printable(str(unknown[0]), limit=80)}': there are {', '.join(SECTIONS)}"
    for name in SECTIONS:
        if name in config and not isinstance(config[name], dict):
            yield f"'{name}' is not a mapping"
    yield from _hydra_problems(config)


def _hydra_problems(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in HYDRA_KEYS:
                yield f"the key '{key}' would make Hydra load other files or code"
            yield from _hydra_problems(str(key))
            yield from _hydra_problems(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _hydra_problems(inner)
    elif isinstance(value, str) and "${" in value:
        yield "it uses interpolation (${…}): write the value out"


def model_type(config: Config, name: str = "config.yaml") -> str:
    """The head that the config trains, under sleap-nn's name.

    Raises:
        ConfigError: if the config names none, or several.
    """
    chosen = heads_of(config)
    if len(chosen) != 1:
        found = "several heads: " + ", ".join(chosen[:4]) if chosen else "no head"
        raise ConfigError(
            f"The config '{printable(name, limit=120)}' names {printable(found, limit=200)}. "
            "Give exactly one entry under model_config.head_configs a value."
        )
    return printable(chosen[0], limit=64)


def heads_of(config: Config) -> list[str]:
    """The heads that have a value in a config, in its order."""
    model = config.get("model_config")
    heads = model.get("head_configs") if isinstance(model, dict) else None
    return [str(name) for name, head in heads.items() if head is not None] if isinstance(heads, dict) else []
