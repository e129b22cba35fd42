"""``sleap-rtc room invite``."""

from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import hours_option, json_option, server_option, settings_for
from sleap_rtc.protocol.invites import MAX_HOURS, MAX_USES

if TYPE_CHECKING:
    from sleap_rtc.config.settings import Settings
    from sleap_rtc.signaling.api import InviteInfo, NewInvite, Room, ServiceAPI


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room invite "Fly lab"
  sleap-rtc room invite "Fly lab" --uses 5 --expires 7d
  sleap-rtc room invite "Fly lab" --list
  sleap-rtc room invite "Fly lab" --revoke 7K3
"""
)
@click.argument("room", required=False)
@click.option(
    "--uses", type=click.IntRange(1, MAX_USES), default=1, show_default=True, metavar="N", help="For how many people."
)
@hours_option("--expires", "24h", least=1, most=MAX_HOURS, help_text="How long it is good, such as 12h or 7d.")
@click.option("--list", "list_them", is_flag=True, help="List the invites instead.")
@click.option("--revoke", metavar="INVITE", help="End this one instead: its id, or its first characters.")
@server_option
@json_option
def invite(
    room: str | None,
    uses: int,
    expires: int,
    list_them: bool,
    revoke: str | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Make a code with which somebody can join a room that you own.

    ROOM is an id or a name; the default room without it. The code is shown
    this once. Who joins with it becomes a member.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.running import run_async

    if list_them and revoke is not None:
        raise click.UsageError("Either --list or --revoke.")
    settings = settings_for(server=server)
    api = logged_in_api(settings)
    found = run_async(meant_room(api, settings, room))
    if list_them:
        _show_all(run_async(api.invites(found.room_id)), found, as_json=as_json)
    elif revoke is not None:
        _show_end(run_async(_end(api, found, revoke)), found, as_json=as_json)
    else:
        made = run_async(api.create_invite(found.room_id, uses=uses, expires_hours=expires))
        _show_new(settings, found, made, as_json=as_json)


async def _end(api: "ServiceAPI", room: "Room", text: str) -> "InviteInfo":
    meant = find_invite(await api.invites(room.room_id), text, room.name)
    await api.revoke_invite(room.room_id, meant.invite_id)
    return meant


def find_invite(invites: "list[InviteInfo]", text: str, room: str) -> "InviteInfo":
    """The open invite that a user means by its id, its first characters, or the code itself.

    Raises:
        NotFoundError: if none is meant.
        UsageError: if several are.
    """
    from sleap_rtc.errors import NotFoundError, UsageError

    typed = text.strip().upper().rstrip("…")
    opened = [each for each in invites if each.state == "open"]
    meant = [each for each in opened if each.invite_id == text.strip() or typed.startswith(each.display)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        listed = ", ".join(each.invite_id for each in meant)
        raise UsageError(f"Several invites of the room '{room}' are meant: {listed}. Give the id of one.")
    raise NotFoundError(
        f"The room '{room}' has no open invite that begins like this or has this id. See them: "
        "sleap-rtc room invite --list"
    )


def _show_new(settings: "Settings", room: "Room", made: "NewInvite", *, as_json: bool) -> None:
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.times import format_expiry
    from sleap_rtc.config.clock import utc_ms
    from sleap_rtc.config.servers import server_words

    if as_json:
        emit_json(made.model_dump() | {"room_id": room.room_id, "server": settings.server})
        return
    people = "1 person" if made.uses == 1 else f"{made.uses} people"
    words = server_words(settings.server)
    say(f"The invite to the room '{room.name}' is made, for {people}; {format_expiry(made.expires_at, utc_ms())}.")
    say("Its code is shown this once:")
    say()
    say(f"  {made.code}")
    say()
    say("Who gets it logs in and joins:")
    say()
    say(f"  sleap-rtc login{words}")
    say(f"  sleap-rtc room join{words} --code {made.code}")


def _show_all(invites: "list[InviteInfo]", room: "Room", *, as_json: bool) -> None:
    from sleap_rtc.cli.output import emit_json, note, table
    from sleap_rtc.cli.times import format_time

    if as_json:
        emit_json([each.model_dump() for each in invites])
        return
    if not invites:
        note(f"The room '{room.name}' has no invites. Make one: sleap-rtc room invite {room.room_id}")
        return
    rows = [
        (
            f"{each.display}…",
            each.state,
            f"{each.used} of {each.uses}",
            format_time(each.expires_at),
            each.created_by,
            each.invite_id,
        )
        for each in invites
    ]
    table(("code", "state", "used", "expires", "made by", "id"), rows)


def _show_end(ended: "InviteInfo", room: "Room", *, as_json: bool) -> None:
    from sleap_rtc.cli.output import emit_json, say

    if as_json:
        emit_json({"room_id": room.room_id, "invite_id": ended.invite_id, "state": "revoked"})
        return
    say(f"The invite {ended.display}… to the room '{room.name}' is revoked; who has joined with it stays.")
