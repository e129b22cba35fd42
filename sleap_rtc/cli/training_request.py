"""From what was typed after ``sleap-rtc train`` to what is wanted; contradictions are errors, short words overrides."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
from pydantic import JsonValue, ValidationError

from sleap_rtc.cli.asking import can_ask
from sleap_rtc.client.assembling import CONFIG_SUFFIXES, Wanted, expanded
from sleap_rtc.client.named_paths import BACKBONE_WEIGHTS, HEAD_WEIGHTS, RESUMED, TRAIN, VALIDATION, overridden
from sleap_rtc.client.start_model import Start, find_start
from sleap_rtc.errors import UsageError
from sleap_rtc.protocol.override_text import parse_override
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import Override, Preset, TrainOptions

WANDB_KEY = "WANDB_API_KEY"

_KEYS = {
    "max_epochs": ("trainer_config.max_epochs",),
    "batch_size": ("trainer_config.train_data_loader.batch_size", "trainer_config.val_data_loader.batch_size"),
    "lr": ("trainer_config.optimizer.lr",),
    "run_name": ("trainer_config.run_name",),
    "seed": ("trainer_config.seed",),
    "start_from": (BACKBONE_WEIGHTS, HEAD_WEIGHTS),
    "backbone_weights": (BACKBONE_WEIGHTS,),
    "head_weights": (HEAD_WEIGHTS,),
    "resume": (RESUMED,),
}
"""The keys of the config that each option is short for."""
_SAID_ELSEWHERE = {
    "labels": (TRAIN,),
    "val_labels": (VALIDATION,),
    "devices": ("trainer_config.trainer_devices",),
    "strategy": ("trainer_config.trainer_strategy",),
}
"""Keys that have an option of their own, which is more than a key."""
_SPELLED = {"start_from": "--from"}


@dataclass(frozen=True)
class Typed:
    """The options of `WHAT_TO_TRAIN` as they came; see there."""

    pkg_path: str | None = None
    config_names: tuple[str, ...] = ()
    config_dir: str | None = None
    configs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    val_labels: tuple[str, ...] = ()
    preset: str | None = None
    backbone: str | None = None
    augment: str | None = None
    max_epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    run_name: str | None = None
    seed: int | None = None
    save_last: bool = False  # the worker keeps it anyway, so that any job can be resumed
    start_from: str | None = None
    backbone_weights: str | None = None
    head_weights: str | None = None
    resume: str | None = None
    devices: int | None = None
    strategy: str | None = None
    wandb: bool = False
    register_as: str | None = None
    arguments: tuple[str, ...] = ()


def read_typed(typed: Typed) -> Wanted:
    """Say what is wanted.

    Raises:
        UsageError: if nothing is named to train, or what was typed contradicts itself.
        ConfigError: if an override cannot be read.
    """
    positional, overrides = _split(typed.arguments)
    configs = (*positional, *typed.configs)
    _check_sources(typed, configs)
    start = find_start(typed.start_from) if typed.start_from else Start()
    _check_starts(typed, len(configs) + len(typed.config_names), of_room=start.ref is not None)
    read = [parse_override(text) for text in overrides]
    short = _short(typed, read)
    if start.ref is not None:
        # these keys are the worker's to set: it knows where it puts the model
        typed = replace(typed, start_from=None)
        short = [override for override in short if override.key not in _KEYS["start_from"]]
    return Wanted(
        package=expanded(typed.pkg_path) if typed.pkg_path else None,
        configs=configs,
        config_names=typed.config_names,
        config_dir=typed.config_dir,
        labels=typed.labels,
        val_labels=typed.val_labels,
        options=_options(typed, [*short, *read]),
        spelled={key: _spelled(name) for name, keys in _KEYS.items() if getattr(typed, name) for key in keys},
        start_from=start.ref,
        notes=(start.note,) if start.note else (),
    )


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The configs that were typed as paths, and the overrides."""
    configs = [text for text in arguments if "=" not in text and not text.startswith("~")]
    for text in configs:
        if text.startswith("-"):
            raise UsageError(f"'{printable(text, limit=120)}' stands behind '--', where only overrides belong.")
        if not text.lower().endswith(CONFIG_SUFFIXES):
            raise UsageError(
                f"'{printable(text, limit=120)}' is neither a config (*.yaml) nor an override (key=value). A package "
                "is given with --pkg-path, labels with --labels."
            )
    return configs, [text for text in arguments if text not in configs]


