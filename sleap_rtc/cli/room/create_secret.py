"""``sleap-rtc room create-secret``."""

from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import end_old_option, json_option, server_option, settings_for

if TYPE_CHECKING:
    from sleap_rtc.protocol.room_secrets import RoomSecret


@click.command(
    "create-secret",
    epilog="""\b
Examples:
  sleap-rtc room create-secret "Fly lab"
  sleap-rtc room create-secret r_abcdefgh --end-old
""",
)
@click.argument("room")
@end_old_option
@server_option
@json_option
def create_secret(room: str, end_old: bool, server: str | None, as_json: bool) -> None:
    """Make a secret for a room and keep it on this machine. It is shown this once.

    With a secret, members and workers trust nobody who does not have it, the
    service included. The service never sees it. Typed again, this makes a
    newer one: the old one is good for a day more, so that everybody can get the
    new one meanwhile.

    ROOM is an id or a name.
    """
    import os

    from sleap_rtc.cli.output import emit_json, say, warn
    from sleap_rtc.cli.room.secret_words import fate_of_old, find_secret_room, place_of
    from sleap_rtc.config.secret_lookup import VARIABLE, SecretLookup

    settings = settings_for(server=server)
    meant = find_secret_room(settings, room)
    lookup = SecretLookup(settings, os.environ.get(VARIABLE) or None)
    before = lookup.store.kept(settings.server, meant.room_id)
    secret, kept = lookup.make_newer(settings.server, meant.room_id, end_old=end_old, name=meant.name)
    if os.environ.get(VARIABLE):
        warn(f"{VARIABLE} is set and holds alone where it is set: unset it, or give it the new secret.")
    if as_json:
        emit_json(
            {"room_id": meant.room_id, "server": settings.server, "secret": secret.text, "epoch": secret.epoch}
            | {"in_keyring": kept.in_keyring}
        )
        return
    say(f"The room {meant} has a {'newer' if before else 'new'} secret, kept in {place_of(kept, lookup.store)}.")
    if before:
        say(fate_of_old(kept) or "The one before it has ended here.")
    _say_how_to_share(settings.server, meant.room_id, secret, end_old=end_old)


def _say_how_to_share(server: str, room: str, secret: "RoomSecret", *, end_old: bool) -> None:
    from sleap_rtc.cli.output import say
    from sleap_rtc.cli.room.secret_words import NO_WAY_BACK
    from sleap_rtc.config.secret_lookup import VARIABLE
    from sleap_rtc.config.servers import server_words

    words = server_words(server)
    say("It is shown this once:")
    say()
    say(f"  {secret.text}")
    say()
    say("Give it to the room's members and workers, but not by way of the service: tell")
    say("it in person, or use a password manager or a message that you trust. Each")
    say("types this once on their machine, and pastes it:")
    say()
    say(f"  sleap-rtc room set-secret{words} {room}{' --end-old' if end_old else ''}")
    say()
    say("Where a worker is started by a script, the environment can hold it:")
    say()
    say(f"  read -rs {VARIABLE} && export {VARIABLE}")
    say(f"  sleap-rtc worker{words}")
    say()
    say(NO_WAY_BACK)
