"""Where a connection's credential comes from: one text for ever, or something that renews it."""

from typing import Protocol


class TokenSource(Protocol):
    """Gives the credential to use now. Asked at each connection and each request."""

    async def token(self) -> str:
        """The credential to use now.

        Raises:
            AuthenticationError: if there is none any more.
            UnreachableError: if it has to be renewed, and the service cannot be reached for that.
        """

    async def renewed(self, refused: str, *, connected: bool) -> str | None:
        """Another credential in the place of one that the service refused; None if there is no other.

        Args:
            refused: the credential that the service does not accept, or accepts no longer.
            connected: whether it had let a connection in, which has just been ended for it.

        Raises:
            SleapRTCError: as `token` does.
        """


class FixedToken:
    """A credential that nothing can renew, such as a room's.

    Args:
        text: the credential.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    async def token(self) -> str:
        """See `TokenSource.token`."""
        return self._text

    async def renewed(self, refused: str, *, connected: bool) -> str | None:
        """See `TokenSource.renewed`."""
        return None


def as_source(token: str | TokenSource) -> TokenSource:
    """A source of what is a credential, or a source already."""
    return FixedToken(token) if isinstance(token, str) else token
