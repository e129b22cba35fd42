"""``models reproduce``: the same training once more, with real workers whose trainers pretend."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.yaml_data import write_yaml
from tests.cli.room_lab import RoomLab, room_lab
from tests.jobs.conftest import training_config


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        yield found


async def train(lab: RoomLab, package: Path) -> None:
    command = ("train", "--room", "lab", "-p", str(package), "-o", "trained", "--register", "fly", "--auto-select")
    result = await lab.run(*command, "--max-epochs", "1")
    assert "The model is fly@1." in result.out + result.err, result.err


async def record(lab: RoomLab, ref: str) -> dict[str, Any]:
    pulled = await lab.run("models", "pull", ref, "--room", "lab", "--json")
    assert pulled.code == 0, pulled.err
    return described(lab.folder / json.loads(pulled.out)["folder"])


def described(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return found


async def test_a_model_is_trained_again_of_what_its_worker_still_has_or_of_the_same_package(lab: RoomLab) -> None:
    grace = await lab.user("grace")
    package = lab.package()
    async with lab.worker("gpu-1", 8), lab.worker("gpu-2", 24):
        await train(lab, package)
        first = await record(lab, "fly@1")
        again = ("models", "reproduce", "fly@1", "--room", "lab")
        done = await lab.run(*again)
        assert (done.code, "The model is fly@2." in done.out) == (0, True), done.err
        second = await record(lab, "fly@2")
        same = ("manifest", "labels", "options", "sleap_nn")
        assert {key: first[key] for key in same} == {key: second[key] for key in same}
        assert (first["options"]["overrides"][0]["value"], second["parent"], second["made_by"]) == (1, None, "ada")
        assert first["job"] != second["job"]
        # whose files they are not: the package is needed, and its labels must be the same
        theirs = await lab.run(*again, user=grace)
        assert (theirs.code, "was submitted by ada: its files are theirs" in theirs.err) == (2, True), theirs.err
        given = (*again, "--worker", "gpu-2", "-p", str(package))
        done = await lab.run(*given, "--detach", user=grace)
        assert done.code == 0, done.err
        job = done.out.split()[-1]
        # typed again, it is that one job
        follow = await lab.run(*given, user=grace)
        assert (follow.code, f"This is the job {job}" in follow.err) == (0, True), follow.err
        folder = JobFolder(lab.jobs_of("gpu-2") / job)
        assert (folder.spec().owner.name, folder.spec().manifest) == ("grace", first["manifest"])
        assert folder.spec().options.model_dump(mode="json") == first["options"]
        (package / "single_instance.yaml").write_text(write_yaml(training_config(seed=3)))
        other = await lab.run(*given, user=grace)
        assert (other.code, "a config or another file is not" in other.err) == (2, True), other.err
        (package / "labels.pkg.slp").write_bytes((package / "labels.pkg.slp").read_bytes() + b"changed")
        other = await lab.run(*given, user=grace)
        assert (other.code, "the labels 'labels.pkg.slp' have changed" in other.err) == (2, True), other.err
        (package / "labels.pkg.slp").unlink()
        other = await lab.run(*given, user=grace)
        assert (other.code, "it has no labels 'labels.pkg.slp'" in other.err) == (2, True), other.err


async def test_another_sleap_nn_is_refused_unless_any_will_do(lab: RoomLab) -> None:
    package = lab.package()
    (package / "single_instance.yaml").write_text(write_yaml(training_config() | {"sleap_nn_version": "0.0.1"}))
    async with lab.worker("gpu-1", 8):
        await train(lab, package)
        assert (await record(lab, "fly@1"))["sleap_nn"] == "0.0.1"
        refused = await lab.run("models", "reproduce", "fly@1", "--room", "lab")
        assert (refused.code, "has sleap-nn 0.0.1: gpu-1 has" in refused.err) == (4, True), refused.err
        done = await lab.run("models", "reproduce", "fly@1", "--room", "lab", "--any-version")
        assert (done.code, "The model is fly@2." in done.out) == (0, True), done.err


async def test_a_folder_that_was_pushed_says_not_what_it_was_trained_on(lab: RoomLab) -> None:
    async with lab.worker("gpu-1", 8):
        await train(lab, lab.package())
        pushed = await lab.run("models", "push", "trained/single_instance", "--name", "bee", "--room", "lab",
                               "--worker", "gpu-1")  # fmt: skip
        assert pushed.code == 0, pushed.err
        refused = await lab.run("models", "reproduce", "bee", "--room", "lab")
        assert (refused.code, "What bee@1 was trained on is not known" in refused.err) == (2, True), refused.err


async def test_what_was_changed_where_it_is_kept_is_not_believed(lab: RoomLab) -> None:
    async with lab.worker("gpu-1", 8):
        await train(lab, lab.package())
    (found,) = (lab.folder / "gpu-1" / "models" / lab.room.room_id).glob("*/model.json")
    found.chmod(0o600)
    found.write_bytes(found.read_bytes().replace(b'"value": 1', b'"value": 999'))
    async with lab.worker("gpu-1", 8):
        refused = await lab.run("models", "reproduce", "fly", "--room", "lab")
        assert (refused.code, "model.json is not the file" in refused.err) == (4, True), refused.err
        assert lab.starts("gpu-1") == 1
