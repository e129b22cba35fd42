"""``sleap-rtc train --from …`` and ``… --then track``, as they are typed, with a worker whose trainer pretends."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sleap_io as sio

from sleap_rtc.client.pending import PendingJobs
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.jobs.yaml_data import read_yaml
from sleap_rtc.protocol.inference import DataInput, ThenTrack
from sleap_rtc.protocol.jobs import Verb
from sleap_rtc.protocol.models import RoomModel
from sleap_rtc.protocol.training import TrainOptions
from tests.cli.room_lab import RoomLab, room_lab
from tests.client.labels_on_videos import make_labels
from tests.forked import sleap_rtc

TRAIN = ("train", "--room", "lab", "--auto-select")
THEN = ("--then", "track", "--on")


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        (found.folder / "clip.mp4").write_bytes(b"a clip")
        (found.folder / "2.mp4").write_bytes(b"another clip")
        found.package()
        yield found


def jobs_of(lab: RoomLab, worker: str = "large") -> list[JobFolder]:
    found = [JobFolder(path) for path in lab.jobs_of(worker).glob("j_*")]
    return sorted(found, key=lambda folder: folder.spec().submitted)


def options_of(folder: JobFolder) -> TrainOptions:
    options = folder.spec().options
    assert isinstance(options, TrainOptions)
    return options


def suggest(path: Path, *frames: int) -> None:
    labels = sio.load_slp(str(path))
    for index in frames:
        labels.suggestions.append(sio.SuggestionFrame(video=labels.videos[0], frame_idx=index))
    labels.save(str(path), verbose=False)


async def test_models_and_predictions_come_home_each_to_its_place(lab: RoomLab) -> None:
    form = ("-p", "package", *THEN, "clip.mp4", "--peak-threshold", "0.3", "--track-batch-size", "8")
    async with lab.worker("large", 80):
        sent = await lab.run(*TRAIN, *form, "--detach")
        assert sent.code == 0, sent.err
        (folder,) = jobs_of(lab)
        assert options_of(folder).then == ThenTrack(
            data=(DataInput(path="data/clip.mp4"),), peak_threshold=0.3, batch_size=8
        )
        # the same command finds its job
        done = await lab.run(*TRAIN, *form)
        assert done.code == 0, done.err
        assert "going on with it" in done.err
        assert "1 model to train (single_instance), then 1 input to look at (clip)" in done.out
        assert done.out.index("epoch 1 of 2 done") < done.out.index("clip (2/2): looking at its frames")
        assert f"Model in {Path('models/single_instance')}" in done.out
        assert f"Predictions in {lab.folder / 'clip.predictions.slp'}" in done.out
        assert (lab.folder / "models/single_instance/best.ckpt").is_file()
        assert (lab.folder / "clip.predictions.slp").is_file()
        assert sorted(path.name for path in (lab.folder / "models").iterdir()) == ["single_instance"]
        assert PendingJobs(lab.home / "pending").all() == []
        # what is home would be overwritten, and nothing is sent for that
        again = await lab.run(*TRAIN, *form)
        assert (again.code, "another name with --predictions" in again.err) == (2, True)
        assert len(jobs_of(lab)) == 1


async def test_several_inputs_here_and_there_are_told_as_json(lab: RoomLab) -> None:
    (lab.folder / "videos").mkdir()
    (lab.folder / "videos/far.mp4").write_bytes(b"far")
    words = (*THEN, "clip.mp4", "--on", "lab:/far.mp4", "--predictions", "found", "-o", "trained", "--json")
    async with lab.worker("large", 80, mounts=Mounts({"lab": lab.folder / "videos"})):
        done = await lab.run(*TRAIN, "-p", "package", *words)
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [(line["run"], line["verb"]) for line in lines if line.get("type") == "run_started"] == [
        ("single_instance", "train"), ("clip", "track"), ("far", "track"),
    ]  # fmt: skip
    assert [Path(each).name for each in lines[-1]["folders"]] == ["single_instance"]
    assert [Path(each).name for each in lines[-1]["files"]] == ["clip.predictions.slp", "far.predictions.slp"]
    assert sorted(path.name for path in (lab.folder / "found").iterdir()) == [
        "clip.predictions.slp", "far.predictions.slp",
    ]  # fmt: skip


async def test_suggestions_of_labels_without_images_are_sent_with_them(lab: RoomLab) -> None:
    labels = make_labels(lab.folder / "flies.slp", lab.folder / "a.mp4")
    suggest(labels, 5, 7)
    config = lab.folder / "package/single_instance.yaml"
    async with lab.worker("large", 80):
        done = await lab.run(*TRAIN, str(config), "--labels", "flies.slp", *THEN, "suggestions", "--on", "clip.mp4")
        assert done.code == 0, done.err
    assert "The images of 2 suggested frames" in done.err
    (folder,) = jobs_of(lab)
    options = options_of(folder)
    assert options.then is not None
    assert options.then.only_suggested_frames
    assert [data.path for data in options.then.data] == ["suggestions/flies.suggestions.pkg.slp", "data/clip.mp4"]
    looked_at = sio.load_slp(str(folder.inputs / options.then.data[0].path))
    assert sorted(int(each) for each in looked_at.videos[0].backend.source_inds) == [5, 7]
    # what is trained on has the images of the labelled frames
    (trained,) = options.labels
    assert 5 not in sio.load_slp(str(folder.inputs / trained)).videos[0].backend.source_inds
    (run,) = [run for run in folder.spec().runs if run.verb is Verb.TRAIN]
    written = read_yaml((folder.path / run.config).read_bytes())
    assert written["data_config"]["train_labels_path"] == [str(folder.inputs / trained)]
    assert {path.name for path in lab.folder.glob("*.predictions.slp")} == {
        "flies.predictions.slp", "clip.predictions.slp",
    }  # fmt: skip


async def test_looking_that_fails_brings_the_model_home_and_says_why(lab: RoomLab) -> None:
    async with lab.worker("large", 80, behaviour="no-predictions"):
        failed = await lab.run(*TRAIN, "-p", "package", *THEN, "2.mp4")
        assert failed.code == 5
        assert "Run '2' failed: sleap-nn ended without writing predictions" in failed.err
        assert (lab.folder / "models/single_instance/best.ckpt").is_file()
        assert not (lab.folder / "2.predictions.slp").exists()
        (folder,) = jobs_of(lab)
    async with lab.worker("large", 80):
        assert (await lab.run("jobs", "resume", folder.job, "--room", "lab")).code == 0
        # the same command goes on with it
        again = await lab.run(*TRAIN, "-p", "package", *THEN, "2.mp4")
        assert again.code == 0, again.err
        assert (lab.folder / "2.predictions.slp").is_file()
    assert lab.starts("large") == 3


async def test_the_commands_about_jobs_know_both(lab: RoomLab) -> None:
    async with lab.worker("large", 80):
        sent = await lab.run(*TRAIN, "--detach", "-p", "package", *THEN, "clip.mp4")
        job = sent.out.splitlines()[-1]
        watched = await lab.run("jobs", "watch", job, "--no-fetch")
        assert watched.code == 0, watched.err
        assert "Its models and predictions are on the worker." in watched.err
        shown = await lab.run("jobs", "show", job)
        assert "single_instance (at most 2 epochs), clip" in shown.out
        (listed,) = json.loads((await lab.run("jobs", "list", "--all", "--room", "lab", "--json")).out)
        assert [run["verb"] for run in listed["runs"]] == ["train", "track"]
        fetched = await lab.run("jobs", "fetch", job)
        assert fetched.code == 0, fetched.err
        assert (lab.folder / "models/single_instance/best.ckpt").is_file()
        assert (lab.folder / "clip.predictions.slp").is_file()
        elsewhere = await lab.run("jobs", "fetch", job, "--room", "lab", "-o", "all")
        assert elsewhere.code == 0, elsewhere.err
        assert {path.name for path in (lab.folder / "all").iterdir()} == {"single_instance", "clip.predictions.slp"}


async def test_a_training_begins_with_a_model_that_the_room_has_meanwhile_named(lab: RoomLab) -> None:
    async with lab.worker("large", 80):
        first = await lab.run(*TRAIN, "-p", "package")
        assert first.code == 0, first.err
        digest = await known_model(lab)
        (before,) = jobs_of(lab)
        for words, name in ((before.job, ""), ("fly", "fly"), ("fly@1", "fly"), ("fly@production", "fly")):
            if words == "fly":
                await lab.api.register_model(lab.room.room_id, "fly", digest)
                assert (await lab.run("models", "promote", "fly@1", "production", "--room", "lab")).code == 0
            done = await lab.run(*TRAIN, "-p", "package", "--from", words, "-o", "second", "--new")
            assert done.code == 0, done.err
            assert (f"{words} is fly@1." in done.err) is (words in ("fly", "fly@production"))
            folder = jobs_of(lab)[-1]
            version = 1 if name else None
            assert options_of(folder).start_from == RoomModel(digest=digest, name=name, version=version)
            config = read_yaml((folder.path / folder.spec().runs[0].config).read_bytes())
            weights = folder.inputs / "room-model/single_instance/best.ckpt"
            assert config["model_config"]["pretrained_backbone_weights"] == str(weights)
            assert weights.read_bytes() == (lab.folder / "models/single_instance/best.ckpt").read_bytes()
        # the room knows where the new ones come from
        await until_descended(lab, digest)
        missing = await lab.run(*TRAIN, "-p", "package", "--from", "fly@7")
        assert (missing.code, "has no version 7. There are: @1." in missing.err) == (2, True)
        unknown = await lab.run(*TRAIN, "-p", "package", "--from", "flyy")
        assert (unknown.code, "Did you mean fly?" in unknown.err) == (2, True)
        # a folder of that name is used, and that is said
        (lab.folder / "fly").symlink_to(lab.folder / "models/single_instance")
        local = await lab.run(*TRAIN, "-p", "package", "--from", "fly", "--detach")
        assert local.code == 0, local.err
        assert "The folder 'fly' here is used" in local.err
        assert options_of(jobs_of(lab)[-1]).start_from is None
        assert len(jobs_of(lab)) == 6


async def known_model(lab: RoomLab) -> str:
    """The only model of the room, once its worker has told of it."""
    async with asyncio.timeout(30):
        while not (models := await lab.api.models(lab.room.room_id)):  # noqa: ASYNC110 - another process tells
            await asyncio.sleep(0.05)
    return models[0].digest


async def until_descended(lab: RoomLab, digest: str) -> None:
    """Wait until the room knows a model that began with this one."""
    async with asyncio.timeout(30):
        while all(  # noqa: ASYNC110 - another process tells
            model.parent != digest for model in await lab.api.models(lab.room.room_id)
        ):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--then", "track"), "Say at what: --on suggestions, or --on VIDEO"),
        (("--on", "clip.mp4"), "--on is about what is done after the training. Add --then track"),
        (("--merge", "a.slp"), "--merge is about what is done after"),
        (("--predictions", "a.slp"), "--predictions is about what is done after"),
        (("--track-batch-size", "2"), "--track-batch-size is about what is done after"),
        (("--tracking",), "--tracking is about what is done after"),
        (("--format", "analysis_h5"), "--format is about what is done after"),
        ((*THEN, "suggestions", "--on", "suggestions"), "names 'suggestions' twice"),
        ((*THEN, "clip.mp4", "--on", "./clip.mp4"), "--on names './clip.mp4' twice"),
        ((*THEN, "gone.mp4"), "--on names 'gone.mp4', and there is no such file"),
        ((*THEN, "package"), "--on names 'package', which is a folder"),
        ((*THEN, "suggestions", "--frames", "0-9"), "--frames and --on suggestions both say which frames"),
        ((*THEN, "clip.mp4", "--frames", "9-1"), "--frames '9-1' is refused"),
        ((*THEN, "clip.mp4", "--max-tracks", "2"), "--max-tracks is about following animals"),
        ((*THEN, "clip.mp4", "--on", "2.mp4", "--predictions", "a.slp"), "--predictions names one file"),
        ((*THEN, "clip.mp4", "--merge", "gone.slp"), "--merge names 'gone.slp', which is no file"),
        ((*THEN, "clip.mp4", "--predictions", "mine.slp"), "mine.slp is there already"),
        (("--from", "fly@3", "--resume", "a.ckpt"), "--from brings all weights along: leave out --resume"),
        (("--from", "fly@3", "--head-weights", "a.ckpt"), "--from brings all weights along"),
        (("--from", "fly@x y"), "names no model"),
        (("--from", "fly@3", "model_config.pretrained_head_weights=a.ckpt"), "say the same thing twice"),
    ],
    ids=" ".join,
)
async def test_contradictions_are_sentences_before_anybody_is_asked(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "package").mkdir()
    for name in ("clip.mp4", "2.mp4", "mine.slp", "package/a.slp", "package/a.yaml"):
        (tmp_path / name).write_bytes(b"something")
    # nothing listens there
    command = ("train", "--server", "http://127.0.0.1:1", "--room", "lab", "--auto-select", "-p", "package")
    refused = await asyncio.to_thread(sleap_rtc, *command, *words, cwd=tmp_path)
    assert (refused.code, said in refused.err) == (2, True), refused.err
    assert refused.err.count("error: ") == 1
    assert (tmp_path / "mine.slp").read_bytes() == b"something"


async def test_behind_a_session_string_no_room_has_models(lab: RoomLab) -> None:
    refused = await lab.run("train", "-s", "sleap-session:abc", "-p", "package", "--from", "fly@3")
    assert refused.code == 2
    assert "behind a session string there is no room" in refused.err
