"""Every key a configuration file may have, and the check of its value. No file is read here."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sleap_rtc.config.limits import MOST_LANES
from sleap_rtc.config.servers import normal_server
from sleap_rtc.errors import ConfigError

TRANSPORTS = ("auto", "libwebrtc", "aiortc")
ICE_POLICY, ICE_POLICIES = "ice_policy", ("all", "relay")
SECRETS = "secrets"
MOST_SLOTS = 64
"""Jobs that a worker can run at once."""
API_KEY = "worker.api_key"
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?B)?", re.IGNORECASE)
_HOURS = re.compile(r"\d{1,6}(?:\.\d{1,3})?")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
MOUNTS = "worker.mounts"
SLOTS, GPUS = "worker.slots", "worker.gpus"
ALLOW_WANDB = "worker.allow_wandb"
SANDBOX = "worker.sandbox"
SANDBOXES = ("auto", "bwrap", "none")
AUTO_EXPORT = "worker.auto_export"
EXPORTS = ("onnx", "tensorrt", "none")
STORE_SIZE = "store.max_bytes"
JOB_SIZE, LEAST_FREE = "worker.max_job_bytes", "worker.min_free_bytes"
JOB_MEMORY, JOB_HOURS = "worker.max_job_memory", "worker.max_job_hours"


@dataclass(frozen=True)
class Mount:
    """A folder of the worker's machine that jobs may name.

    Attributes:
        label: what clients call it.
        path: where it lies.
        rw: whether jobs may write there.
    """

    label: str
    path: Path
    rw: bool = False


@dataclass(frozen=True)
class Key:
    """A key of the configuration.

    Attributes:
        check: turns a file's value into ours, or raises `ConfigError`; told where the value stands.
        variable: the environment variable that says the same.
        meaning: what it is for, in a few words.
    """

    check: Callable[[Any, str], Any]
    variable: str | None
    meaning: str


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f'{where} must be text in quotes, such as "abc".')
    text = value.strip()
    if not text or any(ord(character) < 32 for character in text):
        raise ConfigError(f"{where} must be one line of text, and not empty. Remove the key to leave it unset.")
    return text


def _address(value: Any, where: str) -> str:
    return normal_server(_text(value, where), where)


def _transport(value: Any, where: str) -> str:
    text = _text(value, where)
    if text not in TRANSPORTS:
        raise ConfigError(f"{where} must be one of {', '.join(TRANSPORTS)}.")
    return text


def _ice_policy(value: Any, where: str) -> str:
    text = _text(value, where)
    if text not in ICE_POLICIES:
        raise ConfigError(f"{where} must be one of {', '.join(ICE_POLICIES)}.")
    return text


def _sandbox(value: Any, where: str) -> str:
    text = _text(value, where)
    if text not in SANDBOXES:
        raise ConfigError(f"{where} must be one of {', '.join(SANDBOXES)}.")
    return text


def _auto_export(value: Any, where: str) -> str:
    text = _text(value, where)
    if text not in EXPORTS:
        raise ConfigError(f"{where} must be one of {', '.join(EXPORTS)}.")
    return text


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{where} must be true or false, without quotes.")
    return value


def _bytes(value: Any, where: str) -> int:
    match = (
        _SIZE.fullmatch(str(value).strip()) if isinstance(value, int | str) and not isinstance(value, bool) else None
    )
    if match is None:
        raise ConfigError(f'{where} must be a number of bytes, or text such as "50 GB" or "1.5 TB".')
    return int(float(match[1]) * _UNITS[(match[2] or "B").upper()])


def _hours(value: Any, where: str) -> float:
    text = str(value).strip()
    if isinstance(value, bool) or not _HOURS.fullmatch(text) or float(text) == 0:
        raise ConfigError(f"{where} must be a number of hours, such as 48 or 0.5.")
    return float(text)


def _lanes(value: Any, where: str) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal() or not 1 <= int(text) <= MOST_LANES:
        raise ConfigError(f"{where} must be a whole number from 1 to {MOST_LANES}.")
    return int(text)


def _slots(value: Any, where: str) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal() or not 1 <= int(text) <= MOST_SLOTS:
        raise ConfigError(f"{where} must be a whole number from 1 to {MOST_SLOTS}.")
    return int(text)


def _gpus(value: Any, where: str) -> str:
    entries = value if isinstance(value, list) else [value]
    if any(isinstance(entry, bool) or not isinstance(entry, int | str) for entry in entries):
        raise ConfigError(f'{where} must list GPUs by index or UUID, such as "0,1".')
    return _text(",".join(str(entry) for entry in entries), where)


def read_mount(text: str, where: str) -> Mount:
    """Read a mount as it is typed: ``label=/path``, with ``:rw`` behind where jobs may write.

    Raises:
        ConfigError: if it is none.
    """
    label, separator, path = text.partition("=")
    if not separator:
        raise ConfigError(f"{where} must be written as label=/path, or label=/path:rw where jobs may write.")
    rw = path.endswith(":rw")
    return _mount({"label": label, "path": path.removesuffix(":rw"), "rw": rw}, where)


def _mounts(value: Any, where: str) -> tuple[Mount, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ConfigError(f"{where} must be written as [[worker.mounts]] with label and path below it.")
    mounts = tuple(_mount(entry, f"{where}, entry {number},") for number, entry in enumerate(value, 1))
    labels = [mount.label for mount in mounts]
    if len(set(labels)) < len(labels):
        raise ConfigError(f"{where}: two entries have the same label. Give each one its own.")
    return mounts


def _mount(entry: Mapping[str, Any], where: str) -> Mount:
    if unknown := set(entry) - {"label", "path", "rw"}:
        raise ConfigError(f"{where} has the key '{min(unknown)}', but a mount has only label, path and rw.")
    missing = [name for name in ("label", "path") if name not in entry]
    if missing:
        raise ConfigError(f"{where} has no {missing[0]}.")
    try:
        path = Path(_text(entry["path"], f"the path of {where}")).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"The path of {where} names a user whom this machine does not know.") from error
    if not path.is_absolute():
        raise ConfigError(f"The path of {where} must be absolute, such as /data/lab or ~/data.")
    return Mount(_text(entry["label"], f"the label of {where}"), path, _flag(entry.get("rw", False), f"rw of {where}"))


KEYS: dict[str, Key] = {
    "server": Key(_address, "SLEAP_RTC_SERVER", "the signaling service"),
    "default_room": Key(_text, "SLEAP_RTC_DEFAULT_ROOM", "the room of commands without --room"),
    "transport": Key(_transport, "SLEAP_RTC_TRANSPORT", "the WebRTC engine"),
    ICE_POLICY: Key(
        _ice_policy, "SLEAP_RTC_ICE_POLICY", "which paths links may take: all, or relay for TURN servers alone"
    ),
    API_KEY: Key(_text, "SLEAP_RTC_API_KEY", "the worker token a worker starts with"),
    "worker.name": Key(_text, "SLEAP_RTC_WORKER_NAME", "what a worker is called"),
    SLOTS: Key(_slots, "SLEAP_RTC_WORKER_SLOTS", "how many jobs a worker runs at once"),
    GPUS: Key(_gpus, "SLEAP_RTC_WORKER_GPUS", "which GPUs a worker uses: indices or UUIDs, with commas between"),
    "worker.warm": Key(_flag, "SLEAP_RTC_WORKER_WARM", "whether a worker imports sleap-nn before there is a job"),
    JOB_SIZE: Key(_bytes, "SLEAP_RTC_WORKER_MAX_JOB_BYTES", "most bytes that a job may write on a worker"),
    JOB_MEMORY: Key(_bytes, "SLEAP_RTC_WORKER_MAX_JOB_MEMORY", "most bytes of memory that a job may hold on a worker"),
    JOB_HOURS: Key(_hours, "SLEAP_RTC_WORKER_MAX_JOB_HOURS", "how many hours a job may run on a worker"),
    LEAST_FREE: Key(_bytes, "SLEAP_RTC_WORKER_MIN_FREE_BYTES", "bytes of the disk that must be free for a new job"),
    ALLOW_WANDB: Key(
        _flag, "SLEAP_RTC_WORKER_ALLOW_WANDB", "whether jobs may report to Weights & Biases with their submitter's key"
    ),
    SANDBOX: Key(_sandbox, "SLEAP_RTC_WORKER_SANDBOX", "what keeps jobs apart: auto, bwrap or none"),
    AUTO_EXPORT: Key(
        _auto_export,
        "SLEAP_RTC_WORKER_AUTO_EXPORT",
        "the format in which a worker exports what was trained: onnx, tensorrt or none",
    ),
    MOUNTS: Key(_mounts, None, "folders of the worker's machine that jobs may name"),
    STORE_SIZE: Key(_bytes, "SLEAP_RTC_STORE_MAX_BYTES", "most bytes kept of files that were transferred"),
    "transfer.max_lanes": Key(_lanes, "SLEAP_RTC_MAX_LANES", "most connections that a transfer uses"),
    "client.auto_select": Key(_flag, "SLEAP_RTC_AUTO_SELECT", "take the best worker without asking"),
}
"""Every key with a name of its own; the keys below ``secrets`` are ids of rooms."""

TABLES = (*sorted({key.partition(".")[0] for key in KEYS if "." in key}), SECRETS)


def secret_key(room_id: str) -> str:
    """The dotted key of a room's secret."""
    return f"{SECRETS}.{room_id}"


