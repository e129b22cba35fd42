"""``sleap-rtc room set-secret``."""

import sys
from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import end_old_option, server_option, settings_for
from sleap_rtc.errors import UsageError

if TYPE_CHECKING:
    from sleap_rtc.config.room_secrets import RoomSecretStore


@click.command(
    "set-secret",
    epilog="""\b
Examples:
  sleap-rtc room set-secret "Fly lab"
  pass show fly-lab | sleap-rtc room set-secret r_abcdefgh -
  sleap-rtc room set-secret r_abcdefgh --forget
""",
)
@click.argument("room")
@click.argument("source", required=False, metavar="[-]")
@end_old_option
@click.option("--forget", is_flag=True, help="Forget the room's secret, and that the room has one.")
@server_option
def set_secret(room: str, source: str | None, end_old: bool, forget: bool, server: str | None) -> None:
    """Keep a room's secret on this machine, for its workers and its clients.

    The secret is asked for, or read from a pipe where - is given: what is
    typed on a command line stays in the shell's history. It goes into the
    keyring, where there is one, else into a file that only you can read.

    ROOM is an id or a name; of an id nothing is asked of the service.
    """
    from sleap_rtc.cli.output import say
    from sleap_rtc.cli.room.secret_words import NO_WAY_BACK, fate_of_old, find_secret_room, place_of
    from sleap_rtc.config.room_secrets import RoomSecretStore
    from sleap_rtc.protocol.room_secrets import RoomSecret

    if source not in (None, "-"):
        raise UsageError("The secret does not belong on the command line: leave it out to be asked, or pipe it to -.")
    if forget and (source is not None or end_old):
        raise UsageError("--forget takes no secret and no --end-old.")
    settings = settings_for(server=server)
    meant = find_secret_room(settings, room)
    store = RoomSecretStore()
    if forget:
        _forget(store, settings.server, meant.room_id)
        return
    given = RoomSecret.parse(_asked(from_pipe=source == "-"))
    kept = store.keep(settings.server, meant.room_id, given, end_old=end_old, name=meant.name)
    say(f"The secret of the room {meant} is kept in {place_of(kept, store)}.")
    if fate_of_old(kept):
        say(fate_of_old(kept))
    say(NO_WAY_BACK)


def _forget(store: "RoomSecretStore", server: str, room: str) -> None:
    from sleap_rtc.cli.output import note, say

    if not store.forget(server, room):
        say(f"This machine knows of no secret of the room {room}.")
        return
    say(f"The secret of the room {room} is forgotten.")
    note("Links in it are made without a secret from now on, and the service is trusted to introduce the right peers.")


def _asked(*, from_pipe: bool) -> str:
    from sleap_rtc.cli.asking import can_ask

    if from_pipe:
        return sys.stdin.readline(1024)
    if not can_ask():
        raise UsageError("There is no terminal to ask on. Pipe the secret: sleap-rtc room set-secret ROOM -")
    return str(click.prompt("The room's secret (it is not shown)", hide_input=True, err=True))
