"""What a user has set, from every place that may say so, merged key by key.

The nearer place wins: flags, the environment, ``sleap-rtc.toml`` in this folder or the nearest above,
``~/sleap-rtc.toml``, ``config.toml`` in our home.

A file found in a project folder may come from anybody, a cloned repository for example. It may choose the service and
the room, but it gets nothing that was made for another service: a key or secret belongs to the server named in the
same file, and where that file names none, to the server that holds when the project file is left out. It is withheld
wherever another server was chosen. Nor does a project file say what of this machine jobs may see. Its secret of a room
gives way to the user's own: whoever knows the secret can stand in for the room.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from sleap_rtc.config import schema
from sleap_rtc.config.files import find_files, read_file
from sleap_rtc.config.limits import DEFAULT_JOB_BYTES, MOST_LANES, TransferLimits
from sleap_rtc.config.schema import (
    ALLOW_WANDB,
    API_KEY,
    AUTO_EXPORT,
    GPUS,
    ICE_POLICY,
    JOB_HOURS,
    JOB_MEMORY,
    JOB_SIZE,
    KEYS,
    LEAST_FREE,
    MOUNTS,
    SANDBOX,
    SECRETS,
    SLOTS,
    STORE_SIZE,
    Mount,
    is_credential,
)
from sleap_rtc.config.servers import DEFAULT_SERVER

DEFAULT = "default"
FLAGS = "the command line"
_OF_THIS_MACHINE = {
    SLOTS, GPUS, ALLOW_WANDB, AUTO_EXPORT, SANDBOX, MOUNTS, STORE_SIZE, JOB_SIZE, JOB_MEMORY, JOB_HOURS, LEAST_FREE,
}  # fmt: skip
"""What no file found in a project may set: GPUs, folders, network and sandbox of jobs, and what they may take."""


class Kind(Enum):
    """How far a place that says something is trusted."""

    USER = "typed, exported, or in a file of the user's own"
    PROJECT = "in a file that was found on the way up from this folder"


@dataclass(frozen=True)
class Layer:
    """One place that sets keys.

    Attributes:
        where: its name for people: a file's path, or what holds the values.
        values: checked values by dotted key.
        kind: how far it is trusted.
        names: what to call the origin of single keys, where that is not `where`.
        file: whether it is a file, so that a key and a server in it belong together.
    """

    where: str
    values: Mapping[str, Any]
    kind: Kind = Kind.USER
    names: Mapping[str, str] = field(default_factory=dict)
    file: bool = True

    def origin(self, key: str) -> str:
        """Where the value of `key` came from."""
        return self.names.get(key, self.where)


@dataclass(frozen=True)
class WorkerSection:
    """The table ``[worker]``."""

    api_key: str | None = field(default=None, repr=False)
    name: str | None = None
    mounts: tuple[Mount, ...] = ()
    slots: int | None = None
    gpus: str | None = None
    warm: bool = True
    max_job_bytes: int = DEFAULT_JOB_BYTES
    max_job_memory: int | None = None
    max_job_hours: float | None = None
    min_free_bytes: int | None = None
    allow_wandb: bool = False
    sandbox: str = "auto"
    auto_export: str = "none"


@dataclass(frozen=True)
class ClientSection:
    """The table ``[client]``."""

    auto_select: bool | None = None


@dataclass(frozen=True)
class Settings:
    """Everything that is set, ready to use.

    Attributes:
        server: the service's address, in its normal form.
        own_server: what `server` would be without the project's file: where a credential belongs that names no server.
        default_room: the room of commands without ``--room``: an id or a name.
        transport: the WebRTC engine.
        ice_policy: which paths links may take: ``all``, or ``relay``.
        worker: what workers use.
        client: what clients use.
        limits: what transfers may use: the tables ``[store]`` and ``[transfer]``.
        secrets: room secrets by room id, as they were written; only those that belong to `server`.
        from_project: the dotted keys whose value came from a file that was found in a project.
        origins: where the value of each dotted key came from.
        withheld: credentials that are not used, because they were made for another service: a sentence for each key.
        warnings: what the user should be told about the files.
        files: the configuration files that were read, the nearest first.
    """

    server: str = DEFAULT_SERVER
    own_server: str = DEFAULT_SERVER
    default_room: str | None = None
    transport: str = "auto"
    ice_policy: str = "all"
    worker: WorkerSection = WorkerSection()
    client: ClientSection = ClientSection()
    limits: TransferLimits = field(default_factory=TransferLimits)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    from_project: frozenset[str] = frozenset()
    origins: Mapping[str, str] = field(default_factory=dict)
    withheld: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def origin(self, key: str) -> str:
        """Where the value of a dotted key came from; ``default`` if nobody set it."""
        return self.origins.get(key, DEFAULT)


def load_settings(
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Read every place and merge them.

    Args:
        folder: where to begin looking for a project's file; this folder by default.
        environ: the environment; ours by default.
        flags: what was typed, by dotted key; None stands for not typed.

    Raises:
        ConfigError: if a file is no TOML or cannot be read, or a value has a wrong type or form.
    """
    environ = os.environ if environ is None else environ
    found = find_files(folder or Path.cwd())
    layers = [_from_flags(flags or {}), _from_environment(environ)]
    warnings: list[str] = []
    for file in found:
        data, remarks = read_file(file)
        values, unknown = schema.read_values(data, str(file.path))
        warnings += [*remarks, *unknown]
        layers.append(Layer(str(file.path), values, Kind.PROJECT if file.project else Kind.USER))
    return merge(layers, warnings=warnings, files=[file.path for file in found])


