"""Bundles: what they are made of, that they are whole or not there, and that no job gets anything else into one."""

import hashlib
import json
import os
import shutil
import sys
import tracemalloc
from io import BufferedReader, FileIO
from pathlib import Path

import pytest

from sleap_rtc.errors import NotFoundError, StorageError
from sleap_rtc.jobs import bundles
from sleap_rtc.jobs.bundles import BEST, mark_of
from sleap_rtc.jobs.bundles_keeping import bundle_job
from sleap_rtc.jobs.bundles_reading import MAX_METRICS, describe_run
from sleap_rtc.jobs.bundles_shelf import BundleShelf
from sleap_rtc.jobs.events import Journal
from sleap_rtc.jobs.folder import JobFolder, StateRecord
from sleap_rtc.jobs.trained import ROOM_MODEL
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.exporting import ExportOptions
from sleap_rtc.protocol.jobs import EpochEnded, JobSpec, JobState, Run, RunEnded, Verb
from sleap_rtc.protocol.models import RECORD, BundleFile, ModelRecord, RoomModel, bundle_digest
from sleap_rtc.protocol.training import TrainOptions
from sleap_rtc.transfer.bundle import verify_bundle
from tests.jobs.conftest import LABELS, OWNER, training_config

ROOM = OWNER.room
SKELETON = {
    "nodes": [{"name": "head"}, {"name": "tail"}],
    "edges": [{"source": {"name": "head"}, "destination": {"name": "tail"}}],
}

METRICS = json.dumps({"mOKS": {"mOKS": 0.5}, "distance_metrics": {"avg": float("nan"), "dists": [1]}})


def trained_config(head: str) -> bytes:
    config = training_config(head)
    config["data_config"]["skeletons"] = [SKELETON]
    config["data_config"]["preprocessing"] = {"scale": 0.5, "crop_size": 96}
    return write_yaml(config | {"sleap_nn_version": "0.3.5"}).encode()


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    """A top-down job that is over."""
    runs = tuple(Run(name=name, model_type=name, config="x") for name in ("centroid", "centered_instance"))
    spec = JobSpec(
        job="j_12345678",
        owner=OWNER,
        name="test",
        manifest="0" * 64,
        submitted=0,
        runs=runs,
        options=TrainOptions(register_as="fly"),
    )
    made = JobFolder.create(tmp_path / "jobs" / spec.job, spec)
    (made.inputs / "labels.pkg.slp").write_bytes(LABELS)
    with Journal(made.events) as journal:
        for run in runs:
            place = made.models / run.name
            (place / "viz").mkdir(parents=True)
            (place / "viz" / "a.png").write_bytes(b"image")
            for name, data in (
                (BEST, b"weights of " + run.name.encode()),
                ("last.ckpt", b"more"),
                ("training_config.yaml", trained_config(run.name)),
                ("initial_config.yaml", b"{}"),
                ("training_log.csv", b"epoch\n"),
                (
                    "metrics.val.0.json",
                    json.dumps(
                        {"mOKS": {"mOKS": 0.5}, "distance_metrics": {"avg": float("nan"), "dists": [1]}}
                    ).encode(),
                ),
            ):
                (place / name).write_bytes(data)
            journal.append(EpochEnded(epoch=0, metrics={"val/loss": 0.25}), run.name)
            journal.append(RunEnded(outcome="done", folder=run.name), run.name)
    made.write_state(StateRecord(state=JobState.DONE, t=10))
    return made


@pytest.fixture
def shelf(tmp_path: Path) -> BundleShelf:
    return BundleShelf(tmp_path / "models")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_job_that_is_over_becomes_a_bundle_that_says_what_it_is(folder: JobFolder, shelf: BundleShelf) -> None:
    assert bundle_job(folder, ROOM, shelf)
    (note,) = shelf.notes(ROOM)
    place = shelf.folder(ROOM, note.digest)
    files = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()}
    kept = (BEST, "initial_config.yaml", "metrics.val.0.json", "training_config.yaml", "training_log.csv")
    assert set(files) == {RECORD} | {f"{run}/{name}" for run in ("centroid", "centered_instance") for name in kept}
    # what sha256sum prints for its files is what names it
    assert bundle_digest((path, sha256(file)) for path, file in files.items()) == note.digest
    assert note.size == sum(file.stat().st_size for file in files.values())
    record = ModelRecord.from_bytes(files[RECORD].read_bytes())
    assert {file.path: (file.size, file.sha256) for file in record.files} == {
        path: (file.stat().st_size, sha256(file)) for path, file in files.items() if path != RECORD
    }
    assert (record.job, record.made_by, record.made, record.manifest) == (folder.job, OWNER.name, 10, "0" * 64)
    assert (record.name, record.version, record.sleap_nn) == (None, None, "0.3.5")
    assert record.labels == {"labels.pkg.slp": hashlib.sha256(LABELS).hexdigest()}
    assert record.options == TrainOptions(register_as="fly").model_dump(mode="json")
    part = record.parts[0]
    assert (part.folder, part.model_type, part.nodes, part.edges) == (
        "centered_instance", "centered_instance", ("head", "tail"), ((0, 1),),
    )  # fmt: skip
    assert (part.input_scale, part.channels, part.crop) == (0.5, 1, 96)
    assert part.metrics == {"mOKS": 0.5, "distance_metrics.avg": None}
    assert (note.loss, note.user, note.register_as) == (0.25, OWNER.user, "fly")
    assert note.title == "centered_instance + centroid"


