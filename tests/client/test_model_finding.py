"""Which model of a room is meant, from what a service lists."""

from pathlib import Path

import pytest

from sleap_rtc.client.model_finding import find_model, of_job, of_name, unknown_name
from sleap_rtc.errors import NotFoundError, SleapRTCError, UnreachableError, UsageError
from sleap_rtc.protocol.models import ModelRef, RoomModel
from sleap_rtc.signaling.model_records import HeldFormat, Holder, ModelLine, NamedVersion, RoomModelRecord
from tests.protocol.test_reports import model as told
from tests.service.peers import worker
from tests.service.people import join, person
from tests.service.test_reports import ONE, hold, lab_with

DIGEST = {number: f"{number:064x}" for number in range(9)}
HERE = (Holder(worker_id="w_ABCDEFGHIJKLMNOPQRSTUVWXYZ", worker_name="gpu-1", online=True),)
AWAY = tuple(Holder(worker_id=f"w_{number * 26}", worker_name=f"gpu-{number}", online=False) for number in ("2", "3"))


def model(
    number: int, *names: tuple[str, int], holders: tuple[Holder, ...] = HERE, job: str | None = None
) -> RoomModelRecord:
    called = tuple(NamedVersion(name=name, version=version, created_at=0, created_by="ada") for name, version in names)
    return RoomModelRecord(
        digest=DIGEST[number], title="single", size=1, job_id=job, user_id=None, created_at=0, updated_at=0,
        names=called, holders=holders,
    )  # fmt: skip


MODELS = [
    model(4, ("fly", 4), holders=AWAY),
    model(3, ("fly", 3), ("mouse", 1), job="j_33333333aa"),
    model(2, ("fly", 2), holders=()),
    model(1, job="j_1111111111"),
    model(0, job="j_1111111111"),
    model(5, job="j_1111111122"),
]
ALIASES = {"production": 3, "gone": 7}


def find(text: str) -> RoomModel:
    ref = ModelRef.parse(text)
    if ref.job is not None:
        return of_job(MODELS, ref.job, "lab")
    versions = tuple(each for each in MODELS if each.version_of(ref.name))
    return of_name(ModelLine(versions=versions, aliases=ALIASES), ref, "lab")


def refused(text: str, error: type[SleapRTCError]) -> str:
    with pytest.raises(error) as caught:
        find(text)
    return caught.value.sentence


def test_names_versions_aliases_and_jobs_lead_to_one_bundle() -> None:
    assert find("fly@3") == RoomModel(digest=DIGEST[3], name="fly", version=3)
    assert find("fly@production") == RoomModel(digest=DIGEST[3], name="fly", version=3)
    assert find("mouse") == RoomModel(digest=DIGEST[3], name="mouse", version=1)
    assert find("j_33333333") == RoomModel(digest=DIGEST[3])
    # resumed once: the newest is listed first
    assert find("j_1111111111") == RoomModel(digest=DIGEST[1])


def test_what_there_is_not_is_said_with_what_there_is() -> None:
    assert "Did you mean fly?" in unknown_name(MODELS, "Flyy", "lab").sentence
    assert "It has: fly, mouse." in unknown_name(MODELS, "zebrafish", "lab").sentence
    assert "None of its models has a name yet." in unknown_name([], "fly", "lab").sentence
    assert "A folder here is given by its path." in unknown_name(MODELS, "Flyy", "lab").sentence
    assert "See: sleap-rtc models list" in unknown_name(MODELS, "Flyy", "lab", or_folder=False).sentence
    assert "has no version 9. There are: @2, @3, @4." in refused("fly@9", NotFoundError)
    assert "Aliases: gone (@7), production (@3)." in refused("fly@best", NotFoundError)
    assert "has no version 7" in refused("fly@gone", NotFoundError)
    assert "knows no model that the job" in refused("j_99999999", NotFoundError)
    assert "j_1111111111, j_1111111122" in refused("j_11111111", UsageError)


def test_a_model_whose_holders_are_away_says_who_they_are() -> None:
    assert refused("fly", UnreachableError) == (
        "The model fly@4 is on gpu-2, gpu-3, which is not online. Try again when it is back."
    )
    assert "has the model fly@2 any more" in refused("fly@2", UnreachableError)


def test_a_format_leads_to_its_own_files_where_they_can_be_had() -> None:
    def holder(letter: str, digest: str, *, online: bool) -> Holder:
        formats = (HeldFormat(format="sleap-nn", digest=DIGEST[6], size=1),)
        onnx = HeldFormat(format="onnx", digest=digest, size=1)
        return Holder(worker_id=f"w_{letter * 26}", worker_name=letter, online=online, formats=(*formats, onnx))

    here, away = holder("A", DIGEST[8], online=True), holder("B", DIGEST[7], online=False)

    def found(*holders: Holder, text: str = "bee") -> RoomModel:
        line = ModelLine(versions=(model(6, ("bee", 2), holders=holders),))
        return of_name(line, ModelRef.parse(text), "lab", "onnx")

    # each export has a digest of its own: the one that is online counts
    assert found(away, here) == RoomModel(digest=DIGEST[8], name="bee", version=2, format="onnx")
    with pytest.raises(UnreachableError, match="bee@2, as onnx, is on B"):
        found(away, HERE[0])
    with pytest.raises(NotFoundError, match="models export bee@2 --format onnx"):
        found(HERE[0])
    job = [model(6, holders=(here,), job="j_6666666666")]
    assert of_job(job, "j_66666666", "lab", "onnx") == RoomModel(digest=DIGEST[8], format="onnx")


async def test_a_real_service_tells_a_member_which_bundle_is_meant(tmp_path: Path) -> None:
    async with lab_with(tmp_path) as lab:
        bob = await person(lab.service, "bob")
        await join(lab.service, bob, lab.room)
        room, api = lab.room.room_id, bob.api

        async def find_there(text: str) -> RoomModel:
            return await find_model(api, room, ModelRef.parse(text), "lab")

        async with worker(lab.service, lab.token, ONE) as gpu:
            await hold(gpu, told(1, job="j_1111111111"), told(2))
            await api.register_model(room, "fly", DIGEST[1])
            await api.register_model(room, "fly", DIGEST[2])
            await api.move_alias(room, "fly", "production", 1)
            assert await find_there("fly@production") == RoomModel(digest=DIGEST[1], name="fly", version=1)
            assert await find_there("fly") == RoomModel(digest=DIGEST[2], name="fly", version=2)
            assert await find_there("j_11111111") == RoomModel(digest=DIGEST[1])
            await api.move_alias(room, "fly", "production", 2)
            assert (await find_there("fly@production")).version == 2
            with pytest.raises(NotFoundError, match=r"Did you mean fly\?"):
                await find_there("flyy")
            with pytest.raises(NotFoundError, match=r"There are: @1, @2\."):
                await find_there("fly@3")
        with pytest.raises(UnreachableError, match="which is not online"):
            await find_there("fly@1")
