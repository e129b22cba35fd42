"""Which token a user means."""

from collections.abc import Sequence

from sleap_rtc.errors import NotFoundError, UsageError
from sleap_rtc.protocol.tokens import redact
from sleap_rtc.signaling.api import TokenInfo


def find_token(tokens: Sequence[TokenInfo], text: str, room: str) -> TokenInfo:
    """The token a user means by an id, a name, its first characters, or the token itself.

    Raises:
        NotFoundError: if the room has none that can be used still.
        UsageError: if several are meant.
    """
    alive = [token for token in tokens if token.state == "active"]
    for known in (alive, tokens):
        meant = [token for token in known if text in (token.token_id, token.name) or text.startswith(token.display)]
        if len(meant) > 1 and known is alive:
            listed = ", ".join(f"{token.token_id} ({token.display}…)" for token in meant)
            raise UsageError(f"Several tokens of the room '{room}' are meant: {listed}. Give the id of one.")
        if meant and known is alive:
            return meant[0]
        if meant:
            raise NotFoundError(f"The token '{meant[0].name}' of the room '{room}' is {meant[0].state} already.")
    raise NotFoundError(f"The room '{room}' has no token called '{redact(text)}'. See them: sleap-rtc token list")
