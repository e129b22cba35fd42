"""``models pull``, ``models push`` and ``train --register``, typed against real workers whose trainers pretend."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.room_lab import RoomLab, room_lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        yield found


async def train(lab: RoomLab, *options: str, package: str = "package") -> str:
    """Train, and return all that was said."""
    command = ("train", "--room", "lab", "--auto-select", "-p", str(lab.package(package)), "-o", "trained", *options)
    result = await lab.run(*command)
    assert result.code == 0, result.err
    return result.out + result.err


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


async def test_what_is_trained_under_a_name_is_pulled_by_it_by_another_member(lab: RoomLab) -> None:
    grace = await lab.user("grace")
    async with lab.worker("gpu-1", 8):
        assert "The model is fly@1." in await train(lab, "--register", "fly")
        pulled = await lab.run("models", "pull", "fly", "--room", "lab", user=grace)
        assert pulled.code == 0, pulled.err
        assert "fly is fly@1." in pulled.err
        assert f"The model fly@1 is in {Path('models', 'fly-1')}" in pulled.out
        found = lab.folder / "models" / "fly-1"
        assert set(tree(found)) >= {"model.json", "single_instance/best.ckpt"}
        assert (json.loads((found / "model.json").read_text())["name"], found.is_dir()) == ("fly", True)
        again = await lab.run("models", "pull", "fly@1", "--room", "lab", "--json")
        assert again.code == 0, again.err
        said = json.loads(again.out)
        assert (said["model"], said["name"], said["version"], said["fresh"]) == ("fly@1", "fly", 1, False)
        other = await lab.run("models", "pull", "fly", "--room", "lab", "-o", "elsewhere/mine", user=grace)
        assert other.code == 0, other.err
        assert tree(lab.folder / "elsewhere" / "mine") == tree(found)
        (found / "single_instance" / "best.ckpt").write_bytes(b"changed here")
        refused = await lab.run("models", "pull", "fly", "--room", "lab")
        assert (refused.code, "is not the model fly@1" in refused.err) == (2, True)
        second = await train(lab, "--register", "fly", package="another")
        assert "The model is fly@2." in second


async def test_mistakes_are_sentences(lab: RoomLab) -> None:
    await lab.user("grace")
    async with lab.worker("gpu-1", 8):
        for command, code, words in (
            (("models", "pull", "fly", "--room", "lab"), 2, "has no model 'fly'"),
            (("models", "pull", "fly@@", "--room", "lab"), 2, "names no model"),
            (("models", "push", "nowhere", "--name", "fly", "--room", "lab"), 2, "There is no folder nowhere"),
            (("models", "push", ".", "--name", "a b", "--room", "lab"), 2, "cannot be a model's name"),
            (("models", "push", ".", "--name", "fly", "--room", "lab"), 2, "holds no model"),
            (("train", "--room", "lab", "-p", "package", "--register", "a b"), 2, "--register"),
        ):
            lab.package()
            result = await lab.run(*command)
            assert (result.code, words in result.err) == (code, True), result.err
        await train(lab, "--register", "fly")
    away = await lab.run("models", "pull", "fly", "--room", "lab")
    assert (away.code, "is on gpu-1, which is not online" in away.err) == (4, True), away.err
    assert not (lab.folder / "models").exists()


async def test_a_folder_is_pushed_and_a_run_gets_a_name(lab: RoomLab) -> None:
    grace = await lab.user("grace")
    async with lab.worker("gpu-1", 8), lab.worker("gpu-2", 8):
        await train(lab, "--worker", "gpu-1")
        async with asyncio.timeout(30):
            while not (models := await lab.api.models(lab.room.room_id)):  # noqa: ASYNC110 - another process tells
                await asyncio.sleep(0.05)
        (model,) = models
        assert model.job_id is not None
        named = await lab.run("models", "push", model.job_id[:12], "--name", "fly", "--room", "lab", user=grace)
        assert (named.code, named.out.strip()) == (0, "fly@1"), named.err
        run = lab.folder / "trained" / "single_instance"
        pushed = await lab.run(
            "models", "push", str(run), "--name", "fly", "--worker", "gpu-2", "--room", "lab", user=grace
        )
        assert (pushed.code, pushed.out.splitlines()[-1]) == (0, "fly@2"), pushed.err
        again = await lab.run(
            "models", "push", str(run), "--name", "fly", "--worker", "gpu-2", "--room", "lab", "--json", user=grace
        )
        assert again.code == 0, again.err
        assert json.loads(again.out.splitlines()[-1])["version"] == 2
        pulled = await lab.run("models", "pull", "fly@2", "--room", "lab")
        assert pulled.code == 0, pulled.err
        # what was pulled is the model again wherever it is pushed
        moved = await lab.run(
            "models",
            "push",
            str(lab.folder / "models" / "fly-2"),
            "--name",
            "worm",
            "--worker",
            "gpu-1",
            "--room",
            "lab",
        )
        assert moved.code == 0, moved.err
        async with asyncio.timeout(30):
            while True:
                (line,) = (await lab.api.model(lab.room.room_id, "worm")).versions
                if {each.worker_name for each in line.holders} == {"gpu-1", "gpu-2"}:
                    break
                await asyncio.sleep(0.05)
        assert {each.name for each in line.names} == {"fly", "worm"}


async def test_a_worker_that_lacks_a_model_gets_it_from_another_one_and_tracks_by_its_alias(lab: RoomLab) -> None:
    grace = await lab.user("grace")
    (lab.folder / "clip.mp4").write_bytes(b"a video")
    async with lab.worker("gpu-1", 8):
        await train(lab, "--register", "fly")
        await lab.api.move_alias(lab.room.room_id, "fly", "production", 1)
        async with lab.worker("gpu-2", 8):
            track = ("track", "--room", "lab", "--worker", "gpu-2", "-m", "fly@production", "-i", "clip.mp4")
            done = await lab.run(*track, "-o", "out.slp", user=grace)
            assert done.code == 0, done.err
            assert (lab.folder / "out.slp").is_file()
            async with asyncio.timeout(30):
                while True:
                    (line,) = (await lab.api.model(lab.room.room_id, "fly")).versions
                    if {each.worker_name for each in line.holders} == {"gpu-1", "gpu-2"}:
                        break
                    await asyncio.sleep(0.05)
    assert tree(lab.folder / "gpu-2" / "models" / lab.room.room_id / line.digest) == tree(
        lab.folder / "gpu-1" / "models" / lab.room.room_id / line.digest
    )
