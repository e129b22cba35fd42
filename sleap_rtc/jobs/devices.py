"""How many devices a job takes, and what its configs say about them then.

A config's `trainer_devices` or `trainer_device_indices` is a request. Which devices a job gets is the worker's to say:
a config names how many, and never which.
"""

from collections.abc import Iterable
from typing import Any

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import TrainOptions

from .values import NOTHING, Config, whole_number

STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true")
"""Those of Lightning's that start one process a device in the way in which sleap-nn knows its rank."""


def requested(trainer: Config) -> int | None:
    """How many devices a config asks for; None where it takes what it gets: null, 0 or "auto".

    Raises:
        ConfigError: if what it says is no count and no list.
    """
    indices = trainer.get("trainer_device_indices")
    if indices not in NOTHING:
        if not isinstance(indices, list):
            raise ConfigError("trainer_config.trainer_device_indices is no list of devices: write [0, 1], or null.")
        return len({str(index) for index in indices})
    devices = trainer.get("trainer_devices")
    if devices in (*NOTHING, "auto"):
        return None
    return whole_number(devices, "trainer_config.trainer_devices") or None


def devices_of_job(configs: Iterable[Config], options: TrainOptions) -> int:
    """How many devices a job takes: as the submitter says, else as many as the config that asks for most.

    Raises:
        ConfigError: if a config says what is no count.
    """
    asked = [requested(trainer) for config in configs if isinstance(trainer := config.get("trainer_config"), dict)]
    return options.devices or max((count for count in asked if count), default=1)


def set_devices(trainer: Config, devices: int, options: TrainOptions) -> tuple[int, list[str]]:
    """Write into a run's config what it gets.

    Args:
        trainer: the section `trainer_config`; it is changed.
        devices: how many the job takes.
        options: what the submitter asked for.

    Returns:
        How many the run uses, and the notices.

    Raises:
        ConfigError: if the strategy is none that runs here.
    """
    asked, notices = requested(trainer), []
    indices = trainer.get("trainer_device_indices") not in (*NOTHING, [0])
    used = devices if options.devices or asked is None else min(asked, devices)
    if options.devices and asked not in (None, used):
        notices.append(f"--devices {used} goes before the config, which asks for {asked}.")
    elif asked is not None and (asked > 1 or indices):
        notices.append(
            f"The config asks for {_devices(used)}: the job takes as many slots of this worker."
            + (" Which ones they are is the worker's to say." if indices else "")
        )
    trainer["trainer_devices"], trainer["trainer_device_indices"] = used, None
    strategy, said = _strategy(options.strategy or trainer.get("trainer_strategy"), used)
    trainer["trainer_strategy"] = strategy
    return used, notices + said


def _strategy(asked: Any, devices: int) -> tuple[str, list[str]]:
    if asked in NOTHING:
        asked = "auto"
    if devices == 1:
        said = f"trainer_strategy is 'auto' here: '{printable(str(asked), limit=80)}' is for several devices."
        return "auto", [] if asked == "auto" else [said]
    if asked not in STRATEGIES:
        raise ConfigError(
            f"The strategy '{printable(str(asked), limit=80)}' does not run here. On several devices, use one of "
            f"{', '.join(STRATEGIES)}."
        )
    return str(asked), []


def _devices(count: int) -> str:
    return "one device" if count == 1 else f"{count} devices"
