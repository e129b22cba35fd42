"""The real preflight helper on real packages: what sleap-nn would fail on is told before the queue."""

import asyncio
import json
import shutil
import sys
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from sleap_rtc.cli.demo.dataset import make_dataset
from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.jobs.checking import Preflight, PreflightSettings
from sleap_rtc.jobs.config_rules import load_config, model_type
from sleap_rtc.jobs.events import read_events
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.making import Recipe
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.jobs.presets import BACKBONES, GEOMETRY, HEADS, INTENSITY, preset_request
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.jobs.yaml_data import read_yaml, write_yaml
from sleap_rtc.protocol.inference import DataInput, TrackOptions
from sleap_rtc.protocol.inspecting import InspectedLabels
from sleap_rtc.protocol.jobs import JobSpec, JobState, Notice
from sleap_rtc.protocol.training import Override, Preset, TrainOptions, Videos, VideoTarget
from tests.sandboxes import sandbox_if_any

from .conftest import OWNER as ALICE
from .conftest import eventually, lives, names_in, new_board, submit, words
from .ending import end_jobs
from .old_config import old_config

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("preflight"),
    pytest.mark.asyncio(loop_scope="module"),
]
Edit = Callable[[Path], None]
CONFIG = "single_instance.yaml"
# one process imports for many tests, on a machine that may be busy
PATIENT = PreflightSettings(patience=300, answer=300, start=300)
HEAD = "model_config.head_configs"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the worker gives to jobs, with a file that passes for the video."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "moved.mp4").write_bytes(b"video")
    return folder


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all jobs here are below."""
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture
def root(jobs: Path, tmp_path: Path) -> Iterator[Path]:
    """A part of it for each test."""
    path = jobs / tmp_path.name
    yield path
    end_jobs(path)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def preflight(jobs: Path, lab: Path) -> AsyncIterator[Preflight]:
    """One helper for all of them, in a sandbox where there is one."""
    checks = Preflight(
        jobs / ".preflight",
        gpu_memory_mb=8192,
        mounts=Mounts({"lab": lab}),
        sandbox=sandbox_if_any(jobs, readable=(lab,)),
        settings=PATIENT,
    )
    async with checks.at_work():
        yield checks


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that trains."""
    folder = tmp_path_factory.mktemp("demo")
    with zipfile.ZipFile(make_dataset(folder, seed=1).package) as archive:
        archive.extractall(folder / "package")
    return folder / "package"


