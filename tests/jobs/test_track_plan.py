import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.jobs.plan import Plan
from sleap_rtc.jobs.track_arguments import MAX_FRAMES, MAX_LISTED, frames_argument, last_frame
from sleap_rtc.jobs.track_plan import stage_track
from sleap_rtc.jobs.track_task import TrackTask, check_task
from sleap_rtc.jobs.trained import ROOM_MODEL
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.inference import DataInput, TrackOptions
from sleap_rtc.protocol.jobs import JobSpec, Verb
from sleap_rtc.protocol.models import RoomModel

from .conftest import OWNER, training_config

CLIP = DataInput(path="data/clip.mp4")


def model(folder: Path, head: str) -> None:
    folder.mkdir(parents=True)
    (folder / "best.ckpt").write_bytes(b"weights")
    (folder / "training_config.yaml").write_text(write_yaml(training_config(head)))


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    """A job with a clip, labels, and the models `single`, `centroid` and `instance`."""
    spec = JobSpec(job="j_12345678", owner=OWNER, name="test", manifest="0" * 64, submitted=0)
    made = JobFolder.create(tmp_path / spec.job, spec)
    (made.inputs / "data").mkdir()
    (made.inputs / "data/clip.mp4").write_bytes(b"a clip")
    (made.inputs / "data/labels.pkg.slp").write_bytes(b"labels")
    for name, head in (("single", "single_instance"), ("centroid", "centroid"), ("instance", "centered_instance")):
        model(made.inputs / "models" / name, head)
    return made


def staged(folder: JobFolder, *models: str, mounts: Mounts | None = None, **options: Any) -> Plan:
    wanted = {"data": (CLIP,), "model_folders": [f"models/{name}" for name in models or ("single",)]} | options
    return stage_track(folder, TrackOptions(**wanted), mounts or Mounts())


def task(folder: JobFolder, plan: Plan, index: int = 0) -> TrackTask:
    return TrackTask.read(folder.path / plan.runs[index].config)


def test_each_input_is_a_run_of_its_own(folder: JobFolder) -> None:
    plan = staged(folder, data=(CLIP, DataInput(path="data/labels.pkg.slp"), CLIP))
    assert [(run.name, run.verb) for run in plan.runs] == [
        ("clip", Verb.TRACK),
        ("labels", Verb.TRACK),
        ("clip-2", Verb.TRACK),
    ]
    first = task(folder, plan)
    assert first.models == ("inputs/models/single",)
    assert first.data == str(folder.inputs / "data/clip.mp4")
    assert task(folder, plan, 2).output == "clip-2.predictions.slp"