def test_it_is_made_once_for_each_end_and_not_again_after_it_was_removed(
    folder: JobFolder, shelf: BundleShelf, tmp_path: Path
) -> None:
    assert bundle_job(folder, ROOM, shelf)
    assert not bundle_job(folder, ROOM, shelf)
    (note,) = shelf.notes(ROOM)
    shelf.remove(ROOM, note.digest)
    assert not bundle_job(folder, ROOM, shelf)
    assert shelf.notes(ROOM) == []
    # the same end makes the same bundle, byte by byte, wherever
    (folder.control / "models.json").unlink()
    other = BundleShelf(tmp_path / "other")
    assert bundle_job(folder, ROOM, other)
    assert [each.digest for each in other.notes(ROOM)] == [note.digest]
    # a crash between the rename and the mark: found as it is
    (folder.control / "models.json").write_text('{"t": 10, "dig')
    assert bundle_job(folder, ROOM, other)
    assert len(other.notes(ROOM)) == 1
    folder.write_state(StateRecord(state=JobState.DONE, t=11, attempt=2))
    assert bundle_job(folder, ROOM, other)
    assert [each.made for each in other.notes(ROOM)] == [11, 10]


@pytest.fixture
def exported(folder: JobFolder, shelf: BundleShelf, tmp_path: Path) -> JobFolder:
    """The export of that job's model, over as well."""
    bundle_job(folder, ROOM, shelf)
    (note,) = shelf.notes(ROOM)
    options = ExportOptions(model=RoomModel(digest=note.digest))
    run = Run(name="onnx", verb=Verb.EXPORT, config="x")
    spec = JobSpec(
        job="j_87654321", owner=OWNER, name="fly", manifest="1" * 64, submitted=0, runs=(run,), options=options
    )
    made = JobFolder.create(tmp_path / "jobs" / spec.job, spec)
    shutil.copytree(shelf.folder(ROOM, note.digest), made.inputs / ROOM_MODEL)
    (made.models / "onnx").mkdir(parents=True)
    names = ("model.onnx", "export_metadata.json", "training_config_centroid.yaml", "notes.txt", "model.trt")
    for name in names:
        (made.models / "onnx" / name).write_bytes(name.encode())
    with Journal(made.events) as journal:
        journal.append(RunEnded(outcome="done", folder="onnx"), "onnx")
    made.write_state(StateRecord(state=JobState.DONE, t=20))
    return made


def test_an_export_becomes_another_format_of_the_model_that_it_was_made_from(
    exported: JobFolder, shelf: BundleShelf
) -> None:
    assert bundle_job(exported, ROOM, shelf)
    note, source = shelf.notes(ROOM)
    assert (note.format, note.source, note.title) == ("onnx", source.digest, source.title)
    place = shelf.folder(ROOM, note.digest)
    record = verify_bundle(place, note.digest)
    assert (record.format, record.source, record.made) == ("onnx", source.digest, 20)
    assert [file.path for file in record.files] == [
        "onnx/export_metadata.json", "onnx/model.onnx", "onnx/training_config_centroid.yaml",
    ]  # fmt: skip
    trained = ModelRecord.from_bytes((shelf.folder(ROOM, source.digest) / RECORD).read_bytes())
    assert [part.config for part in record.parts] == ["", "onnx/training_config_centroid.yaml"]
    assert [part.nodes for part in record.parts] == [part.nodes for part in trained.parts]
    assert (record.job, record.manifest, record.labels) == (trained.job, trained.manifest, trained.labels)
    assert not bundle_job(exported, ROOM, shelf)


