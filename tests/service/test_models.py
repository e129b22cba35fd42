"""What a room calls its models: versions, aliases, what is deleted, and who may do it."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from signaling_server.housekeeping import clean_up
from signaling_server.models import RoomModel
from sleap_rtc.errors import ConflictError, ForbiddenError, NotFoundError, UsageError
from sleap_rtc.signaling.model_records import RoomModelRecord
from tests.protocol.test_reports import model
from tests.service.peers import Peer, browser, worker
from tests.service.people import DAY, Clock, Person, join, leave, person
from tests.service.test_reports import ONE, TWO, Lab, hold, lab, lab_with

__all__ = ["lab"]


def digest(number: int) -> str:
    return f"{number:064x}"


def onnx_of(number: int, own: int = 1000) -> dict[str, Any]:
    return model(own + number, format="onnx", source=digest(number))


async def told(lab: Lab, *models: dict[str, Any]) -> None:
    """Let a worker tell of these models; it is away afterwards."""
    async with worker(lab.service, lab.token, ONE) as gpu:
        assert (await hold(gpu, *models))["stored"] == len(models)


async def the_models(lab: Lab, somebody: Person | None = None) -> list[RoomModelRecord]:
    return await (somebody or lab.owner).api.models(lab.room.room_id)


async def register(lab: Lab, name: str, number: int, somebody: Person | None = None) -> int:
    api = (somebody or lab.owner).api
    return (await api.register_model(lab.room.room_id, name, digest(number))).version


async def log(lab: Lab) -> list[tuple[str, str, str, str]]:
    page = await lab.owner.api.log(lab.room.room_id)
    lines = [(each.actor, each.action, each.subject, each.detail) for each in reversed(page.events)]
    return [line for line in lines if line[1].startswith("model_")]


async def test_a_model_that_has_no_name_is_listed_to_every_member(lab: Lab) -> None:
    bob = await person(lab.service, "bob")
    await join(lab.service, bob, lab.room)
    facts = {"types": ["centroid", "centered_instance"], "loss": 0.25, "sleap_nn": "0.1", "made_by": "Alice"}
    made = model(1, facts=facts | {"parent": digest(9)}, job="j_12345678", user=lab.owner.user_id, size=7)
    async with lab.workers() as (gpu, other):
        await hold(gpu, made, onnx_of(1))
        await hold(other, made)
        (found,) = await the_models(lab, bob)
        assert (found.digest, found.title, found.size, found.job_id) == (digest(1), "centroid-1", 7, "j_12345678")
        assert (found.types, found.loss, found.parent) == (("centroid", "centered_instance"), 0.25, digest(9))
        assert (found.user_id, found.names, found.formats) == (lab.owner.user_id, (), ("onnx", "sleap-nn"))
        held = {each.worker_id: {it.format: it.digest for it in each.formats} for each in found.holders}
        assert held == {
            ONE.worker_id: {"sleap-nn": digest(1), "onnx": digest(1001)},
            TWO.worker_id: {"sleap-nn": digest(1)},
        }
        assert all(each.online for each in found.holders)
    assert not any(each.online for each in (await the_models(lab))[0].holders)


async def test_what_is_said_of_a_bundle_is_kept_as_it_was_said_first(lab: Lab) -> None:
    async with lab.workers() as (gpu, other):
        await hold(gpu, model(1, user=lab.owner.user_id))
        await hold(other, model(1, user="u_mallory12", title="mine", facts={"loss": 0.0}))
        (found,) = await the_models(lab)
        assert (found.user_id, found.title, found.loss) == (lab.owner.user_id, "centroid-1", None)


async def test_versions_are_counted_up_and_the_same_model_stays_the_same_version(lab: Lab) -> None:
    await told(lab, model(1), model(2), model(3))
    assert [await register(lab, "fly", number) for number in (1, 2, 1, 3, 2)] == [1, 2, 1, 3, 2]
    assert await register(lab, "mouse", 1) == 1
    line = await lab.owner.api.model(lab.room.room_id, "fly")
    assert [each.digest for each in line.versions] == [digest(3), digest(2), digest(1)]
    assert {named.ref for named in line.versions[2].names} == {"fly@1", "mouse@1"}
    assert line.aliases == {}
    async with browser(lab.service) as client:
        headers = {"Authorization": f"Bearer {await lab.owner.fresh_token()}"}
        path = f"/api/v1/rooms/{lab.room.room_id}/models"
        answers = [
            (await client.post(path, headers=headers, json={"name": name, "digest": digest(3)})).status_code
            for name in ("fly", "worm")
        ]
    assert answers == [200, 201]


async def test_fifty_at_once_get_fifty_numbers(lab: Lab) -> None:
    await told(lab, *(model(number) for number in range(25)))
    async with asyncio.TaskGroup() as group:  # each model twice
        asked = [(n % 25, group.create_task(register(lab, "fly", n % 25))) for n in range(50)]
    versions = {(number, task.result()) for number, task in asked}
    assert len(versions) == 25
    assert sorted(version for _, version in versions) == list(range(1, 26))


async def test_only_what_a_worker_told_of_gets_a_name(lab: Lab) -> None:
    other = await lab.owner.room("other")
    await told(lab, model(1))
    with pytest.raises(NotFoundError, match="No worker of this room has told of such a model"):
        await register(lab, "fly", 2)
    with pytest.raises(NotFoundError, match="No worker of this room"):
        await lab.owner.api.register_model(other.room_id, "fly", digest(1))
    assert await lab.owner.api.models(other.room_id) == []


async def test_names_that_would_be_mistaken_for_another_are_refused(lab: Lab) -> None:
    await told(lab, model(1), model(2))
    await register(lab, "Fly", 1)
    with pytest.raises(ConflictError, match="calls a model 'Fly': 'fly' would be mistaken for it"):
        await register(lab, "fly", 2)
    with pytest.raises(UsageError, match="cannot begin with j_"):
        await register(lab, "j_12345678", 2)
    for name in ("fl\u0443", "fly\u200b", "../fly", "", "fly@2", "x" * 65):
        with pytest.raises(UsageError, match="wrong value"):
            await register(lab, name, 2)
        with pytest.raises(NotFoundError):
            await lab.owner.api.model(lab.room.room_id, name)


async def test_an_alias_moves_and_says_where_it_was(lab: Lab) -> None:
    api, room = lab.owner.api, lab.room.room_id
    await told(lab, model(1), model(2))
    await register(lab, "fly", 1)
    await register(lab, "fly", 2)
    assert (await api.move_alias(room, "fly", "production", 1)).was is None
    assert (await api.move_alias(room, "fly", "production", 1)).was == 1
    assert (await api.move_alias(room, "fly", "production", 2, expected=1)).was == 1
    with pytest.raises(ConflictError, match="fly@production is fly@2 by now"):
        await api.move_alias(room, "fly", "production", 1, expected=1)
    with pytest.raises(ConflictError, match="fly@old is not there by now"):
        await api.move_alias(room, "fly", "old", 1, expected=1)
    with pytest.raises(NotFoundError, match="no model with this name and version"):
        await api.move_alias(room, "fly", "production", 3)
    line = await api.model(room, "fly")
    assert line.aliases == {"production": 2}
    assert [each.names[0].aliases for each in line.versions] == [("production",), ()]
    await api.remove_alias(room, "fly", "production")
    assert (await api.model(room, "fly")).aliases == {}
    with pytest.raises(NotFoundError, match="no model with this name and alias"):
        await api.remove_alias(room, "fly", "production")
    assert await log(lab) == [
        ("ada", "model_registered", "fly@1", ""),
        ("ada", "model_registered", "fly@2", ""),
        ("ada", "model_promoted", "fly@1", "as production"),
        ("ada", "model_promoted", "fly@2", "as production, was fly@1"),
        ("ada", "model_promoted", "fly@2", "not as production now"),
    ]


async def test_of_many_who_move_an_alias_from_one_place_one_succeeds(lab: Lab) -> None:
    await told(lab, *(model(number) for number in range(6)))
    for number in range(6):
        await register(lab, "fly", number)
    await lab.owner.api.move_alias(lab.room.room_id, "fly", "production", 1)

    async def move(version: int) -> bool:
        try:
            await lab.owner.api.move_alias(lab.room.room_id, "fly", "production", version, expected=1)
        except ConflictError:
            return False
        return True

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(move(version)) for version in range(2, 7)]
    assert Counter(task.result() for task in tasks) == {True: 1, False: 4}


async def test_who_made_a_model_and_who_owns_the_room_may_delete_it(lab: Lab) -> None:
    bob, carol = await person(lab.service, "bob"), await person(lab.service, "carol")
    for somebody in (bob, carol):
        await join(lab.service, somebody, lab.room)
    await told(lab, *(model(number, user=bob.user_id) for number in (1, 2, 3)))
    for number in (1, 2, 3):
        await register(lab, "fly", number, carol)  # who gave the name may not delete what is somebody else's
    room = lab.room.room_id
    with pytest.raises(ForbiddenError, match="Only who trained or pushed a model"):
        await carol.api.delete_version(room, "fly", 1)
    await bob.api.delete_version(room, "fly", 1)
    await lab.owner.api.delete_version(room, "fly", 2)
    await leave(lab.service, bob, lab.room)
    with pytest.raises(NotFoundError, match="no such room"):
        await bob.api.delete_version(room, "fly", 3)
    assert [each.names[0].version for each in (await carol.api.model(room, "fly")).versions] == [3]
    assert (await log(lab))[-2:] == [("bob", "model_deleted", "fly@1", ""), ("ada", "model_deleted", "fly@2", "")]


async def test_a_number_that_was_deleted_is_never_given_again(lab: Lab) -> None:
    room, api = lab.room.room_id, lab.owner.api
    await told(lab, *(model(number) for number in range(1, 5)))
    assert [await register(lab, "fly", number) for number in (1, 2)] == [1, 2]
    for version in (1, 2):
        await api.delete_version(room, "fly", version)
    with pytest.raises(NotFoundError, match="no model of that name"):
        await api.model(room, "fly")
    assert await register(lab, "fly", 3) == 3
    with pytest.raises(NotFoundError, match="fly@2 was deleted"):
        await api.move_alias(room, "fly", "production", 2)
    with pytest.raises(NotFoundError, match="fly@2 was deleted"):
        await api.delete_version(room, "fly", 2)
    with pytest.raises(ConflictError, match="was deleted from this room"):
        await register(lab, "fly", 1)


async def test_a_version_with_an_alias_stays_until_the_alias_is_elsewhere(lab: Lab) -> None:
    room, api = lab.room.room_id, lab.owner.api
    await told(lab, model(1), model(2))
    for number in (1, 2):
        await register(lab, "fly", number)
    await api.move_alias(room, "fly", "production", 1)
    with pytest.raises(ConflictError, match="fly@1 is fly@production"):
        await api.delete_version(room, "fly", 1)
    await api.move_alias(room, "fly", "production", 2)
    await api.delete_version(room, "fly", 1)
    assert [each.digest for each in await the_models(lab)] == [digest(2)]


async def test_a_model_with_another_name_is_not_deleted_with_one(lab: Lab) -> None:
    room, api = lab.room.room_id, lab.owner.api
    await told(lab, model(1))
    await register(lab, "fly", 1)
    await register(lab, "mouse", 1)
    await api.delete_version(room, "fly", 1)
    with pytest.raises(ConflictError, match="The model is mouse@1"):
        await api.delete_model(room, digest(1))
    async with worker(lab.service, lab.token, ONE) as gpu:
        assert (await hold(gpu, model(1)))["unwanted"] == []
        await api.delete_version(room, "mouse", 1)
        assert (await gpu.hear())["unwanted"] == [digest(1)]
        assert await the_models(lab) == []
        answer = await hold(gpu, model(1), onnx_of(1), model(2))
        assert (answer["stored"], set(answer["unwanted"])) == (1, {digest(1), digest(1001)})
    assert [each.digest for each in await the_models(lab)] == [digest(2)]


async def test_a_model_without_a_name_is_deleted_by_its_digest(lab: Lab) -> None:
    room, api = lab.room.room_id, lab.owner.api
    await told(lab, model(1, job="j_12345678"))
    with pytest.raises(NotFoundError, match="No worker of this room"):
        await api.delete_model(room, digest(2))
    await api.delete_model(room, digest(1))
    assert await the_models(lab) == []
    with pytest.raises(NotFoundError, match="No worker of this room"):
        await api.delete_model(room, digest(1))
    assert await log(lab) == [("ada", "model_deleted", "j_12345678", "centroid-1")]


async def test_the_workers_that_have_a_deleted_model_are_told_at_once(lab: Lab) -> None:
    async with lab.workers() as (gpu, other):
        await hold(gpu, model(1), onnx_of(1))
        await hold(other, model(2))
        await register(lab, "fly", 1)
        await register(lab, "mouse", 1)
        await lab.owner.api.delete_version(lab.room.room_id, "mouse", 1)
        assert await gpu.silent()
        await lab.owner.api.delete_version(lab.room.room_id, "fly", 1)
        said = await gpu.hear()
        assert (said["type"], said["unwanted"], "re" in said) == ("reported", [digest(1)], False)
        await lab.owner.api.delete_model(lab.room.room_id, digest(2))
        assert (await other.hear())["unwanted"] == [digest(2)]
        assert await gpu.silent()


async def test_a_version_stays_known_when_its_holder_is_forgotten(tmp_path: Path) -> None:
    async with lab_with(tmp_path, summary_days=5) as lab:
        clock = Clock(lab.service)
        await told(lab, model(1, facts={"loss": 0.5}), model(2))
        await register(lab, "fly", 1)
        clock.now += 6 * DAY
        await clean_up(lab.service.service)
        (found,) = await the_models(lab)
        assert (found.names[0].ref, found.loss, found.holders, found.formats) == ("fly@1", 0.5, (), ())
        assert await register(lab, "mouse", 1) == 1
        assert (await lab.owner.api.room(lab.room.room_id)).models == 1


async def test_a_worker_names_what_it_has_told_of_for_who_made_it(lab: Lab) -> None:
    bob = await person(lab.service, "bob")
    await join(lab.service, bob, lab.room)
    async with lab.workers() as (gpu, other):
        await hold(gpu, model(1, user=bob.user_id))
        assert await named(gpu, 1) == {"type": "model_registered", "re": 5, "name": "fly", "version": 1}
        assert (await named(gpu, 1))["version"] == 1
        assert (await named(other, 1))["error"]["code"] == "not_found"
        assert (await named(gpu, 2))["error"]["code"] == "not_found"
        assert (await named(gpu, 1, name="FLY"))["error"]["code"] == "conflict"
    (found,) = await the_models(lab)
    assert [(each.ref, each.created_by) for each in found.names] == [("fly@1", "bob")]
    # that it was bob who wanted it is what the worker says
    assert await log(lab) == [("lab-gpu-1", "model_registered", "fly@1", "for bob")]


async def named(gpu: Peer, number: int, name: str = "fly") -> dict[str, Any]:
    return await gpu.ask("register_model", id=5, name=name, digest=digest(number))


async def test_names_versions_aliases_and_deletions_have_bounds(tmp_path: Path) -> None:
    limits = {"model_names_per_room": 2, "versions_per_model": 2, "aliases_per_model": 1, "deleted_models_per_room": 1}
    async with lab_with(tmp_path, limits=limits) as lab:
        room, api = lab.room.room_id, lab.owner.api
        await told(lab, *(model(number) for number in range(1, 6)))
        await register(lab, "fly", 1)
        await register(lab, "mouse", 1)
        with pytest.raises(ConflictError, match="given 2 names to models"):
            await register(lab, "worm", 1)
        assert await register(lab, "fly", 2) == 2
        with pytest.raises(ConflictError, match="'fly' has 2 versions"):
            await register(lab, "fly", 3)
        await api.move_alias(room, "fly", "production", 2)
        with pytest.raises(ConflictError, match="'fly' has 1 aliases"):
            await api.move_alias(room, "fly", "best", 1)
        for number in (3, 4):
            await api.delete_model(room, digest(number))
        async with worker(lab.service, lab.token, ONE) as gpu:
            answer = await hold(gpu, model(3), model(4))
        assert answer["unwanted"] == [digest(4)]


async def test_what_nobody_has_and_no_name_means_leaves_no_row(lab: Lab) -> None:
    async with worker(lab.service, lab.token, ONE) as gpu:
        for number in range(5):
            await hold(gpu, model(number))
    async with lab.service.service.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(RoomModel)) == 1


async def test_pages_of_models_hold_each_of_them_once(lab: Lab) -> None:
    await told(lab, *(model(number, made=1 + number % 3) for number in range(7)))
    whole = [each["digest"] for each in (await lab.ask("models")).json()["models"]]
    found: list[str] = []
    query: dict[str, Any] = {"limit": "2"}
    while True:
        page = (await lab.ask("models", **query)).json()
        found += [each["digest"] for each in page["models"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert found == whole
    assert len(set(found)) == 7
