"""The room and the model that a command about models means."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sleap_rtc.cli.account import logged_in_api, meant_room
from sleap_rtc.cli.options import settings_for
from sleap_rtc.protocol.models import ModelRef
from sleap_rtc.signaling.model_finding import MeantModel, find_model

if TYPE_CHECKING:
    from sleap_rtc.signaling.api import Room, ServiceAPI


@dataclass(frozen=True)
class Place:
    """A room, and the service that knows it, asked with the user's login."""

    api: "ServiceAPI"
    room: "Room"

    async def find(self, text: str) -> MeantModel:
        """The model that a user means.

        Raises:
            UsageError: if that is no reference to a model, or one to several.
            NotFoundError: if the room has no such model.
        """
        return await find_model(self.api, self.room.room_id, ModelRef.parse(text))


async def meant_place(room: str | None, server: str | None) -> Place:
    """The room whose models are meant: by id or name, else the default room.

    Raises:
        AuthenticationError: if nobody is logged in.
        UsageError: if no room was typed and there is no default one.
        NotFoundError: if the user belongs to no such room.
    """
    settings = settings_for(server=server)
    api = logged_in_api(settings)
    return Place(api, await meant_room(api, settings, room))