def test_data_may_lie_below_a_mount_and_nowhere_else(folder: JobFolder, tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/far.mp4").write_bytes(b"far")
    mounts = Mounts({"lab": tmp_path / "lab"})
    plan = staged(folder, mounts=mounts, data=(DataInput(path="lab:/far.mp4", in_package=False),))
    assert task(folder, plan).data == str(tmp_path / "lab/far.mp4")
    for place in ("lab:/../j_12345678/spec.mp4", "/etc/passwd.mp4", "other:/far.mp4"):
        with pytest.raises(ConfigError):
            staged(folder, mounts=mounts, data=(DataInput(path=place, in_package=False),))


@pytest.mark.parametrize("path", ["../spec.slp", "data/none.mp4", "data/../../spec.slp"])
def test_data_that_is_not_in_the_package_is_refused(folder: JobFolder, path: str) -> None:
    with pytest.raises(PackageError, match="is not among the job's files"):
        staged(folder, data=(DataInput(path=path),))


def test_a_link_in_the_package_is_no_data(folder: JobFolder) -> None:
    (folder.inputs / "data/secret.mp4").symlink_to("/etc/hostname")
    with pytest.raises(PackageError, match="is not among the job's files"):
        staged(folder, data=(DataInput(path="data/secret.mp4"),))


def test_what_is_no_video_is_told_apart_by_its_name(folder: JobFolder) -> None:
    with pytest.raises(PackageError, match="is no video and no labels"):
        staged(folder, data=(DataInput(path="data/clip.txt"),))


def test_a_file_that_is_exchanged_before_it_is_opened_is_not_read(folder: JobFolder) -> None:
    found = task(folder, staged(folder))
    check_task(found, folder)
    (folder.inputs / "data/clip.mp4").unlink()
    (folder.inputs / "data/clip.mp4").symlink_to("/etc/hostname")
    with pytest.raises(ConfigError, match="Nothing was read"):
        check_task(found, folder)


@pytest.mark.parametrize(
    ("models", "why"),
    [
        (("instance",), "none finds where they are"),
        (("single", "centroid"), "do not work together"),
        (("centroid", "other"), "kind 'centroid'"),
        (("gone",), "is not among the job's files"),
        (("empty",), r"has no training_config\.yaml"),
        (("exported", "single"), "whole by itself"),
    ],
)
def test_models_that_do_not_belong_together_are_refused(folder: JobFolder, models: tuple[str, ...], why: str) -> None:
    model(folder.inputs / "models/other", "centroid")
    (folder.inputs / "models/empty").mkdir()
    (folder.inputs / "models/exported").mkdir()
    (folder.inputs / "models/exported/model.onnx").write_bytes(b"network")
    with pytest.raises(PackageError, match=why):
        staged(folder, *models)


def test_a_pair_and_an_exported_model_are_taken(folder: JobFolder) -> None:
    assert len(task(folder, staged(folder, "instance", "centroid")).models) == 2
    (folder.inputs / "models/exported").mkdir()
    (folder.inputs / "models/exported/model.onnx").write_bytes(b"network")
    assert task(folder, staged(folder, "exported")).models == ("inputs/models/exported",)


def test_a_model_of_the_room_brings_all_its_parts(folder: JobFolder) -> None:
    shutil.move(folder.inputs / "models", folder.inputs / ROOM_MODEL)
    shutil.rmtree(folder.inputs / ROOM_MODEL / "single")
    plan = staged(folder, model_folders=(), model=RoomModel(digest="0" * 64, name="fly", version=3))
    assert task(folder, plan).models == ("inputs/room-model/centroid", "inputs/room-model/instance")
    shutil.rmtree(folder.inputs / ROOM_MODEL)
    with pytest.raises(PackageError, match="holds nothing to run"):
        staged(folder, model_folders=(), model=RoomModel(digest="0" * 64))


def test_what_was_asked_for_is_said_in_sleap_nns_words(folder: JobFolder) -> None:
    asked: dict[str, Any] = {
        "frames": "0-9,20-21", "batch_size": 8, "peak_threshold": 0.3, "max_instances": 2, "tracking": True,
        "tracker": "bytetrack", "max_tracks": 2, "no_empty_frames": True, "formats": ("slp", "analysis_h5"),
    }  # fmt: skip
    assert task(folder, staged(folder, **asked)).arguments == (
        "--batch_size", "8", "--peak_threshold", "0.3", "--max_instances", "2", "--tracker", "bytetrack",
        "--max_tracks", "2", "--tracking", "--no_empty_frames", "--output_format", "slp",
        "--output_format", "analysis_h5", "--frames", "0,1,2,3,4,5,6,7,8,9,20,21",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"only_suggested_frames": True}, "is about labels"),
        ({"tracker": "sort"}, "Add --tracking"),
        ({"tracker": "magic", "tracking": True}, "no tracker 'magic'"),
        ({"frames": f"0-{MAX_FRAMES}"}, "more than"),
    ],
)
def test_what_contradicts_itself_is_refused(folder: JobFolder, asked: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        staged(folder, **asked)


def test_frames_of_labels_are_chosen_in_one_way(folder: JobFolder) -> None:
    labels = (DataInput(path="data/labels.pkg.slp"),)
    assert task(folder, staged(folder, data=labels, only_suggested_frames=True)).only == "suggested"
    with pytest.raises(ConfigError, match="both say which frames"):
        staged(folder, data=labels, only_labeled_frames=True, frames="1-2")
    with pytest.raises(ConfigError, match="exclude each other"):
        staged(folder, data=labels, only_labeled_frames=True, only_suggested_frames=True)


def test_ranges_of_frames_are_read_as_sleap_nn_cannot() -> None:
    assert frames_argument("3-5") == "3-5"
    assert frames_argument("7") == "7"
    assert frames_argument("5-6,1,2-3,3") == "1,2,3,5,6"
    assert frames_argument("5-9,0-4,2,10") == "0-10"
    assert frames_argument("7-7") == "7"


def test_a_few_characters_do_not_become_megabytes() -> None:
    """Whoever names most of a long video in two pieces, for each of many inputs, must not fill memory and disk."""
    assert frames_argument(f"0-{MAX_FRAMES - 1}") == f"0-{MAX_FRAMES - 1}"
    most = frames_argument(f"0-{MAX_LISTED - 2},{MAX_LISTED}")
    assert most.count(",") == MAX_LISTED - 1
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match="in several ranges"):
            frames_argument(f"0-{MAX_LISTED - 1},{MAX_LISTED + 1}")
        with pytest.raises(ConfigError, match="in several ranges"):
            frames_argument(f"0-{MAX_FRAMES - 9},{MAX_FRAMES}")
        assert tracemalloc.get_traced_memory()[1] < 1024**2
    finally:
        tracemalloc.stop()
    assert last_frame("5-6,1,20-30,3") == 30


@pytest.mark.parametrize("text", ["", "a", "1-", "5-3", "1,,2", "-1", "0-99999999999", "1;2"])
def test_what_names_no_frames_is_no_option(text: str) -> None:
    with pytest.raises(ValueError, match=r"frames|String"):
        TrackOptions(model_folders=("m",), data=(CLIP,), frames=text)