def merge(layers: Sequence[Layer], *, warnings: Sequence[str] = (), files: Sequence[Path] = ()) -> Settings:
    """Merge what several places say. Reads nothing.

    Args:
        layers: the places, the nearest first.
        warnings: what is to be told already.
        files: the files that were read.
    """
    remarks = list(warnings)
    usable = [_without_what_it_may_not_say(layer, remarks) for layer in layers]
    server = _first_server(usable)
    own_server = _first_server([layer for layer in usable if layer.kind is Kind.USER])
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    withheld: dict[str, str] = {}
    # what was typed or exported and may not be used is not replaced by what a file says instead
    blocked: set[str] = set()
    from_project: set[str] = set()
    for layer, key, value in _by_nearness(usable):
        belongs_to = layer.values.get("server", own_server) if layer.file else own_server
        if key in values or key in blocked:
            continue
        if is_credential(key) and belongs_to != server:
            if not layer.file:
                blocked.add(key)
            withheld.setdefault(key, _withheld(key, layer, belongs_to, server, usable))
            continue
        values[key] = value
        origins[key] = layer.origin(key)
        if layer.kind is Kind.PROJECT:
            from_project.add(key)
    prefix = f"{SECRETS}."
    return Settings(
        server=server,
        own_server=own_server,
        default_room=values.get("default_room"),
        transport=values.get("transport", "auto"),
        ice_policy=values.get(ICE_POLICY, "all"),
        worker=_worker_section(values),
        client=ClientSection(values.get("client.auto_select")),
        limits=TransferLimits(
            values.get("transfer.max_lanes", MOST_LANES),
            values.get("store.max_bytes"),
            relay_only=values.get(ICE_POLICY) == "relay",
        ),
        secrets={key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)},
        from_project=frozenset(from_project),
        origins=origins,
        withheld={key: why for key, why in withheld.items() if key not in values},
        warnings=tuple(remarks),
        files=tuple(files),
    )


def _worker_section(values: Mapping[str, Any]) -> WorkerSection:
    return WorkerSection(
        api_key=values.get(API_KEY),
        name=values.get("worker.name"),
        mounts=values.get(MOUNTS, ()),
        slots=values.get(SLOTS),
        gpus=values.get(GPUS),
        warm=values.get("worker.warm", True),
        max_job_bytes=values.get(JOB_SIZE, DEFAULT_JOB_BYTES),
        max_job_memory=values.get(JOB_MEMORY),
        max_job_hours=values.get(JOB_HOURS),
        min_free_bytes=values.get(LEAST_FREE),
        allow_wandb=values.get(ALLOW_WANDB, False),
        sandbox=values.get(SANDBOX, "auto"),
        auto_export=values.get(AUTO_EXPORT, "none"),
    )


def _without_what_it_may_not_say(layer: Layer, warnings: list[str]) -> Layer:
    if layer.kind is Kind.USER:
        return layer
    warnings += [
        f"{layer.where}: {key} is ignored, because this file was found in a project folder. What concerns this machine "
        "is set in ~/sleap-rtc.toml or in your config.toml alone."
        for key in sorted(_OF_THIS_MACHINE & set(layer.values))
    ]
    allowed = {key: value for key, value in layer.values.items() if key not in _OF_THIS_MACHINE}
    return Layer(layer.where, allowed, layer.kind)


def _by_nearness(layers: Sequence[Layer]) -> list[tuple[Layer, str, Any]]:
    said = [(layer, key, value) for layer in layers for key, value in layer.values.items()]
    # who wrote the project's file may want to be taken for the room, or to learn where the user is: what they say of
    # secrets and paths never replaces what the user says
    return sorted(said, key=lambda each: each[0].kind is Kind.PROJECT and _is_the_users(each[1]))


def _is_the_users(key: str) -> bool:
    return key == ICE_POLICY or key.startswith(f"{SECRETS}.")


def _first_server(layers: Sequence[Layer]) -> str:
    servers: list[str] = [layer.values["server"] for layer in layers if "server" in layer.values]
    return servers[0] if servers else DEFAULT_SERVER


def _withheld(key: str, layer: Layer, belongs_to: str, server: str, layers: Sequence[Layer]) -> str:
    chooser = next((each.origin("server") for each in layers if "server" in each.values), DEFAULT)
    what = "key" if key == API_KEY else "secret"
    return (
        f"The {what} {key} of {layer.origin(key)} belongs to {belongs_to}, so it is not used with {server}, "
        f"which {chooser} names."
    )


def _from_flags(flags: Mapping[str, Any]) -> Layer:
    values = {key: value for key, value in flags.items() if value is not None}
    checked = {
        key: schema.from_text(key, value, f"On {FLAGS}, {key}") if isinstance(value, str) else value
        for key, value in values.items()
    }
    return Layer(FLAGS, checked, file=False)


def _from_environment(environ: Mapping[str, str]) -> Layer:
    names = {key: known.variable for key, known in KEYS.items() if known.variable and environ.get(known.variable)}
    values = {key: schema.from_text(key, environ[variable], variable) for key, variable in names.items()}
    return Layer("the environment", values, names=names, file=False)
