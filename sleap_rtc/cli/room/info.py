"""``sleap-rtc room info``."""

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room info
  sleap-rtc room info "Fly lab"
"""
)
@click.argument("room", required=False)
@server_option
@json_option
def info(room: str | None, server: str | None, as_json: bool) -> None:
    """Show a room, its people and the workers that are online.

    ROOM is an id or a name; the default room without it.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room, warn_of_room
    from sleap_rtc.cli.formats import count
    from sleap_rtc.cli.output import emit_json, say, table
    from sleap_rtc.cli.room.secret_words import standing
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_expiry, format_time
    from sleap_rtc.client.choice import COLUMNS, rows
    from sleap_rtc.config.clock import utc_ms
    from sleap_rtc.protocol.signaling import WorkerPresence
    from sleap_rtc.signaling.api import RoomDetail

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def ask() -> tuple[RoomDetail, list[WorkerPresence]]:
        found = await meant_room(api, settings, room)
        return await api.room(found.room_id), await api.workers(found.room_id)

    detail, workers = run_async(ask())
    secret, secret_words = standing(settings.server, detail.room_id)
    if as_json:
        emit_json(detail.model_dump() | {"workers": [worker.model_dump() for worker in workers], "secret": secret})
        return
    say(f"{detail.name} ({detail.room_id}), made {format_time(detail.created_at)}")
    say(f"You are its {detail.role}; {format_expiry(detail.expires_at, utc_ms())}.")
    say(secret_words)
    say()
    table(("person", "role", "id"), [(person.name, person.role, person.user_id) for person in detail.people])
    say()
    if workers:
        table(COLUMNS, rows(workers))
    else:
        say("No worker is online.")
    if detail.jobs or detail.models:
        say()
        say(f"Its workers have told of {count(detail.jobs, 'job')} and {count(detail.models, 'model')}.")
    warn_of_room(detail, utc_ms())