@pytest.fixture
def package(demo: Path, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    return Path(shutil.copytree(demo, tmp_path / "package"))


def put(path: Path, dotted: str, value: Any) -> None:
    """Set a key of a config."""
    config = read_yaml(path.read_bytes())
    *sections, last = dotted.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[last] = value
    path.write_text(write_yaml(config))


def change(dotted: str, value: Any) -> Edit:
    return lambda package: put(package / CONFIG, dotted, value)


def head(name: str, **parts: Any) -> Edit:
    return change(HEAD, {name: parts})


def resave(alter: Callable[[Any], None], *, embed: Any = False) -> Edit:
    """Change the labels and save them again, without images unless `embed` says so."""

    def edit(package: Path) -> None:
        import sleap_io

        path = package / "labels.pkg.slp"
        labels = sleap_io.load_slp(str(path))
        alter(labels)
        labels.save(str(package / "new.pkg.slp"), embed=embed, verbose=False)
        (package / "new.pkg.slp").replace(path)

    return edit


def only_predictions(labels: Any) -> None:
    import sleap_io

    for frame in labels:
        frame.instances = [
            sleap_io.PredictedInstance.from_numpy(instance.numpy(), skeleton=labels.skeleton, score=1.0)
            for instance in frame.instances
        ]


def two_animals(labels: Any) -> None:
    import sleap_io

    points = labels[3].instances[0].numpy()
    labels[3].instances.append(sleap_io.Instance.from_numpy(points + 1, skeleton=labels.skeleton))


def foreign_video(labels: Any) -> None:
    import sleap_io

    video = sleap_io.Video(filename="/etc/passwd", open_backend=False)
    video.backend_metadata = {"type": "MediaVideo", "shape": [60, 96, 96, 1]}
    labels.replace_videos(new_videos=[video])


def with_test_labels(spoil: Edit) -> Edit:
    """Have the model tested on a file that nothing trains on."""

    def edit(package: Path) -> None:
        labels, kept = package / "labels.pkg.slp", package / "kept"
        shutil.copy(labels, kept)
        spoil(package)
        labels.rename(package / "test.slp")
        kept.rename(labels)
        put(package / CONFIG, "data_config.test_file_path", "test.slp")

    return edit


def no_edges(labels: Any) -> None:
    labels.skeleton.edges.clear()


def both(*edits: Edit) -> Edit:
    def edit(package: Path) -> None:
        for one in edits:
            one(package)

    return edit


def link_outside(package: Path) -> None:
    import h5py

    with h5py.File(package / "labels.pkg.slp", "a") as file:
        file["more"] = h5py.ExternalLink("/etc/passwd", "/x")


def virtual_dataset(package: Path) -> None:
    import h5py

    with h5py.File(package / "labels.pkg.slp", "a") as file:
        layout = h5py.VirtualLayout((1,), "u1")
        layout[0] = h5py.VirtualSource("/etc/passwd", "x", shape=(1,))[0]
        file.create_virtual_dataset("more", layout)


def external_storage(package: Path) -> None:
    import h5py

    with h5py.File(package / "labels.pkg.slp", "a") as file:
        file.create_dataset("more", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def lose_images(package: Path) -> None:
    import h5py

    with h5py.File(package / "labels.pkg.slp", "a") as file:
        del file["video0/video"]


def tear(package: Path) -> None:
    path = package / "labels.pkg.slp"
    path.write_bytes(path.read_bytes()[:3000])


def notices(folder: JobFolder) -> list[str]:
    return [event.body.text for event in read_events(folder.events) if isinstance(event.body, Notice)]


async def refused(root: Path, preflight: Preflight, package: Path) -> list[str]:
    """The lines of the refusal; the job has left nothing behind."""
    with pytest.raises(PackageError) as error:
        await submit(new_board(root, SupervisorSettings(), preflight=preflight), package)
    assert names_in(root) == []
    return error.value.sentence.split("\n")[1:]


async def test_a_good_package_is_queued_without_a_word(root: Path, preflight: Preflight, demo: Path) -> None:
    folder = await submit(new_board(root, SupervisorSettings(), preflight=preflight), demo)
    assert folder.state().state is JobState.QUEUED
    assert notices(folder) == []


async def test_what_is_in_a_package_is_told_with_sleap_nns_own_defaults(
    root: Path, preflight: Preflight, package: Path
) -> None:
    import sleap_io

    shutil.copy(package / CONFIG, package / "second.yaml")  # the same labels count once
    put(package / "second.yaml", "trainer_config", {"run_name": "second"})
    labels = sleap_io.load_slp(str(package / "labels.pkg.slp"))
    board = new_board(root, SupervisorSettings(), preflight=preflight)
    spec = JobSpec(job="j_12345678", owner=ALICE, name="test", manifest="0" * 64, submitted=1)

    async def receive(folder: JobFolder) -> None:
        shutil.copytree(package, folder.inputs, dirs_exist_ok=True)
        (folder.inputs / "jobs.yaml").unlink()

    seen = await board.inspect(spec, receive)
    first, second = sorted(seen.runs, key=lambda run: run.name)
    config = read_yaml((package / CONFIG).read_bytes())
    assert (first.max_epochs, first.batch_size) == (
        config["trainer_config"]["max_epochs"],
        config["trainer_config"]["train_data_loader"]["batch_size"],
    )
    # what the second one leaves open
    assert (second.name, second.min_steps) == ("second", 200)
    assert second.batch_size
    assert second.learning_rate
    assert second.max_epochs
    assert seen.labels == InspectedLabels(
        frames=len(labels),
        instances=sum(len(frame.instances) for frame in labels),
        videos=1,
        nodes=len(labels.skeleton.nodes),
    )
    assert names_in(root) == []
    put(package / CONFIG, "trainer_config.epochs", 3)
    with pytest.raises(PackageError, match="knows no key"):
        await board.inspect(spec, receive)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(change("trainer_config.epochs", 3), "knows no key trainer_config.epochs", id="unknown key"),
        pytest.param(change("trainer_config.max_epochs", "many"), "trainer_config.max_epochs", id="wrong type"),
        pytest.param(change("trainer_config.optimizer_name", "Magic"), "Adam, AdamW", id="wrong value"),
        pytest.param(change("model_config.backbone_config", {}), "BackboneConfig", id="no backbone"),
        pytest.param(change("data_config.validation_fraction", 7.0), "between 0 and 1", id="fraction"),
        pytest.param(
            head("centered_instance", confmaps={"anchor_part": "nose"}), "anchor_part is 'nose'", id="anchor part"
        ),
        pytest.param(
            head("single_instance", confmaps={"part_names": ["head", "tail"]}), "part_names (head, tail)", id="parts"
        ),
        pytest.param(
            head("bottomup", confmaps={}, pafs={"edges": [["head", "nose"]]}), "skeleton has not: nose", id="edges"
        ),
        pytest.param(
            both(resave(no_edges, embed="user"), head("bottomup", confmaps={}, pafs={})), "needs edges", id="no edges"
        ),
        pytest.param(
            head("multi_class_bottomup", confmaps={}, class_maps={}), "classes are the tracks", id="no tracks"
        ),
        pytest.param(resave(only_predictions), "predictions do not count", id="no labelled frame"),
        pytest.param(resave(two_animals, embed="user"), "in 'labels.pkg.slp' has 2 instances", id="crowded"),
        pytest.param(resave(foreign_video), "on the video 'passwd', but not its images", id="video elsewhere"),
        pytest.param(lose_images, "on the video 'video.mp4', but not its images", id="images lost"),
        pytest.param(link_outside, "refers to other files in 'more'", id="external link"),
        pytest.param(virtual_dataset, "refers to other files in 'more'", id="virtual dataset"),
        pytest.param(external_storage, "refers to other files in 'more'", id="external storage"),
        pytest.param(
            with_test_labels(resave(foreign_video)), "'test.slp' has labels on the video 'passwd'", id="test video"
        ),
        pytest.param(with_test_labels(link_outside), "refers to other files in 'more'", id="test link"),
        pytest.param(tear, "cannot be opened as SLEAP labels", id="torn"),
    ],
)
async def test_what_cannot_train_is_refused(
    root: Path, preflight: Preflight, package: Path, spoil: Edit, words: str
) -> None:
    spoil(package)
    lines = await refused(root, preflight, package)
    assert any(words in line for line in lines), lines


