"""The name of a run, which is the name of the folder that its model is in, here and on the client."""

import re

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.protocol.files import check_path
from sleap_rtc.protocol.text import printable

_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_run_name(name: str) -> str:
    """Return `name` if it may be a run's name.

    Raises:
        ConfigError: if it may not.
    """
    if _RUN_NAME.fullmatch(name) is None:
        raise ConfigError(f"'{printable(name, limit=80)}' cannot be a run's name.")
    return name


def pick_run_name(wanted: object, fallback: str, taken: set[str]) -> tuple[str, list[str]]:
    """Choose a run's folder name: the one wanted where it is allowed, else `fallback` (a config's file name).

    Args:
        wanted: the config's ``run_name``.
        fallback: used where `wanted` is empty.
        taken: names used by the job's other runs, in lower case; the choice is added.

    Returns:
        The name and what to tell the user about it.

    Raises:
        ConfigError: if the name is a path or no text.
    """
    if wanted not in (None, "", "None") and not isinstance(wanted, str):
        raise ConfigError("trainer_config.run_name is no text. Give the run a plain name.")
    asked = wanted if isinstance(wanted, str) and wanted not in ("", "None") else fallback
    if asked != fallback and (asked.strip(". ") == "" or any(c in asked for c in "/\\") or not asked.isprintable()):
        raise ConfigError(
            f"trainer_config.run_name '{printable(asked, limit=80)}' is refused: a run's name is one folder name, "
            "made of letters, digits, '.', '_' and '-'."
        )
    name = _unique(_tidy(asked), taken)
    taken.add(name.lower())
    if asked not in (fallback, name):
        return name, [f"The run '{printable(asked, limit=80)}' is called '{name}' here."]
    return name, []


def _tidy(asked: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", asked).lstrip("._-")[:64].rstrip("._-") or "run"
    try:
        check_path(name)
    except PackageError:
        # a name that Windows keeps for a device would make the model impossible to save there
        name = f"run-{name}"[:64]
    return name


def _unique(name: str, taken: set[str]) -> str:
    if name.lower() not in taken:
        return name
    return next(n for i in range(2, 10_000) if (n := f"{name[:58]}-{i}").lower() not in taken)
