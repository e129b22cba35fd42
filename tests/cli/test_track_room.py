"""``sleap-rtc track`` as it is typed, with a worker whose trainer pretends: what arrives, what comes home."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sleap_rtc.client.pending import PendingJobs
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.inference import DataInput, TrackOptions
from sleap_rtc.signaling.model_records import RoomModelRecord
from tests.cli.room_lab import RoomLab, room_lab
from tests.jobs.conftest import training_config

TRACK = ("track", "--room", "lab", "--auto-select")


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        make_model(found.folder / "fly")
        for name in ("clip.mp4", "videos/far.mp4"):
            (found.folder / name).parent.mkdir(exist_ok=True)
            (found.folder / name).write_bytes(b"a video " + name.encode())
        yield found


def make_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "best.ckpt").write_bytes(b"weights")
    (folder / "training_config.yaml").write_text(write_yaml(training_config()))
    return folder


def job_of(lab: RoomLab, worker: str = "large") -> JobFolder:
    (folder,) = [JobFolder(path) for path in lab.jobs_of(worker).glob("j_*")]
    return folder


async def test_predictions_come_home_under_the_users_name_and_the_command_finds_its_job(lab: RoomLab) -> None:
    async with lab.worker("large", 80):
        typed = ("-m", "fly", "-i", "clip.mp4", "-o", "out/fly.slp", "--frames", "0-9")
        sent = await lab.run(*TRACK, "--detach", *typed)
        assert sent.code == 0, sent.err
        assert "The folder 'fly' here is used" in sent.err
        folder = job_of(lab)
        assert folder.spec().options == TrackOptions(
            model_folders=("models/fly",), data=(DataInput(path="data/clip.mp4"),), frames="0-9"
        )
        assert {path.relative_to(folder.inputs).as_posix() for path in folder.inputs.rglob("*.*")} == {
            "models/fly/best.ckpt", "models/fly/training_config.yaml", "data/clip.mp4",
        }  # fmt: skip
        again = await lab.run(*TRACK, *typed)
        assert again.code == 0, again.err
        assert "going on with it" in again.err
        assert [path.name for path in (lab.folder / "out").iterdir()] == ["fly.slp"]
        assert f"Predictions in {Path('out/fly.slp')}" in again.out
        assert "1 input to look at (clip)" in again.out
        assert PendingJobs(lab.home / "pending").all() == []
        # it is home: the same words would overwrite it
        third = await lab.run(*TRACK, *typed)
        assert (third.code, "nothing is overwritten" in third.err) == (2, True)
        assert len(list(lab.jobs_of("large").glob("j_*"))) == 1


async def test_several_inputs_here_and_there_are_told_as_json(lab: RoomLab) -> None:
    mounts = Mounts({"lab": lab.folder / "videos"})
    async with lab.worker("large", 80, mounts=mounts):
        done = await lab.run(*TRACK, "-m", "./fly", "-i", "clip.mp4", "-i", "lab:/far.mp4", "-o", "home", "--json")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    started = [line for line in lines if line.get("type") == "run_started"]
    assert [(line["run"], line["index"], line["runs"], line["verb"]) for line in started] == [
        ("clip", 1, 2, "track"), ("far", 2, 2, "track"),
    ]  # fmt: skip
    frames = [line for line in lines if line.get("type") == "frames"]
    assert {line["run"] for line in frames} == {"clip", "far"}
    assert [Path(each).name for each in lines[-1]["files"]] == ["clip.predictions.slp", "far.predictions.slp"]
    assert sorted(path.name for path in (lab.folder / "home").iterdir()) == [
        "clip.predictions.slp", "far.predictions.slp",
    ]  # fmt: skip


async def test_the_commands_about_jobs_know_an_inference(lab: RoomLab) -> None:
    async with lab.worker("large", 80):
        sent = await lab.run(*TRACK, "--detach", "-m", "./fly", "-i", "clip.mp4")
        job = sent.out.splitlines()[-1]
        watched = await lab.run("jobs", "watch", job, "--no-fetch")
        assert watched.code == 0, watched.err
        assert "Its predictions are on the worker." in watched.err
        shown = await lab.run("jobs", "show", job)
        assert "clip.mp4" in shown.out
        assert "clip, " in next(line for line in shown.out.splitlines() if line.startswith("Last"))
        fetched = await lab.run("jobs", "fetch", job, "-o", "fetched")
        assert fetched.code == 0, fetched.err
        assert [path.name for path in (lab.folder / "fetched").iterdir()] == ["clip.predictions.slp"]
        assert (await lab.run("jobs", "fetch", job, "--room", "lab")).code == 0
        assert (lab.folder / "clip.predictions.slp").is_file()
    assert not (lab.folder / "models").exists()


async def test_what_a_job_trained_is_used_by_another_member_who_has_no_copy(lab: RoomLab) -> None:
    bob = await lab.user("bob")
    async with lab.worker("large", 80):
        trained = await lab.run("train", "--room", "lab", "--auto-select", "-p", str(lab.package()), "-o", "trained")
        assert trained.code == 0, trained.err
        (model,) = await listed(lab)
        await lab.api.register_model(lab.room.room_id, "fly", model.digest)
        await lab.api.move_alias(lab.room.room_id, "fly", "production", 1)
        typed = ("-m", "fly@production", "-i", "clip.mp4", "-o", "bobs.slp")
        done = await lab.run(*TRACK, *typed, user=bob)
        assert done.code == 0, done.err
        assert "fly@production is fly@1." in done.err
        assert (lab.folder / "bobs.slp").is_file()
        unknown = await lab.run(*TRACK, "-m", "flyy", "-i", "clip.mp4", user=bob)
        assert (unknown.code, "Did you mean fly?" in unknown.err) == (2, True), unknown.err
    (lab.folder / "bobs.slp").unlink()
    away = await lab.run(*TRACK, *typed, user=bob)
    assert (away.code, "The model fly@1 is on large, which is not online" in away.err) == (4, True), away.err


async def listed(lab: RoomLab) -> list[RoomModelRecord]:
    """The room's models, once its worker has told of them."""
    async with asyncio.timeout(30):
        while True:
            if found := await lab.api.models(lab.room.room_id):
                return found
            await asyncio.sleep(0.05)


async def test_what_is_wrong_is_said_before_the_worker_has_anything(lab: RoomLab) -> None:
    (lab.folder / "clip.predictions.slp").write_bytes(b"mine")
    async with lab.worker("large", 80):
        for words, code, said in (
            (("-m", "./fly", "-i", "clip.mp4"), 2, "nothing is overwritten"),
            (("-m", "./gone", "-i", "clip.mp4"), 2, "There is no model"),
            (("-m", "./fly", "-i", "gone.mp4"), 2, "no such file"),
            (("-m", "./fly", "-i", "lab:/gone.mp4", "-o", "x.slp"), 2, "lab"),
        ):
            refused = await lab.run(*TRACK, *words)
            assert (refused.code, said in refused.err) == (code, True), refused.err
            assert refused.err.count("error: ") == 1
        assert list(lab.jobs_of("large").glob("j_*")) == []
    assert (lab.folder / "clip.predictions.slp").read_bytes() == b"mine"


async def test_behind_a_session_string_no_room_has_models(lab: RoomLab) -> None:
    refused = await lab.run("track", "-s", "sleap-session:abc", "-m", "fly@3", "-i", "clip.mp4")
    assert refused.code == 2
    assert "behind a session string there is no room" in refused.err