async def test_labels_may_be_said_to_have_their_video_below_a_mount(
    root: Path, preflight: Preflight, package: Path, lab: Path
) -> None:
    resave(foreign_video)(package)
    board = new_board(root, SupervisorSettings(), preflight=preflight, mounts=Mounts({"lab": lab}))
    videos = Videos(kind="map", targets=(VideoTarget(old="/etc/passwd", new="lab:/moved.mp4"),))
    folder = await submit(board, package, options=TrainOptions(videos=videos))
    assert (folder.state().state, notices(folder)) == (JobState.QUEUED, [])
    wrong = Videos(kind="prefix", targets=(VideoTarget(old="/etc", new="lab:/"),))
    with pytest.raises(PackageError, match=r"'passwd' of 'labels.pkg.slp' would be read from 'lab:/passwd'"):
        await submit(board, package, "j_22222222", options=TrainOptions(videos=wrong))


async def test_all_problems_of_all_configs_come_in_one_answer(root: Path, preflight: Preflight, package: Path) -> None:
    (package / "jobs.yaml").unlink()
    shutil.copy(package / CONFIG, package / "second.yaml")
    put(package / "second.yaml", "trainer_config.run_name", "second")
    put(package / "second.yaml", HEAD, {"centered_instance": {"confmaps": {"anchor_part": "nose"}}})
    put(package / CONFIG, "trainer_config.epochs", 3)
    put(package / CONFIG, "trainer_config.max_epochs", "many")
    lines = await refused(root, preflight, package)
    assert sorted(line.split(":")[0] for line in lines) == ["- demo_single_instance"] * 2 + ["- second"]


async def test_a_centroid_without_its_anchor_is_a_notice(root: Path, preflight: Preflight, package: Path) -> None:
    head("centroid", confmaps={"anchor_part": "nose"})(package)
    put(package / CONFIG, "model_config.backbone_config.unet.in_channels", 3)
    folder = await submit(new_board(root, SupervisorSettings(), preflight=preflight), package)
    anchor, channels = notices(folder)
    assert "no node 'nose'" in anchor
    assert "sleap-nn sets it to 1" in channels


async def test_a_helper_killed_in_the_middle_costs_no_job(root: Path, preflight: Preflight, demo: Path) -> None:
    board = new_board(root, SupervisorSettings(), preflight=preflight)
    await submit(board, demo, "j_11111111")
    # not the sandbox around it
    helpers = [child for child in psutil.Process().children(recursive=True) if words(child)[:1] == [sys.executable]]
    (helper,) = [child for child in helpers if "sleap_rtc.jobs.preflight" in words(child)]
    helper.suspend()
    waiting = asyncio.ensure_future(submit(board, demo, "j_22222222"))
    config = JobFolder(root / "j_22222222").config_of("demo_single_instance")
    await eventually(config.exists)
    helper.kill()
    folder = await waiting
    assert folder.state().state is JobState.QUEUED
    assert "queued without a check" in notices(folder)[0]
    # the next one waits for the new helper
    assert notices(await submit(board, demo, "j_33333333")) == []