@pytest.mark.parametrize("lacking", ["network", "end", "source"])
def test_an_export_that_left_no_network_or_says_not_of_what_makes_none(
    exported: JobFolder, shelf: BundleShelf, lacking: str
) -> None:
    if lacking == "network":
        (exported.models / "onnx" / "model.onnx").unlink()
    elif lacking == "end":
        exported.write_state(StateRecord(state=JobState.FAILED, t=20))
    else:
        (exported.inputs / ROOM_MODEL / RECORD).chmod(0o600)
        (exported.inputs / ROOM_MODEL / RECORD).write_bytes(b"{}")
    assert not bundle_job(exported, ROOM, shelf)
    assert [note.format for note in shelf.notes(ROOM)] == ["sleap-nn"]


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.RUNNING, JobState.QUEUED])
def test_a_job_that_was_cancelled_or_goes_on_makes_none(folder: JobFolder, shelf: BundleShelf, state: JobState) -> None:
    folder.write_state(StateRecord(state=state, t=10))
    assert not bundle_job(folder, ROOM, shelf)
    assert shelf.notes(ROOM) == []
    assert (mark_of(folder) is not None) == state.ended


def test_a_job_of_another_room_makes_none_in_this_one(folder: JobFolder, shelf: BundleShelf) -> None:
    assert not bundle_job(folder, "r_other123", shelf)
    assert shelf.rooms() == []


