"""Changes to ``config.toml`` in our home, the one settings file that commands write. Comments and order stay."""

from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import Array, Table

from sleap_rtc.config import schema
from sleap_rtc.config.files import own_file, parse_toml
from sleap_rtc.config.locks import locked
from sleap_rtc.config.paths import write_private
from sleap_rtc.errors import ConfigError, ConflictError

TEMPLATE = """\
# Settings of sleap-rtc on this machine. Remove the '#' of a line to set it.
# A sleap-rtc.toml in the folder where a command is typed, or above it, comes first;
# the environment comes before that, and what is typed before everything.

# The signaling service. A key or secret in this file is used with this service alone.
#server = "https://rtc.lab.example"

# The room of commands without --room: its id or name.
#default_room = "r_…"

# The WebRTC engine: auto, libwebrtc or aiortc.
#transport = "auto"

# Which paths links may take: all, or relay for the service's TURN servers alone
#ice_policy = "all"

# What 'sleap-rtc worker' starts with.
#[worker]
#api_key = "slp_…"
#name = "lab-gpu-1"
# Jobs at once: at most one a GPU; without a GPU, that many on the processor.
#slots = 1
# GPUs to use, by index or UUID; all of them if it is not set.
#gpus = "0,1"
# Whether sleap-nn is imported before there is a job, which takes about 1.5 GB of memory a GPU.
#warm = true
# How much a job may write.
#max_job_bytes = "100 GB"
# How much of the memory a job may hold; nine tenths of it if it is not set.
#max_job_memory = "64 GB"
# How many hours a job may run; as long as it takes if it is not set.
#max_job_hours = 48
# How much of the disk must be free for a new job; 5 GiB, or 5 % of a larger disk, if it is not set.
#min_free_bytes = "20 GB"
#allow_wandb = false
# What keeps jobs apart: "auto" is bubblewrap where it works, "bwrap" bubblewrap or no start, "none" nothing.
#sandbox = "auto"
# The format in which what was trained is exported by itself: "onnx", "tensorrt" (needs NVIDIA's package) or "none".
#auto_export = "none"

# Folders of this machine that jobs may name.
#[[worker.mounts]]
#label = "lab"
#path = "/data/lab"

# How much is kept of files that were sent or received, so that they need not travel again;
# a tenth of the disk if it is not set.
#[store]
#max_bytes = "50 GB"

# How many connections what is received may come over, 1 to 16.
#[transfer]
#max_lanes = 16

# Room secrets, by the id of their room.
#[secrets]
#"r_…" = "slrs_…"

# Whether 'sleap-rtc train' takes the best worker of the room without asking.
#[client]
#auto_select = true
"""


def initialise() -> Path:
    """Write a file in which everything is explained and nothing is set.

    Raises:
        ConflictError: if there is a file already.
    """
    path = own_file()
    with locked(path):
        if path.exists():
            raise ConflictError(
                f"{path} is there already. Change it with an editor or with: sleap-rtc config set KEY VALUE"
            )
        write_private(path, TEMPLATE.encode())
    return path


def set_value(key: str, text: str) -> Path:
    """Set a key.

    Args:
        key: dotted, such as ``worker.name``, or ``secrets.`` and a room's id.
        text: the value as a shell gives it.

    Returns:
        The file that was written.

    Raises:
        ConfigError: if the key is unknown, the value does not fit, or the file cannot be changed.
    """
    check_key(key)
    value = schema.from_text(key, text, key)
    path = own_file().resolve()
    with locked(path):
        document = _read(path)
        table, name = _place(document, key)
        table[name] = value
        write_private(path, tomlkit.dumps(document).encode())
    return path


def add_mount(mount: schema.Mount) -> Path:
    """Add a folder that jobs may name.

    Args:
        mount: its label, and the folder as an absolute path.

    Returns:
        The file that was written.

    Raises:
        ConflictError: if the file has a mount of that label.
        ConfigError: if the file cannot be changed, or would be none of ours any more.
    """
    path = own_file().resolve()
    with locked(path):
        document = _read(path)
        table, name = _place(document, schema.MOUNTS)
        mounts = table.get(name, [])
        if mount.label in [each.get("label") for each in mounts if isinstance(each, dict)]:
            raise ConflictError(f"{path} has a mount '{mount.label}' already. Take another label, or edit the file.")
        entry = tomlkit.inline_table() if isinstance(mounts, Array) else tomlkit.table()
        entry.update({"label": mount.label, "path": str(mount.path)} | ({"rw": True} if mount.rw else {}))
        if name not in table:
            table[name] = tomlkit.aot()
        table[name].append(entry)
        text = tomlkit.dumps(document)
        schema.read_values(parse_toml(text.encode(), path), str(path))
        write_private(path, text.encode())
    return path


def unset_value(key: str, value: str) -> bool:
    """Remove a key that has this value; tell whether it was there."""
    path = own_file().resolve()
    with locked(path):
        document = _read(path)
        if document.get(key) != value:
            return False
        document.remove(key)
        write_private(path, tomlkit.dumps(document).encode())
    return True


def check_key(key: str) -> None:
    """Check that a key is one that can be set from the command line.

    Raises:
        ConfigError: if it is not.
    """
    table, _, name = key.partition(".")
    if key == schema.MOUNTS:
        raise ConfigError(f"{key} is a list. Add to it with: sleap-rtc config add-mount LABEL PATH")
    if key not in schema.KEYS and not (table == schema.SECRETS and name):
        settable = ", ".join([each for each in schema.KEYS if each != schema.MOUNTS] + [f"{schema.SECRETS}.ROOM_ID"])
        raise ConfigError(f"There is no setting '{key}'.{schema.nearest_key(key)} What can be set: {settable}.")


def _read(path: Path) -> tomlkit.TOMLDocument:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return tomlkit.document()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    parse_toml(raw, path)  # says where it is wrong
    return tomlkit.parse(raw.decode("utf-8-sig"))


def _place(document: tomlkit.TOMLDocument, key: str) -> tuple[Any, str]:
    head, dot, rest = key.partition(".")
    if not dot:
        return document, key
    if head not in document:
        document[head] = tomlkit.table()
    table = document[head]
    if not isinstance(table, Table | dict):
        raise ConfigError(f"{own_file()}: {head} must be a table: write [{head}] on a line of its own.")
    return table, rest
