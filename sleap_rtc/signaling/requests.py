"""What the requests of every topic are made of."""

from abc import ABC, abstractmethod
from typing import Any, TypeVar

from sleap_rtc.errors import NotFoundError
from sleap_rtc.protocol.ids import is_id
from sleap_rtc.protocol.text import printable
from sleap_rtc.signaling.address import API

Answer = TypeVar("Answer")
Query = list[tuple[str, str | int | float | bool | None]]


class Requests(ABC):
    """Requests of one topic, which `ServiceAPI` puts together and sends."""

    @abstractmethod
    async def _request(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        body: dict[str, Any] | None = None,
        *,
        query: Query | None = None,
    ) -> Answer: ...


def of_room(room_id: str) -> str:
    """The path of a room. It is checked here as well: what is no id must not become another path.

    Raises:
        NotFoundError: if that is no room's id.
    """
    if not is_id("room", room_id):
        raise NotFoundError(f"'{printable(room_id, limit=40)}' is no room's id: it begins with r_.")
    return f"{API}/rooms/{room_id}"


def no_id(text: str, what: str, prefix: str) -> NotFoundError:
    """The error for a text that is not the id it ought to be."""
    return NotFoundError(f"'{printable(text, limit=40)}' is no {what}'s id: it begins with {prefix}.")
