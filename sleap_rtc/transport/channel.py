"""The seam between engines and everything above them: a peer connection with one message channel."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from types import TracebackType
from typing import ClassVar, Self

from sleap_rtc.protocol.sdp import Candidate
from sleap_rtc.transport.paths import NetworkPath


class Channel(ABC):
    """An ordered, reliable stream of text and binary messages to one peer."""

    max_message_size: int = 64 * 1024
    """Bytes of the largest message that this side takes or sends."""

    @abstractmethod
    async def send(self, data: str | bytes) -> None:
        """Queue a message, waiting until the queue is short enough to take it.

        Raises:
            ProtocolError: if it is larger than `max_message_size`.
            ConnectionLost: if the channel ended.
        """

    @abstractmethod
    async def receive(self) -> str | bytes:
        """Wait for the next message, in the order sent.

        Raises:
            ConnectionLost: once nothing more can arrive, and at every later call.
        """

    @abstractmethod
    async def close(self) -> None:
        """End the channel and its connection; what is queued may be dropped. Again does nothing."""


class Peer(ABC):
    """One connection to another peer, with one channel that both sides know beforehand (negotiated, id 0).

    One side offers (`create_offer`, `accept_answer`), one answers (`accept_offer`); both pass on `candidates`.
    """

    engine: ClassVar[str]
    channel: Channel

    @property
    @abstractmethod
    def local_fingerprint(self) -> bytes:
        """SHA-256 of our certificate, from the description we sent."""

    @property
    @abstractmethod
    def remote_fingerprint(self) -> bytes:
        """SHA-256 of the other side's certificate, from the description given to the engine."""

    @abstractmethod
    async def create_offer(self) -> str:
        """Our description, for the side that offers."""

    @abstractmethod
    async def accept_offer(self, sdp: str) -> str:
        """Our answer to a description; `ProtocolError` if that one is refused."""

    @abstractmethod
    async def accept_answer(self, sdp: str) -> None:
        """Take the answer to our offer; `ProtocolError` if it is refused."""

    @abstractmethod
    async def add_candidate(self, candidate: Candidate) -> None:
        """Take a candidate the other side sent; unusable ones are dropped, `ProtocolError` if it is none."""

    @abstractmethod
    def candidates(self) -> AsyncIterator[Candidate]:
        """Our candidates that are not in our description; ends when all are known or the peer is closed."""

    @abstractmethod
    async def wait_open(self) -> Channel:
        """Wait until messages can pass; `UnreachableError` if that fails or takes too long."""

    @abstractmethod
    async def path(self) -> NetworkPath | None:
        """Which way the connection goes just now; None while there is none."""

    @abstractmethod
    def no_way(self, seconds: float | None = None) -> str:
        """Why no connection came about, within this time if it was waited for, as sentences."""

    @abstractmethod
    async def close(self) -> None:
        """End the connection, within a bound of time. Calling it again does nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
