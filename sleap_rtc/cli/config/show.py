"""``sleap-rtc config show``."""

from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.options import json_option, settings_for

if TYPE_CHECKING:
    from sleap_rtc.config.settings import Settings

HIDDEN = "(hidden)"
SHOWN = 10
"""Characters of a whole token that are shown: its kind and a few more, as the service's lists have them."""


@click.command(
    epilog="""\b
Examples:
  sleap-rtc config show
  sleap-rtc config show --json
"""
)
@json_option
def show(as_json: bool) -> None:
    """Show every setting, its value and where it came from.

    Keys and secrets are not shown.
    """
    from sleap_rtc.cli.output import emit_json, note, table

    settings = settings_for()
    values = shown_values(settings)
    if as_json:
        emit_json(
            {
                key: {"value": value, "from": settings.origin(key) if value is not None else None}
                | ({"withheld": settings.withheld[key]} if key in settings.withheld else {})
                for key, value in values.items()
            }
        )
        return
    rows = [(key, _words(value), settings.origin(key) if value is not None else "") for key, value in values.items()]
    table(("key", "value", "from"), rows)
    for text in settings.withheld.values():
        note(text)


def shown_values(settings: "Settings") -> dict[str, Any]:
    """Every key with its value, fit to be shown to anybody; None where nothing is set."""
    values: dict[str, Any] = {
        "server": settings.server,
        "default_room": settings.default_room,
        "transport": settings.transport,
        "ice_policy": settings.ice_policy,
        "worker.api_key": _masked(settings.worker.api_key),
        "worker.name": settings.worker.name,
        "worker.slots": settings.worker.slots,
        "worker.gpus": settings.worker.gpus,
        "worker.warm": settings.worker.warm,
        "worker.max_job_bytes": settings.worker.max_job_bytes,
        "worker.max_job_memory": settings.worker.max_job_memory,
        "worker.max_job_hours": settings.worker.max_job_hours,
        "worker.min_free_bytes": settings.worker.min_free_bytes,
        "worker.allow_wandb": settings.worker.allow_wandb,
        "worker.sandbox": settings.worker.sandbox,
        "worker.auto_export": settings.worker.auto_export,
        "worker.mounts": [
            {"label": mount.label, "path": str(mount.path), "rw": mount.rw} for mount in settings.worker.mounts
        ]
        or None,
        "store.max_bytes": settings.limits.max_store,
        "transfer.max_lanes": settings.limits.max_lanes,
        "client.auto_select": settings.client.auto_select,
    }
    values |= {f"secrets.{room}": HIDDEN for room in settings.secrets}
    return values | {key: None for key in settings.withheld if key not in values}


def _masked(key: str | None) -> str | None:
    from sleap_rtc.errors import AuthenticationError
    from sleap_rtc.protocol.tokens import check_token

    if key is None:
        return None
    try:
        check_token(key)
    except AuthenticationError:
        return HIDDEN
    return f"{key[:SHOWN]}…"


def _words(value: Any) -> str:
    if value is None:
        return "(not set)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(f"{each['label']}: {each['path']}{' (rw)' if each['rw'] else ''}" for each in value)
    return str(value)
