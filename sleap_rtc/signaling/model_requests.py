"""Requests about a room's models and what it calls them."""

import re

from pydantic import TypeAdapter, ValidationError

from sleap_rtc.errors import NotFoundError, UsageError
from sleap_rtc.protocol.models import Alias, ModelName
from sleap_rtc.protocol.text import printable
from sleap_rtc.signaling.model_records import ModelLine, MovedAlias, RegisteredModel, RoomModelPage, RoomModelRecord
from sleap_rtc.signaling.requests import Query, Requests, of_room
from sleap_rtc.signaling.summary_requests import MOST_LISTED, PAGE

_NAME: TypeAdapter[str] = TypeAdapter(ModelName)
_ALIAS: TypeAdapter[str] = TypeAdapter(Alias)
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ModelRequests(Requests):
    """Models of a room: listed, named, promoted, deleted."""

    async def models(self, room_id: str) -> list[RoomModelRecord]:
        """The models of a room, with a name or without, the newest first.

        Raises:
            SleapRTCError: as `room` does.
        """
        found: list[RoomModelRecord] = []
        page = await self._model_page(room_id, [])
        while page.next is not None and page.models and len(found) < MOST_LISTED:
            found += page.models
            page = await self._model_page(room_id, [("before", page.next)])
        return [*found, *page.models]

    async def model(self, room_id: str, name: str) -> ModelLine:
        """All that the room has under one name.

        Raises:
            NotFoundError: if the room has no model of that name, or this user is not in the room.
            SleapRTCError: as `room` does.
        """
        return await self._request("GET", _of_name(room_id, name), ModelLine)

    async def register_model(self, room_id: str, name: str, digest: str) -> RegisteredModel:
        """Give a model a name: it becomes the next version of it, or is the one that it was already.

        Args:
            room_id: the room.
            name: what to call it.
            digest: of its bundle, which some worker of the room has told of.

        Raises:
            NotFoundError: if no worker of the room has told of it.
            ConflictError: if a name looks like another, was deleted, or there are too many.
            UsageError: if the name is refused.
            SleapRTCError: as `room` does.
        """
        body = {"name": name, "digest": digest}
        return await self._request("POST", of_room(room_id) + "/models", RegisteredModel, body)

    async def move_alias(
        self, room_id: str, name: str, alias: str, version: int, expected: int | None = None
    ) -> MovedAlias:
        """Let an alias of a name point to another version; one that is not there yet is made.

        Args:
            room_id: the room.
            name: the model's name.
            alias: the alias.
            version: where it shall point.
            expected: where it is thought to point now; it is not looked at without this.

        Raises:
            NotFoundError: if there is no such version.
            ConflictError: if it points elsewhere than expected, or there are too many aliases.
            SleapRTCError: as `room` does.
        """
        body = {"version": version} if expected is None else {"version": version, "expected": expected}
        return await self._request("PUT", _of_alias(room_id, name, alias), MovedAlias, body)

    async def remove_alias(self, room_id: str, name: str, alias: str) -> None:
        """Take an alias away; the version that it pointed to stays.

        Raises:
            NotFoundError: if there is no such alias.
            SleapRTCError: as `room` does.
        """
        await self._request("DELETE", _of_alias(room_id, name, alias), type(None))

    async def delete_version(self, room_id: str, name: str, version: int) -> None:
        """Delete a version; its model, too, unless it has another name.

        Raises:
            ForbiddenError: if this user neither made the model nor owns the room.
            NotFoundError: if there is no such version.
            ConflictError: if an alias points to it.
            SleapRTCError: as `room` does.
        """
        await self._request("DELETE", f"{_of_name(room_id, name)}/versions/{int(version)}", type(None))

    async def delete_model(self, room_id: str, digest: str) -> None:
        """Delete a model that has no name.

        Raises:
            ForbiddenError: if this user neither made the model nor owns the room.
            NotFoundError: if the room has no such model.
            ConflictError: if it has a name.
            SleapRTCError: as `room` does.
        """
        if not _DIGEST.fullmatch(digest):
            raise NotFoundError("That is no model's digest: it has 64 hexadecimal digits.")
        await self._request("DELETE", f"{of_room(room_id)}/models/digests/{digest}", type(None))

    async def _model_page(self, room_id: str, query: Query) -> RoomModelPage:
        return await self._request("GET", of_room(room_id) + "/models", RoomModelPage, query=[*query, ("limit", PAGE)])


def _of_name(room_id: str, name: str) -> str:
    # checked here as well: what is no name must not become another path
    try:
        return f"{of_room(room_id)}/models/{_NAME.validate_python(name)}"
    except ValidationError as error:
        raise NotFoundError(
            f"'{printable(name, limit=80)}' cannot be a model's name: that is up to 64 letters, digits, '.', '_' and "
            "'-', the first a letter or a digit."
        ) from error


def _of_alias(room_id: str, name: str, alias: str) -> str:
    try:
        return f"{_of_name(room_id, name)}/aliases/{_ALIAS.validate_python(alias)}"
    except ValidationError as error:
        raise UsageError(
            f"'{printable(alias, limit=80)}' cannot be an alias: that is up to 32 letters, digits, '.', '_' and '-', "
            "the first a letter."
        ) from error
