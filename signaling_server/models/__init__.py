"""The tables. Times are UTC milliseconds; secrets are there only as hashes under the pepper."""

from signaling_server.models.base import Base
from signaling_server.models.logins import AccessToken, DeviceCode, Login, ProviderVisit, RefreshToken
from signaling_server.models.registry import (
    JobSummary,
    ModelAlias,
    ModelHolding,
    RoomModel,
    RoomModelName,
    RoomModelVersion,
)
from signaling_server.models.rooms import Invite, Membership, Room, RoomEvent
from signaling_server.models.tokens import Token
from signaling_server.models.users import Enrolment, LocalAccount, User

__all__ = [
    "AccessToken",
    "Base",
    "DeviceCode",
    "Enrolment",
    "Invite",
    "JobSummary",
    "LocalAccount",
    "Login",
    "Membership",
    "ModelAlias",
    "ModelHolding",
    "ProviderVisit",
    "RefreshToken",
    "Room",
    "RoomEvent",
    "RoomModel",
    "RoomModelName",
    "RoomModelVersion",
    "Token",
    "User",
]