def _check_sources(typed: Typed, configs: Sequence[str]) -> None:
    named = bool(configs or typed.config_names)
    if configs and typed.config_names:
        raise UsageError("Name configs either by their paths or by --config-name, so that their order is clear.")
    if typed.config_dir is not None and not typed.config_names:
        raise UsageError("--config-dir says where configs are, but none is named. Add --config-name for each model.")
    if typed.preset and named:
        raise UsageError("--preset is a training without a config. Leave it out, or leave out the config.")
    if (typed.backbone or typed.augment is not None) and not typed.preset:
        raise UsageError("--backbone and --augment belong to a preset. Add --preset, such as --preset bottomup.")
    if typed.preset and not typed.backbone:
        raise UsageError("A preset needs a backbone. Add --backbone, such as --backbone unet_medium_rf.")
    if not (typed.pkg_path or named or typed.preset):
        raise UsageError(
            "What shall be trained? Give a package with --pkg-path, or configs with --config-name or --config, or "
            "labels with --labels and a --preset."
        )


def _check_starts(typed: Typed, configs: int, *, of_room: bool) -> None:
    whole = [_spelled(name) for name in ("start_from", "resume") if getattr(typed, name)]
    parts = [_spelled(name) for name in ("backbone_weights", "head_weights") if getattr(typed, name)]
    if len(whole) > 1 or (whole and parts):
        raise UsageError(f"{whole[0]} brings all weights along: leave out {', '.join([*whole[1:], *parts])}.")
    # a version of the room's may hold a model for each
    if whole and configs > 1 and not of_room:
        raise UsageError(
            f"{whole[0]} names one model, and {configs} configs are to be trained. Train each by a command of its own."
        )


def _short(typed: Typed, read: Sequence[Override]) -> list[Override]:
    """The overrides that options stand for.

    Raises:
        UsageError: if one of those that were typed sets the same key.
    """
    found = []
    for name, keys in (_KEYS | _SAID_ELSEWHERE).items():
        value: JsonValue = getattr(typed, name)
        if value in (None, (), ""):
            continue
        if twice := next((key for key in keys if overridden(read, key)[0]), None):
            raise UsageError(f"{_spelled(name)} and {twice}=… say the same thing twice. Leave one of them out.")
        if name in _KEYS:
            found += [Override(key=key, value=value) for key in keys]
    return found


def _options(typed: Typed, overrides: Sequence[Override]) -> TrainOptions:
    augment = [name.strip() for name in (typed.augment or "").split(",")]
    try:
        preset = (
            Preset(head=typed.preset, backbone=typed.backbone or "", augment=tuple(name for name in augment if name))
            if typed.preset
            else None
        )
        return TrainOptions(
            devices=typed.devices,
            strategy=typed.strategy,
            overrides=tuple(overrides),
            preset=preset,
            wandb=typed.wandb,
            register_as=typed.register_as,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        part = str(problem["loc"][0]) if problem["loc"] else "an option"
        said = {"head": "--preset", "overrides": "the overrides", "register_as": "--register"}
        option = said.get(part, f"--{part}")
        raise UsageError(f"What {option} says is refused: {problem['msg']}. Use sleap-nn's own names.") from error


def find_wandb_key(wanted: Wanted) -> str | None:
    """The user's key for Weights & Biases, if it is told: from the environment, or typed unseen.

    Raises:
        UsageError: if there is none and nobody to ask.
        click.Abort: if the user would rather not say.
    """
    if not wanted.options.wandb:
        return None
    if key := os.environ.get(WANDB_KEY, "").strip():
        return key
    if not can_ask():
        raise UsageError(f"--wandb needs your key, and there is no terminal to ask on. Set {WANDB_KEY}.")
    key = click.prompt("Your Weights & Biases key (it is not shown)", hide_input=True, err=True)
    return str(key).strip()


def _spelled(name: str) -> str:
    return _SPELLED.get(name, f"--{name.replace('_', '-')}")


def take_typed(options: dict[str, Any]) -> Typed:
    """Take what `Typed` has out of a command's options."""
    return Typed(**{name: options.pop(name) for name in Typed.__dataclass_fields__})