def is_credential(key: str) -> bool:
    """Tell whether the value of a dotted key must be shown to nobody, and only used at its own service."""
    return key == API_KEY or key.startswith(f"{SECRETS}.")


def nearest_key(key: str) -> str:
    """Name the known key that `key` was probably meant to be, as the end of a sentence; empty where none is near."""
    near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.75)
    if not near:
        # a key in the wrong table, or in none
        lasts = {known.rpartition(".")[2]: known for known in KEYS}
        near = [lasts[last] for last in difflib.get_close_matches(key.rpartition(".")[2], lasts, n=1, cutoff=0.7)]
    return f" Did you mean {near[0]}?" if near else ""


def read_values(data: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """Check a file's content.

    Args:
        data: what its TOML says.
        where: the file, for sentences.

    Returns:
        The values by dotted key, and a warning for every unknown key.

    Raises:
        ConfigError: if a known key has a value of a wrong type.
    """
    values: dict[str, Any] = {}
    warnings = []
    for key, value in _flattened(data, where):
        if key.startswith(f"{SECRETS}."):
            values[key] = _text(value, f"{where}: {key}")
        elif key in KEYS:
            values[key] = KEYS[key].check(value, f"{where}: {key}")
        else:
            warnings.append(f"{where}: the key {key} is unknown and ignored.{nearest_key(key)}")
    return values, warnings


def _flattened(data: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if name in TABLES:
            if not isinstance(value, Mapping):
                raise ConfigError(f"{where}: {name} must be a table: write [{name}] on a line of its own.")
            yield from ((f"{name}.{inner}", each) for inner, each in value.items())
        else:
            yield name, value


def from_text(key: str, text: str, where: str) -> Any:
    """Turn what a shell gave into the value of `key`, for the environment and for `config set`.

    Raises:
        ConfigError: if it does not fit.
    """
    if key.startswith(f"{SECRETS}."):
        return _text(text, where)
    check = KEYS[key].check
    if check is not _flag:
        return check(text, where)
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if text.strip().lower() not in words:
        raise ConfigError(f"{where} must be true or false.")
    return words[text.strip().lower()]