def test_what_was_read_of_a_job_that_went_on_meanwhile_is_thrown_away(
    folder: JobFolder, shelf: BundleShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = bundles.finish_bundle

    def go_on(target: Path, record: ModelRecord) -> bundles.Bundle:
        folder.write_state(StateRecord(state=JobState.QUEUED, t=11, attempt=2))
        return finish(target, record)

    monkeypatch.setattr(bundles, "finish_bundle", go_on)
    assert not bundle_job(folder, ROOM, shelf)
    assert shelf.notes(ROOM) == []
    assert mark_of(folder) is None
    assert list(shelf.root.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no job is in a sandbox there")
@pytest.mark.parametrize("how", ["file", "folder", "hard link", "pipe"])
def test_a_swapped_file_leads_nowhere(folder: JobFolder, shelf: BundleShelf, tmp_path: Path, how: str) -> None:
    """A job that goes on may swap what was listed before it is opened."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / BEST).write_bytes(b"token")
    run = folder.models / "centroid"
    best = run / BEST
    listed = folder.results()
    if how == "folder":
        run.rename(folder.models / "gone")
        run.symlink_to(tmp_path / "secret")
    else:
        best.unlink()
        if how == "file":
            best.symlink_to(tmp_path / "secret" / BEST)
        elif how == "pipe":
            os.mkfifo(best)
        else:
            best.hardlink_to(tmp_path / "secret" / BEST)
    patch = pytest.MonkeyPatch()
    patch.setattr(JobFolder, "results", lambda _: listed)
    try:
        with pytest.raises((NotFoundError, OSError)):
            bundle_job(folder, ROOM, shelf)
    finally:
        patch.undo()
    assert shelf.notes(ROOM) == []
    assert list(shelf.root.iterdir()) == []
    assert mark_of(folder) is None


def test_a_nearly_full_disk_takes_none_and_the_job_is_tried_again(folder: JobFolder, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="left"):
        bundle_job(folder, ROOM, BundleShelf(tmp_path / "models", min_free=2**62))
    assert mark_of(folder) is None
    assert bundle_job(folder, ROOM, BundleShelf(tmp_path / "models"))


@pytest.mark.skipif(sys.platform != "linux", reason="files with holes that the test can count on")
def test_weights_that_claim_more_than_there_is_fill_no_disk(folder: JobFolder, shelf: BundleShelf) -> None:
    """A job of little can leave files of any size, all holes: their copies must not take what they claim."""
    best = folder.models / "centroid" / BEST
    os.truncate(best, 4 * 2**30)
    nearly = BundleShelf(shelf.root, min_free=shutil.disk_usage(folder.path).free - 2**30)
    with pytest.raises(StorageError, match="left"):
        bundle_job(folder, ROOM, nearly)
    assert list(shelf.root.iterdir()) == []
    assert mark_of(folder) is None
    os.truncate(best, 64 * 2**20)
    assert bundle_job(folder, ROOM, shelf)
    (note,) = shelf.notes(ROOM)
    copy = shelf.folder(ROOM, note.digest) / "centroid" / BEST
    assert sha256(copy) == sha256(best)
    assert copy.stat().st_blocks * 512 < 4 * 2**20


class Growing(BufferedReader):
    """A file to which somebody appends a little at each of the first looks."""

    looks = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.looks += 1
        if self.looks < 4:
            with Path(self.name).open("ab") as file:
                file.write(b"x" * 1000)
        return super().read(size)


def test_weights_that_grow_while_they_are_copied_are_not_followed(tmp_path: Path) -> None:
    best = tmp_path / BEST
    best.write_bytes(b"weights")
    with Growing(FileIO(best)) as source, pytest.raises(NotFoundError, match="grows"):
        bundles._copy(source, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size == 0


def test_what_a_crash_left_is_swept(folder: JobFolder, shelf: BundleShelf) -> None:
    assert bundle_job(folder, ROOM, shelf)
    (note,) = shelf.notes(ROOM)
    room = shelf.root / ROOM
    (shelf.root / ".new-0123").mkdir()
    (room / f"{'1' * 64}.json").write_bytes(note.model_dump_json().encode())
    (room / ("2" * 64)).mkdir()
    BundleShelf(shelf.root).sweep()
    assert sorted(path.name for path in room.iterdir()) == [note.digest, f"{note.digest}.json"]
    assert [path.name for path in shelf.root.iterdir()] == [ROOM]
    assert shelf.notes(ROOM) == [note]


@pytest.mark.parametrize("digest", ["..", "0" * 63, "../" + "0" * 61, "A" * 64, ""])
def test_a_digest_that_is_none_is_no_path(folder: JobFolder, shelf: BundleShelf, digest: str) -> None:
    assert bundle_job(folder, ROOM, shelf)
    for room in (ROOM, "r_other123", "..", ""):
        with pytest.raises(NotFoundError, match="no such model"):
            shelf.folder(room, digest)


def test_a_digest_of_one_room_is_unknown_in_another(folder: JobFolder, shelf: BundleShelf) -> None:
    assert bundle_job(folder, ROOM, shelf)
    (note,) = shelf.notes(ROOM)
    with pytest.raises(NotFoundError, match="no such model of the room"):
        shelf.folder("r_other123", note.digest)


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"- 1",
        b"a: &x [1]\nb: *x",
        b"data_config: {skeletons: [{nodes: [{name: a}, {name: a}]}]}",
        b"data_config: {skeletons: {nodes: 1}, preprocessing: {scale: .nan, crop_size: -1}}",
        b"model_config: {head_configs: [1], backbone_config: {unet: {in_channels: true}}}",
    ],
)
def test_a_config_that_makes_no_sense_says_nothing(config: bytes) -> None:
    part, version = describe_run("run", "centroid", config, b'{"a": {"b": 1e999}, "c": [[')
    assert (part.nodes, part.edges, part.input_scale, part.channels, part.crop) == ((), (), None, None, None)
    assert (part.model_type, part.metrics, version) == ("centroid", {}, "")


@pytest.mark.parametrize("inner", [b"{}", b"[]", b"0.5", b'{"a":{}}'])
def test_metrics_that_are_small_to_write_and_large_to_hold_say_nothing(inner: bytes) -> None:
    """They are read in the worker's own process, which has other things to do with its memory."""
    many = MAX_METRICS // (len(inner) + 1) - 10
    data = b'{"m":1,"l":[' + (inner + b",") * many + b"0]}"
    tracemalloc.start()
    try:
        part, _ = describe_run("run", "centroid", b"", data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert part.metrics == {}
    assert peak < MAX_METRICS
    kept, _ = describe_run("run", "centroid", b"", b'{"m":1,"l":[' + b"0.123456789," * 400_000 + b"0]}")
    assert kept.metrics == {"m": 1}


def test_options_too_large_to_be_read_again_are_left_out(folder: JobFolder, shelf: BundleShelf) -> None:
    deep: object = 1
    for _ in range(14):
        deep = [deep]
    options = TrainOptions.model_validate({"overrides": [{"key": "a", "value": deep}]})
    folder.write_spec(folder.spec().model_copy(update={"options": options}))
    assert bundle_job(folder, ROOM, shelf)
    (note,) = shelf.notes(ROOM)
    record = ModelRecord.from_bytes((shelf.folder(ROOM, note.digest) / RECORD).read_bytes())
    assert record.options is None
    assert all(isinstance(file, BundleFile) for file in record.files)
