"""A training that looks at data with its models: one job, whose parts come to an end of their own."""

from pathlib import Path

import pytest

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.jobs.bundles_keeping import bundle_job
from sleap_rtc.jobs.bundles_shelf import BundleShelf
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.jobs.plan import Plan
from sleap_rtc.jobs.track_checks import _config_of, _nodes
from sleap_rtc.jobs.track_task import TrackTask
from sleap_rtc.jobs.train_plan import stage
from sleap_rtc.protocol.inference import DataInput, ThenTrack
from sleap_rtc.protocol.jobs import Event, Frames, JobSpec, JobState, Verb
from sleap_rtc.protocol.training import TrainOptions

from .conftest import (
    LABELS,
    OWNER,
    FakeRunner,
    all_events,
    ended_by,
    events_until,
    eventually,
    is_epoch_end,
    new_board,
    noted,
    of_type,
    running,
    submit,
    training_config,
    write_package,
)
from .test_train_plan import configs_of

CLIP = DataInput(path="data/clip.mp4")
SUGGESTED = DataInput(path="data/labels.suggestions.pkg.slp")
OPTIONS = TrainOptions(then=ThenTrack(data=(CLIP,)))


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    spec = JobSpec(job="j_12345678", owner=OWNER, name="test", manifest="0" * 64, submitted=0)
    made = JobFolder.create(tmp_path / spec.job, spec)
    fill(made.inputs)
    return made


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of one model, `one`, a clip, and labels with suggestions."""
    folder = write_package(tmp_path / "package", {"one": training_config()})
    fill(folder)
    return folder


def fill(folder: Path) -> None:
    write_package(folder, {"one": training_config()})
    (folder / "data").mkdir()
    (folder / "data/clip.mp4").write_bytes(b"a clip")
    (folder / "data/2.mp4").write_bytes(b"another clip")
    (folder / "data/labels.suggestions.pkg.slp").write_bytes(LABELS)


def staged(folder: JobFolder, then: ThenTrack, mounts: Mounts | None = None, **options: object) -> Plan:
    return stage(folder, TrainOptions.model_validate({"then": then, **options}), cpus=2, mounts=mounts)


def tasks_of(folder: JobFolder, plan: Plan) -> dict[str, TrackTask]:
    runs = [run for run in plan.runs if run.verb is Verb.TRACK]
    return {run.name: TrackTask.read(folder.path / run.config) for run in runs}


def test_what_is_looked_at_comes_after_all_models_and_uses_all_of_them(folder: JobFolder) -> None:
    (folder.inputs / "one.yaml").unlink()
    write_package(folder.inputs, {head: training_config(head) for head in ("centered_instance", "centroid")})
    plan = staged(folder, ThenTrack(data=(CLIP,), peak_threshold=0.3))
    assert [(run.name, run.verb) for run in plan.runs] == [
        ("centroid", Verb.TRAIN), ("centered_instance", Verb.TRAIN), ("clip", Verb.TRACK),
    ]  # fmt: skip
    task = tasks_of(folder, plan)["clip"]
    assert task.models == ("work/models/centroid", "work/models/centered_instance")
    assert task.data == str(folder.inputs / "data/clip.mp4")
    assert "--peak_threshold" in task.arguments


def test_a_run_is_called_like_no_model(folder: JobFolder) -> None:
    (folder.inputs / "data/one.mp4").write_bytes(b"a clip")
    plan = staged(folder, ThenTrack(data=(DataInput(path="data/one.mp4"),)))
    assert [run.name for run in plan.runs] == ["one", "one-2"]


def test_labels_to_be_looked_at_are_not_trained_on(folder: JobFolder) -> None:
    plan = staged(folder, ThenTrack(data=(SUGGESTED,), only_suggested_frames=True))
    (config,) = configs_of(folder, Plan(plan.runs[:1], ()))
    assert config["data_config"]["train_labels_path"] == [str(folder.inputs / "labels.pkg.slp")]
    assert "--only_suggested_frames" in tasks_of(folder, plan)["labels.suggestions"].arguments


def test_a_packages_only_labels_are_trained_on_and_looked_at(folder: JobFolder) -> None:
    (folder.inputs / "data/labels.suggestions.pkg.slp").unlink()
    for then in (ThenTrack(), ThenTrack(data=(DataInput(path="labels.pkg.slp"),), only_suggested_frames=True)):
        plan = staged(folder, then)
        task = tasks_of(folder, plan)["labels"]
        assert (task.data, task.only) == (str(folder.inputs / "labels.pkg.slp"), "suggested")
        (config,) = configs_of(folder, Plan(plan.runs[:1], ()))
        assert config["data_config"]["train_labels_path"] == [str(folder.inputs / "labels.pkg.slp")]


def test_suggestions_and_videos_are_looked_at_in_one_job(folder: JobFolder) -> None:
    plan = staged(folder, ThenTrack(data=(SUGGESTED, CLIP), only_suggested_frames=True))
    tasks = tasks_of(folder, plan)
    assert [(name, task.only) for name, task in tasks.items()] == [("labels.suggestions", "suggested"), ("clip", None)]
    assert "--only_suggested_frames" not in tasks["clip"].arguments


def test_data_lies_in_the_package_or_below_a_mount(folder: JobFolder, tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/far.mp4").write_bytes(b"far")
    far = ThenTrack(data=(DataInput(path="lab:/far.mp4", in_package=False),))
    plan = staged(folder, far, Mounts({"lab": tmp_path / "lab"}))
    assert tasks_of(folder, plan)["far"].data == str(tmp_path / "lab/far.mp4")
    with pytest.raises(ConfigError):
        staged(folder, far)
    with pytest.raises(PackageError, match="is not among the job's files"):
        staged(folder, ThenTrack(data=(DataInput(path="../spec.mp4"),)))
    with pytest.raises(ConfigError, match="is about labels"):
        staged(folder, ThenTrack(data=(CLIP,), only_suggested_frames=True))


def test_of_several_labels_one_has_to_be_named(folder: JobFolder) -> None:
    with pytest.raises(ConfigError, match="2 labels files"):
        staged(folder, ThenTrack())
    assert tasks_of(folder, staged(folder, ThenTrack(), labels=("labels.pkg.slp",)))["labels"].only == "suggested"


def test_the_nodes_of_a_model_that_is_still_to_be_trained_are_known(folder: JobFolder) -> None:
    task = tasks_of(folder, staged(folder, ThenTrack(data=(CLIP,))))["clip"]
    assert _nodes(_config_of(folder.path, task.models[0])) == ["head", "mid", "tail"]


def ends(events: list[Event]) -> list[tuple[str | None, str, str | None]]:
    return [(event.run, event.body.outcome, event.body.folder) for event in events if event.body.type == "run_ended"]


def end_of(events: list[Event]) -> JobState:
    state: JobState = of_type(events, "state")[-1].state
    return state


def files(folder: JobFolder) -> set[str]:
    kept = ("best.ckpt", ".slp")
    return {file.path for file in folder.results() if file.path.endswith(kept)}


async def test_a_job_trains_then_looks(root: Path, fake: FakeRunner, ledger: Path, package: Path) -> None:
    async with running(new_board(root, fake("good"))) as board:
        folder = await submit(board, package, options=OPTIONS)
        events = await all_events(board, folder)
    assert end_of(events) is JobState.DONE
    assert [run for run, _ in noted(ledger)] == ["one", "clip"]
    assert [(body.verb, body.index, body.runs) for body in of_type(events, "run_started")] == [
        (Verb.TRAIN, 1, 2), (Verb.TRACK, 2, 2),
    ]  # fmt: skip
    # whoever watches sees epochs first, then frames
    kinds = [event.body.type for event in events]
    assert max(at for at, kind in enumerate(kinds) if kind == "epoch_ended") < kinds.index("frames")
    assert files(folder) == {"one/best.ckpt", "clip/clip.predictions.slp"}


async def test_a_stop_in_training_keeps_the_model_and_looks_at_nothing(
    root: Path, fake: FakeRunner, ledger: Path, package: Path
) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        folder = await submit(board, package, options=OPTIONS)
        await events_until(board, folder, is_epoch_end)
        events = await ended_by(board, folder, "stop")
    assert end_of(events) is JobState.DONE
    assert ends(events) == [("one", "stopped", "one")]
    assert [run for run, _ in noted(ledger)] == ["one"]
    assert files(folder) == {"one/best.ckpt"}
    # it was not done to its end: resumed, the model is trained on, and looks
    async with running(new_board(root, fake("good"))) as board:
        await board.resume(folder)
        assert end_of(await all_events(board, folder)) is JobState.DONE
    assert [run for run, _ in noted(ledger)] == ["one", "one", "clip"]
    assert files(folder) == {"one/best.ckpt", "clip/clip.predictions.slp"}


async def test_a_cancel_keeps_neither(root: Path, fake: FakeRunner, package: Path) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        folder = await submit(board, package, options=OPTIONS)
        await events_until(board, folder, is_epoch_end)
        assert end_of(await ended_by(board, folder, "cancel")) is JobState.CANCELLED
    assert folder.results() == []


async def test_looking_that_fails_leaves_a_model_and_is_all_that_is_done_again(
    root: Path, fake: FakeRunner, ledger: Path, package: Path, tmp_path: Path
) -> None:
    options = TrainOptions(then=ThenTrack(data=(DataInput(path="data/2.mp4"),)), register_as="fly")
    async with running(new_board(root, fake("second-fails"))) as board:
        folder = await submit(board, package, options=options)
        events = await all_events(board, folder)
    assert end_of(events) is JobState.FAILED
    assert ends(events) == [("one", "done", "one"), ("2", "failed", None)]
    assert "Run '2' failed: ValueError: the layers do not fit" in of_type(events, "state")[-1].error.sentence
    assert files(folder) == {"one/best.ckpt"}
    # the model is whole: it is the room's, under the name that it shall have
    await eventually(lambda: folder.state().state.ended)
    shelf = BundleShelf(tmp_path / "shelf")
    assert bundle_job(folder, OWNER.room, shelf)
    (note,) = shelf.notes(OWNER.room)
    assert (note.register_as, note.types) == ("fly", ("single_instance",))
    async with running(new_board(root, fake("good"))) as board:
        await board.resume(folder)
        assert end_of(await all_events(board, folder)) is JobState.DONE
    assert [run for run, _ in noted(ledger)] == ["one", "2", "2"]
    assert files(folder) == {"one/best.ckpt", "2/2.predictions.slp"}


async def test_a_training_that_fails_looks_at_nothing_and_gets_no_name(
    root: Path, fake: FakeRunner, ledger: Path, package: Path, tmp_path: Path
) -> None:
    options = OPTIONS.model_copy(update={"register_as": "fly"})
    async with running(new_board(root, fake("raises"))) as board:
        folder = await submit(board, package, options=options)
        assert end_of(await all_events(board, folder)) is JobState.FAILED
    assert [run for run, _ in noted(ledger)] == ["one"]
    assert folder.results() == []
    await eventually(lambda: folder.state().state.ended)
    assert not bundle_job(folder, OWNER.room, BundleShelf(tmp_path / "shelf"))


async def test_a_stop_while_it_looks_keeps_the_model(root: Path, fake: FakeRunner, package: Path) -> None:
    async with running(new_board(root, fake("slow-frames"))) as board:
        folder = await submit(board, package, options=OPTIONS)
        await events_until(board, folder, lambda event: isinstance(event.body, Frames))
        events = await ended_by(board, folder, "stop")
    assert end_of(events) is JobState.DONE
    assert ends(events) == [("one", "done", "one"), ("clip", "stopped", None)]
    assert files(folder) == {"one/best.ckpt"}