@pytest.fixture
def to_track(demo: Path, tmp_path: Path) -> Path:
    """A video, labels and a model's folder, as far as the check looks at them."""
    package = tmp_path / "package"
    (package / "model").mkdir(parents=True)
    shutil.copy(demo.parent / "video.mp4", package)
    shutil.copy(demo / "labels.pkg.slp", package)
    shutil.copy(demo / CONFIG, package / "model/training_config.yaml")
    (package / "model/best.ckpt").touch()
    return package


def to_look_at(path: str, **asked: Any) -> TrackOptions:
    return TrackOptions(model_folders=("model",), data=(DataInput(path=path),), **asked)


async def refused_track(root: Path, preflight: Preflight, package: Path, options: TrackOptions) -> str:
    with pytest.raises(PackageError) as error:
        await submit(new_board(root, SupervisorSettings(), preflight=preflight), package, options=options)
    assert names_in(root) == []
    return error.value.sentence


async def test_a_video_and_labels_that_can_be_looked_at_are_queued(
    root: Path, preflight: Preflight, to_track: Path
) -> None:
    board = new_board(root, SupervisorSettings(), preflight=preflight)
    video = await submit(board, to_track, options=to_look_at("video.mp4", frames="0-9,59"))
    labels = await submit(board, to_track, "j_23456789", options=to_look_at("labels.pkg.slp", only_labeled_frames=True))
    assert [folder.state().state for folder in (video, labels)] == [JobState.QUEUED] * 2
    assert notices(video) == notices(labels) == []


def no_video(package: Path) -> None:
    (package / "video.mp4").write_bytes(b"\0" * 5000)


def a_list_of_files(package: Path) -> None:
    (package / "video.mp4").write_text("ffconcat version 1.0\nfile /etc/passwd\n")


def a_frame_list_of_files(package: Path) -> None:
    (package / "video.mp4").write_text("#EXTM3U\nfile:///etc/passwd\n")


def another_animal(package: Path) -> None:
    config = package / "model/training_config.yaml"
    put(config, "model_config.head_configs.single_instance.confmaps.part_names", ["head", "thorax", "wing"])


@pytest.mark.parametrize(
    ("spoil", "options", "words"),
    [
        pytest.param(no_video, to_look_at("video.mp4"), "'video.mp4' cannot be read", id="no video"),
        pytest.param(a_list_of_files, to_look_at("video.mp4"), "a list of other files", id="concat"),
        pytest.param(a_frame_list_of_files, to_look_at("video.mp4"), "a list of other files", id="playlist"),
        pytest.param(
            lambda _: None, to_look_at("video.mp4", frames="5,60"), "the last one of 'video.mp4' is 59", id="frames"
        ),
        pytest.param(
            lambda _: None, to_look_at("labels.pkg.slp", only_suggested_frames=True), "no suggested", id="suggestions"
        ),
        pytest.param(another_animal, to_look_at("labels.pkg.slp"), "(head, thorax, wing)", id="skeleton"),
        pytest.param(tear, to_look_at("labels.pkg.slp"), "cannot be opened as SLEAP labels", id="torn"),
        pytest.param(link_outside, to_look_at("labels.pkg.slp"), "refers to other files", id="link"),
        pytest.param(resave(foreign_video), to_look_at("labels.pkg.slp"), "but not its images", id="video elsewhere"),
    ],
)
async def test_what_cannot_be_looked_at_is_refused(
    root: Path, preflight: Preflight, to_track: Path, spoil: Edit, options: TrackOptions, words: str
) -> None:
    spoil(to_track)
    assert words in await refused_track(root, preflight, to_track, options)


def config_of(folder: JobFolder) -> dict[str, Any]:
    (run,) = folder.spec().runs
    config: dict[str, Any] = read_yaml((folder.path / run.config).read_bytes())
    return config


