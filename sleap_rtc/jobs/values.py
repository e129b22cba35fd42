"""Values of a training config, read as sleap-nn reads them."""

import re
from typing import Any

from sleap_rtc.errors import ConfigError

Config = dict[str, Any]
NOTHING: tuple[Any, ...] = (None, "", "None", [])
"""How a user may say that a key has no value."""
_WHOLE = re.compile(r"[0-9]{1,9}")


def section_of(config: Config, name: str) -> Config:
    """The section of that name, made where there is none."""
    if not isinstance(config.get(name), dict):
        config[name] = {}
    section: Config = config[name]
    return section


def listed(value: object) -> list[str]:
    """The texts of a key that takes one or several."""
    if value in NOTHING:
        return []
    return [str(item) for item in value if item not in NOTHING] if isinstance(value, list) else [str(value)]


def whole_number(value: Any, key: str) -> int:
    """A count as sleap-nn would read it, also where it is written as text.

    Raises:
        ConfigError: if it is none.
    """
    if value is None:
        return 0
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{key} is no count: give a whole number from 0 on.")
    return value
