"""How commands about users tell what they did."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signaling_server.operating import Invited


def show_link(invited: "Invited", done: str, *, public_url: str | None, as_json: bool) -> None:
    """Print the link by which somebody chooses a password, this once.

    Args:
        invited: who, and the link.
        done: what was done, as a sentence.
        public_url: the setting; without it the link's address may not be the service's.
        as_json: for a script.
    """
    from sleap_rtc.cli.output import emit_json, note, say
    from sleap_rtc.cli.times import format_expiry
    from sleap_rtc.config.clock import utc_ms

    if as_json:
        emit_json(
            {"user": invited.user_id, "name": invited.name, "link": invited.link, "expires_at": invited.expires_at}
        )
        return
    say(done)
    say(f"Give them this link to choose a password. It works once; {format_expiry(invited.expires_at, utc_ms())}.")
    say()
    say(f"  {invited.link}")
    if public_url is None:
        note()
        note("If browsers reach the service at another address, put that in the link, or set public_url.")
