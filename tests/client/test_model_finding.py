"""Which model of a room is meant, from what a service lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from sleap_rtc.client.model_finding import find_model
from sleap_rtc.errors import NotFoundError, SleapRTCError, UnreachableError, UsageError
from sleap_rtc.protocol.inference import RoomModel
from sleap_rtc.protocol.models import ModelRef

DIGEST = {number: f"{number:064x}" for number in range(9)}


@dataclass(frozen=True)
class Name:
    name: str
    version: int


@dataclass(frozen=True)
class Holder:
    worker_name: str
    online: bool


@dataclass(frozen=True)
class Line:
    digest: str
    names: Sequence[Name] = ()
    holders: Sequence[Holder] = (Holder("gpu-1", online=True),)
    job_id: str | None = None


@dataclass(frozen=True)
class OneName:
    versions: Sequence[Line]
    aliases: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """What a service would answer."""

    lines: Sequence[Line]
    aliases: Mapping[str, int] = field(default_factory=dict)

    async def models(self, room_id: str) -> Sequence[Line]:
        return self.lines

    async def model(self, room_id: str, name: str) -> OneName:
        versions = [line for line in self.lines if any(each.name == name for each in line.names)]
        if not versions:
            raise NotFoundError("There is no such model.")
        return OneName(versions, self.aliases)


AWAY = (Holder("gpu-2", online=False), Holder("gpu-1", online=False))
SERVICE = Service(
    [
        Line(DIGEST[4], [Name("fly", 4)], AWAY),
        Line(DIGEST[3], [Name("fly", 3), Name("mouse", 1)], job_id="j_33333333aa"),
        Line(DIGEST[2], [Name("fly", 2)], ()),
        Line(DIGEST[1], job_id="j_1111111111"),
        Line(DIGEST[0], job_id="j_1111111111"),
        Line(DIGEST[5], job_id="j_1111111122"),
    ],
    {"production": 3, "gone": 7},
)


async def find(text: str, service: Service = SERVICE) -> RoomModel:
    return await find_model(service, "r_12345678", ModelRef.parse(text), "lab")


async def refused(text: str, error: type[SleapRTCError], service: Service = SERVICE) -> str:
    with pytest.raises(error) as caught:
        await find(text, service)
    return caught.value.sentence


async def test_names_versions_aliases_and_jobs_lead_to_one_bundle() -> None:
    assert await find("fly@3") == RoomModel(digest=DIGEST[3], name="fly", version=3)
    assert await find("fly@production") == RoomModel(digest=DIGEST[3], name="fly", version=3)
    assert await find("mouse") == RoomModel(digest=DIGEST[3], name="mouse", version=1)
    assert await find("j_33333333") == RoomModel(digest=DIGEST[3])
    # resumed once: the newest is listed first
    assert await find("j_1111111111") == RoomModel(digest=DIGEST[1])


async def test_what_there_is_not_is_said_with_what_there_is() -> None:
    assert "Did you mean fly?" in await refused("flyy", NotFoundError)
    assert "It has: fly, mouse." in await refused("zebrafish", NotFoundError)
    assert "No model of it has a name yet" in await refused("fly", NotFoundError, Service([]))
    assert "has no version 9. There are: @2, @3, @4." in await refused("fly@9", NotFoundError)
    assert "Aliases: gone (@7), production (@3)." in await refused("fly@best", NotFoundError)
    assert "has no version 7" in await refused("fly@gone", NotFoundError)
    assert "knows no model that the job" in await refused("j_99999999", NotFoundError)
    assert "j_1111111111, j_1111111122" in await refused("j_11111111", UsageError)


async def test_a_model_whose_holders_are_away_says_who_they_are() -> None:
    assert await refused("fly", UnreachableError) == (
        "The model fly@4 is on gpu-1, gpu-2, which is not online. Try again when it is back."
    )
    assert "has the model fly@2 any more" in await refused("fly@2", UnreachableError)
