"""``models export`` and exports that workers begin by themselves, with real workers whose trainers pretend."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sleap_rtc.jobs.bundles import mark_of
from sleap_rtc.jobs.bundles_shelf import BundleShelf, Note
from sleap_rtc.jobs.events import read_events
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.exporting import ExportOptions
from sleap_rtc.worker.auto_export import export_job
from tests.cli.room_lab import RoomLab, room_lab
from tests.forked import Result


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        yield found


async def train(lab: RoomLab, *options: str) -> None:
    command = ("train", "--room", "lab", "-p", str(lab.package()), "-o", "trained", "--register", "fly", *options)
    result = await lab.run(*command)
    assert "The model is fly@1." in result.out + result.err, result.err


async def models(lab: RoomLab, *words: str) -> Result:
    result = await lab.run("models", *words, "--room", "lab")
    assert result.code == 0, result.err
    return result


def exports(lab: RoomLab, worker: str) -> list[JobFolder]:
    folders = [JobFolder(path) for path in lab.jobs_of(worker).glob("j_*")]
    return [folder for folder in folders if isinstance(folder.spec().options, ExportOptions)]


async def test_what_was_exported_is_listed_pulled_and_tracked_with_as_another_format(lab: RoomLab) -> None:
    grace = await lab.user("grace")
    (lab.folder / "clip.mp4").write_bytes(b"a video")
    async with lab.worker("gpu-1", 8), lab.worker("gpu-2", 24):
        await train(lab, "--worker", "gpu-1")
        none = await models(lab, "list", "--format", "onnx")
        assert none.out == ""
        missing = await lab.run("models", "pull", "fly", "--format", "onnx", "--room", "lab")
        assert (missing.code, "not there as onnx" in missing.err) == (2, True), missing.err
        # another member's job, on the worker that has the model, though the other has the larger GPU
        done = await lab.run(
            "models", "export", "fly", "--max-instances", "3", "--room", "lab", "--auto-select", user=grace
        )
        assert (done.code, "fly@1 is there as onnx now." in done.out) == (0, True), done.err
        (job,) = exports(lab, "gpu-1")
        assert job.spec().owner.name == "grace"
        assert exports(lab, "gpu-2") == []
        words = json.loads((lab.folder / "gpu-1.arguments").read_text())
        assert words[words.index("--max-instances") + 1] == "3"
        (listed,) = json.loads((await models(lab, "list", "--format", "onnx", "--json")).out)
        assert (listed["ref"], sorted(listed["formats"])) == ("fly@1", ["onnx", "sleap-nn"])
        assert "onnx" in (await models(lab, "show", "fly")).out
        pulled = await models(lab, "pull", "fly", "--format", "onnx", "-o", "pulled", "--json")
        record = json.loads((lab.folder / "pulled" / "model.json").read_text())
        assert (record["format"], record["source"], record["name"]) == ("onnx", listed["digest"], "fly")
        assert (lab.folder / "pulled" / "onnx" / "model.onnx").read_bytes() == b"network"
        again = await lab.run("models", "export", "fly@1", "--room", "lab", "--json")
        assert again.code == 0, again.err
        assert json.loads(again.out.splitlines()[-1]) == {
            "event": "exported", "model": "fly@1", "format": "onnx", "digest": json.loads(pulled.out)["digest"],
            "outcome": "already",
        }  # fmt: skip
        assert len(exports(lab, "gpu-1")) == 1
        track = ("track", "--room", "lab", "--worker", "gpu-2", "-m", "fly", "--runtime", "onnx", "-i", "clip.mp4")
        tracked = await lab.run(*track)
        assert tracked.code == 0, tracked.err
        words = json.loads((lab.folder / "gpu-2.arguments").read_text())
        assert words[words.index("--model_paths") + 1].endswith("/inputs/room-model/onnx")
        assert words[words.index("--runtime") + 1] == "onnx"


async def test_an_engine_needs_a_gpu_and_is_refused_before_anything_is_sent(lab: RoomLab) -> None:
    async with lab.worker("cpu"):
        await train(lab, "--auto-select")
        refused = await lab.run("models", "export", "fly", "--format", "tensorrt", "--room", "lab", "--worker", "cpu")
        assert (refused.code, "cpu has no NVIDIA GPU" in refused.err) == (2, True), refused.err
        unknown = await lab.run("models", "export", "flyy", "--room", "lab", "--worker", "cpu")
        assert (unknown.code, "Did you mean fly?" in unknown.err) == (2, True), unknown.err
        assert exports(lab, "cpu") == []
    away = await lab.run("models", "export", "fly", "--room", "lab", "--auto-select")
    assert (away.code, "is on cpu, which is not online" in away.err) == (4, True), away.err


async def test_an_export_that_fails_is_its_sentence_and_no_format(lab: RoomLab) -> None:
    async with lab.worker("gpu-1", 8):
        await train(lab, "--auto-select")
    async with lab.worker("gpu-1", 8, behaviour="no-model"):
        failed = await lab.run("models", "export", "fly", "--room", "lab", "--auto-select")
        assert (failed.code, "ended without writing a network" in failed.err) == (5, True), failed.err
        (job,) = exports(lab, "gpu-1")
        assert read_events(job.events)[-1].body.type == "state"
        assert (await models(lab, "list", "--format", "onnx")).out == ""


async def over(lab: RoomLab, worker: str) -> JobFolder:
    """The one export of a worker, when it is over and its worker has looked at what it left."""
    async with asyncio.timeout(60):
        while True:
            found = exports(lab, worker)
            if found and found[0].state().state.ended and mark_of(found[0]) is not None:
                (job,) = found
                return job
            await asyncio.sleep(0.05)


async def test_a_worker_exports_by_itself_what_it_has_trained_once(lab: RoomLab) -> None:
    grace = await lab.user("grace")
    async with lab.worker("gpu-1", 8, auto_export="onnx"):
        typed = ("train", "--room", "lab", "--auto-select", "-p", str(lab.package()), "-o", "trained")
        assert (await lab.run(*typed, "--register", "fly", user=grace)).code == 0
        job = await over(lab, "gpu-1")
        # whose training it was, theirs is the export
        assert (job.state().state, job.spec().owner.name) == ("done", "grace")
        async with asyncio.timeout(30):
            while "fly@1" not in (await models(lab, "list", "--format", "onnx")).out:
                pass  # asked again
        (trained,) = [note for note in notes(lab, "gpu-1") if note.format == "sleap-nn"]
        assert job.job == export_job(trained.digest, "onnx")
        assert (trained.export_as, trained.not_exported) == (None, "")
        jobs = await lab.run("jobs", "list", "--all", "--room", "lab", user=grace)
        assert job.job[:12] in jobs.out, jobs.out
    started = lab.starts("gpu-1")
    async with lab.worker("gpu-1", 8, auto_export="onnx"):
        await models(lab, "list")
        assert (await lab.run("train", *typed[1:], "--new", user=grace)).code == 0
        async with asyncio.timeout(60):
            while len(exports(lab, "gpu-1")) < 2:  # noqa: ASYNC110 - its worker begins it
                await asyncio.sleep(0.05)
    # the second training has an export of its own, and the first one was left alone
    assert job.state().attempt == 1
    assert lab.starts("gpu-1") == started + 1


async def test_an_export_that_failed_is_kept_with_its_reason_and_not_tried_again(lab: RoomLab) -> None:
    async with lab.worker("gpu-1", 8):
        await train(lab, "--auto-select")
        assert exports(lab, "gpu-1") == []
    (note,) = notes(lab, "gpu-1")
    shelf = BundleShelf(lab.folder / "gpu-1" / "models")
    # as the worker leaves it that ends between the model and its export
    shelf.write(lab.room.room_id, note.model_copy(update={"export_as": "onnx"}))
    for _ in range(2):
        async with lab.worker("gpu-1", 8, behaviour="no-model"):
            job = await over(lab, "gpu-1")
            error = job.state().error
            assert error is not None
            assert (job.state().state, job.state().attempt) == ("failed", 1)
            assert "ended without writing a network" in error.sentence
            async with asyncio.timeout(30):
                while shelf.note(lab.room.room_id, note.digest).export_as:  # noqa: ASYNC110 - its worker writes it
                    await asyncio.sleep(0.05)
        # begun twice, for the note of the first time was lost: it is the same job
        shelf.write(lab.room.room_id, note.model_copy(update={"export_as": "onnx"}))
    assert len(exports(lab, "gpu-1")) == 1


def notes(lab: RoomLab, worker: str) -> list[Note]:
    return BundleShelf(lab.folder / worker / "models").notes(lab.room.room_id)