async def test_a_config_of_sleap_1_4_is_converted(root: Path, preflight: Preflight, package: Path) -> None:
    for name in ("jobs.yaml", CONFIG):
        (package / name).unlink()
    old = old_config(run_name="baseline", labels="C:\\mice\\labels.v001.pkg.slp")
    (package / "old.json").write_text(json.dumps(old))
    options = TrainOptions(overrides=(Override(key="trainer_config.max_epochs", value=1),))
    folder = await submit(new_board(root, SupervisorSettings(), preflight=preflight), package, options=options)
    assert [(run.model_type, run.max_epochs) for run in folder.spec().runs] == [("single_instance", 1)]
    assert any("sleap-nn converted 'old.json'" in notice for notice in notices(folder))
    config = config_of(folder)
    assert config["model_config"]["backbone_config"]["unet"]["filters"] == 8
    assert config["model_config"]["head_configs"]["single_instance"]["confmaps"]["part_names"] == [
        "head",
        "thorax",
        "abdomen",
    ]
    assert config["trainer_config"]["run_name"] == "baseline.n-30"
    assert config["trainer_config"]["optimizer"]["lr"] == 0.0005
    assert config["data_config"]["preprocessing"]["scale"] == 0.5
    assert config["data_config"]["train_labels_path"] == [str(folder.inputs / "labels.pkg.slp")]


@pytest.mark.parametrize(
    ("old", "why"),
    [
        ({"data": {"labels": None}, "model": {}, "optimization": {}}, "cannot be converted by sleap-nn"),
        ({"data": {}, "model": {}, "optimization": {}}, "names no head"),
        ([{"model": {}, "optimization": {}}], "not a mapping"),
        ({"model": {}, "optimization": json.loads("[" * 20 + "]" * 20)}, "nested deeper"),
    ],
)
async def test_an_old_config_that_cannot_be_converted_is_refused(
    root: Path, preflight: Preflight, package: Path, old: Any, why: str
) -> None:
    for name in ("jobs.yaml", CONFIG):
        (package / name).unlink()
    (package / "old.json").write_text(json.dumps(old))
    with pytest.raises(ConfigError, match=rf"'old\.json'.*{why}"):
        await submit(new_board(root, SupervisorSettings(), preflight=preflight), package)
    assert names_in(root) == []


async def test_a_preset_trains_labels_without_a_config(root: Path, preflight: Preflight, package: Path) -> None:
    for name in ("jobs.yaml", CONFIG):
        (package / name).unlink()
    preset = Preset(head="bottomup", backbone="unet_medium_rf", augment=("uniform_noise", "rotation", "scale"))
    options = TrainOptions(preset=preset, overrides=(Override(key="trainer_config.max_epochs", value=3),))
    folder = await submit(new_board(root, SupervisorSettings(), preflight=preflight), package, options=options)
    assert [(run.name, run.max_epochs) for run in folder.spec().runs] == [("bottomup", 3)]
    config = config_of(folder)
    augmentation = config["data_config"]["augmentation_config"]
    assert augmentation["intensity"]["uniform_noise_p"] == 1.0
    assert (augmentation["geometric"]["rotation_p"], augmentation["geometric"]["scale_p"]) == (1.0, 1.0)
    assert config["data_config"]["use_augmentations_train"] is True
    assert config["model_config"]["backbone_config"]["unet"]["max_stride"] == 16
    assert config["trainer_config"]["save_ckpt"] is True


async def test_every_preset_is_one_of_this_sleap_nn(preflight: Preflight) -> None:
    presets = [Preset(head=head, backbone=name) for head, name in zip(HEADS, BACKBONES, strict=True)]
    presets[0] = presets[0].model_copy(update={"augment": INTENSITY + GEOMETRY})
    for preset in presets:
        made = load_config((await preflight.make(Recipe("preset", preset_request(preset)))).encode())
        assert model_type(made) == preset.head


OWNER = """
import asyncio, sys
from pathlib import Path
from sleap_rtc.jobs.checking import Preflight

async def main():
    async with Preflight(Path(sys.argv[1])).at_work():
        await asyncio.sleep(3600)

asyncio.run(main())
"""


def loads_h5py(helper: psutil.Process) -> bool:
    """Whether it is that far: early in the imports, and after it has asked to die with its parent."""
    try:
        return any("h5py" in region.path for region in helper.memory_maps())
    except psutil.AccessDenied:
        return True  # it has hidden its memory, which comes after the imports


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the helper ends when it next looks at its pipe")
async def test_the_helper_dies_with_its_worker(tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, str(tmp_path))
    try:
        await eventually(lambda: len(psutil.Process(owner.pid).children()) == 1)
        (helper,) = psutil.Process(owner.pid).children()
        await eventually(lambda: loads_h5py(helper))
    finally:
        owner.kill()
        await owner.wait()
    await eventually(lambda: not lives(helper.pid))
