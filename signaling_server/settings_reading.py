"""Where the settings come from: flags, the environment (``SLEAP_RTC_SERVER_…``) and ``sleap-rtc-server.toml``."""

import json
import tomllib
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from signaling_server.secrets_given import others_may_read
from signaling_server.settings import ENVIRONMENT_PREFIX, Settings
from sleap_rtc.errors import ConfigError

FILE_NAME = "sleap-rtc-server.toml"
_SECRET_NAMES = frozenset(
    {"pepper", "credential", "client_secret", "turn_secret", "secret", "password", "metrics_token"}
)


def load_settings(
    environ: Mapping[str, str], file: Path | None = None, *, default_database_url: str | None = None, **flags: Any
) -> Settings:
    """Read the settings: flags over environment over the file over defaults.

    Args:
        environ: the environment, normally `os.environ`.
        file: the settings file; None takes `FILE_NAME` in the current folder if it is there.
        default_database_url: the database where nobody names one.
        flags: settings given on the command line; None stands for "not given".

    Raises:
        ConfigError: if a value is refused or unknown; the sentence names it and where it came from.
    """
    path = file if file is not None else Path(FILE_NAME)
    values: dict[str, Any] = {} if default_database_url is None else {"database_url": default_database_url}
    if file is not None or path.exists():
        values |= _read_file(path)
        _check_kept(path, values)
    for name, text in environ.items():
        if name.startswith(ENVIRONMENT_PREFIX):
            _set(values, name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"), _value(text))
    values |= {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        # what is within a list cannot be named by a variable of its own
        named = takewhile(lambda part: not isinstance(part, int), problem["loc"])
        variable = ENVIRONMENT_PREFIX + "__".join(str(part) for part in named).upper()
        raise ConfigError(
            f"The service's setting '{where}' is refused: {problem['msg'].removeprefix('Value error, ')}. "
            f"It comes from {path}, from {variable} or from a flag; correct it there."
        ) from error


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The settings file {path} is not valid TOML: {error}.") from error


def _check_kept(path: Path, values: Mapping[str, Any]) -> None:
    held = sorted(_secrets_in(values))
    if held and others_may_read(path):
        raise ConfigError(f"Others may read {path}, in which '{held[0]}' must stay secret. Run: chmod 600 {path}")


def _secrets_in(values: Any, name: str = "") -> set[str]:
    if isinstance(values, Mapping):
        return {found for key, value in values.items() for found in _secrets_in(value, str(key))}
    if isinstance(values, list):
        return {found for value in values for found in _secrets_in(value, name)}
    if not isinstance(values, str) or not values:
        return set()
    secret = name in _SECRET_NAMES or (name in ("database_url", "redis_url") and _has_password(values))
    return {name} if secret else set()


def _has_password(url: str) -> bool:
    try:
        parsed = make_url(url)
        return bool(parsed.password) or "password" in parsed.query
    except ArgumentError:  # said when it is used
        return False


def _set(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.get(key)
        values[key] = values = dict(inner) if isinstance(inner, dict) else {}
    values[keys[-1]] = value


def _value(text: str) -> Any:
    # lists and tables come as JSON; everything else is text that pydantic turns into the field's type
    if text[:1] not in ("[", "{"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
