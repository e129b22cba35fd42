"""``sleap-rtc room log``."""

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for

PAGE = 200


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room log
  sleap-rtc room log "Fly lab" --limit 200
"""
)
@click.argument("room", required=False)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, metavar="N", help="Lines at most."
)
@server_option
@json_option
def log(room: str | None, limit: int, server: str | None, as_json: bool) -> None:
    """Show what was done in a room that you own, the newest first.

    ROOM is an id or a name; the default room without it. Names are those of
    the time.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.output import emit_json, table
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_time
    from sleap_rtc.signaling.api import LogEvent

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def read() -> list[LogEvent]:
        found = await meant_room(api, settings, room)
        events: list[LogEvent] = []
        more = True
        while more and len(events) < limit:
            before = events[-1].event_id if events else None
            page = await api.log(found.room_id, before=before, limit=min(PAGE, limit - len(events)))
            events += page.events
            more = page.more and bool(page.events)
        return events

    events = run_async(read())
    if as_json:
        emit_json([event.model_dump() for event in events])
        return
    rows = [
        (format_time(each.at), each.actor, each.action.replace("_", " "), each.subject, each.detail) for each in events
    ]
    table(("when", "who", "what", "whom or what", "more"), rows)
