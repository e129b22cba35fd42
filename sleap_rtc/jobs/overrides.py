"""A submitter's overrides: single keys of sleap-nn's config, merged into the configs of a job as data.

Nothing of them reaches Hydra. What is the worker's to decide is left out and said; everything else is checked together
with the config it was merged into.
"""

import copy
from collections.abc import Collection, Sequence
from typing import Any

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.override_text import HYDRA_KEYS
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import Override

from .config_rules import WORKERS_OWN, check_config, heads_of
from .values import Config

LABELS_KEY = "data_config.train_labels_path"


def merge_overrides(config: Config, overrides: Sequence[Override], *, heads: Collection[str]) -> list[str]:
    """Merge overrides into a config, one after another; a later one wins.

    Lists and single values are replaced, mappings are merged, sections that are missing or null are made. An override
    of the head of another config of the same job does not concern this one.

    Args:
        config: as `load_config` returned it; it is changed.
        overrides: what was asked for.
        heads: the heads that all configs of the job train.

    Returns:
        What to tell the submitter.

    Raises:
        ConfigError: if a key is not the submitter's, goes through something that is no section, or what comes out is
            no config.
    """
    notices = []
    own = set(heads_of(config))
    for override in overrides:
        reason = next((why for key, why in WORKERS_OWN.items() if _is_within(override.key, key)), None)
        if reason is not None:
            notices.append(f"The override of {override.key} was left out: {reason}.")
        elif not HYDRA_KEYS.isdisjoint(override.key.split(".")):
            raise ConfigError(f"The override of {override.key} is refused: it would make Hydra load other files.")
        elif _head_in(override.key) not in set(heads) - own:
            _set(config, override)
    if overrides:
        check_config(config, "with its overrides")
    return notices


def names_labels(overrides: Sequence[Override]) -> bool:
    """Whether the overrides say which labels are trained on."""
    return any(
        override.key == LABELS_KEY
        or (
            override.key == "data_config" and isinstance(override.value, dict) and "train_labels_path" in override.value
        )
        for override in overrides
    )


def _is_within(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _head_in(key: str) -> str | None:
    """The head whose inside a key is in."""
    sections = key.split(".")
    return sections[2] if sections[:2] == ["model_config", "head_configs"] and len(sections) > 3 else None


def _set(config: Config, override: Override) -> None:
    *sections, last = override.key.split(".")
    here: Any = config
    for depth, name in enumerate(sections):
        if here.get(name) is None:
            here[name] = {}
        here = here[name]
        if not isinstance(here, dict):
            through = ".".join(sections[: depth + 1])
            raise ConfigError(
                f"The override of {override.key} goes through {printable(through, limit=200)}, which is a value and no "
                "section. Correct the key, or override that key as a whole."
            )
    here[last] = _merged(here.get(last), copy.deepcopy(override.value))


def _merged(before: Any, value: Any) -> Any:
    if isinstance(before, dict) and isinstance(value, dict):
        return before | {key: _merged(before.get(key), inner) for key, inner in value.items()}
    return value
