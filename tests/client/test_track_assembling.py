"""What is sent for an inference, which model is meant, and what is said of a mistake before anybody is asked."""

import shlex
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import sleap_io as sio

from sleap_rtc.cli.track import track
from sleap_rtc.cli.track_request import TrackRequest, read_track
from sleap_rtc.client.pending import content_of
from sleap_rtc.client.track_assembling import FoundModels, assemble_track, check_data, find_meant
from sleap_rtc.errors import PackageError, SleapRTCError
from sleap_rtc.protocol.files import check_path
from sleap_rtc.protocol.inference import DataInput, TrackOptions
from sleap_rtc.protocol.models import ModelRef, RoomModel
from tests.client.labels_on_videos import make_labels

pytestmark = pytest.mark.xdist_group("labels")
ROOM_MODEL = RoomModel(digest="a" * 64, name="fly", version=3)


@dataclass
class Sent:
    """What a command would send."""

    name: str
    files: set[str]
    options: TrackOptions
    content: str
    found: FoundModels


def read(words: str) -> TrackRequest:
    return read_track(track.make_context("track", shlex.split(words)).params)


async def typed(words: str) -> Sent:
    """Type ``sleap-rtc track`` with these words, as far as nobody has to be reached."""
    tracked = read(words).tracked
    found = find_meant(tracked.models)
    check_data(tracked.data, which=tracked.which)
    with closing(await assemble_track(tracked, found, ROOM_MODEL if found.ref else None)) as unread:
        package = await unread.read()
    assert isinstance(package.options, TrackOptions)
    content = content_of(package.manifest.digest, package.options)
    return Sent(package.name, {entry.path for entry in package.manifest}, package.options, content, found)


async def refused(words: str) -> str:
    with pytest.raises(SleapRTCError) as caught:
        await typed(words)
    assert caught.value.exit_code == 2
    return caught.value.sentence


def make_model(folder: Path, *more: str) -> Path:
    """A trained model's folder, with all that sleap-nn leaves in it."""
    folder.mkdir(parents=True)
    left = ("best.ckpt", "training_config.yaml", "initial_config.yaml", "training_log.csv", "last.ckpt", *more)
    for name in left:
        (folder / name).write_text(f"{folder.name}/{name}")
    return folder


def make_export(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("model.onnx", "export_metadata.json", ".hidden"):
        (folder / name).write_text(name)
    (folder / "linked.json").symlink_to("/etc/hostname")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: videos, and models of every kind."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("clip.mp4", "other/clip.mp4", "day 1.MP4"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    make_model(folder / "models" / "fly")
    for name in ("centroid", "centered"):
        make_model(folder / "pulled" / "fly-3" / name)
    (folder / "pulled" / "fly-3" / "model.json").write_text("{}")
    make_export(folder / "exported")
    return folder


async def test_only_what_an_inference_needs_of_a_model_is_sent(here: Path) -> None:
    sent = await typed("-m models/fly -i clip.mp4")
    assert sent.files == {
        "models/fly/best.ckpt", "models/fly/training_config.yaml", "models/fly/initial_config.yaml", "data/clip.mp4",
    }  # fmt: skip
    assert sent.options.model_folders == ("models/fly",)
    assert sent.options.data == (DataInput(path="data/clip.mp4"),)
    assert sent.options.model is None
    assert sent.name == "clip.mp4"
    assert (await typed("-m models/fly/best.ckpt -i clip.mp4")).content == sent.content
    assert (await typed("-m models/fly -i clip.mp4 --frames 0-1")).content != sent.content


async def test_a_pulled_pair_is_one_model_and_two_folders_are_a_pair(here: Path) -> None:
    sent = await typed("-m pulled/fly-3 -i clip.mp4")
    assert sent.options.model_folders == ("models/fly-3/centered", "models/fly-3/centroid")
    assert "models/fly-3/model.json" in sent.files
    pair = await typed("-m pulled/fly-3/centroid -m pulled/fly-3/centered -i clip.mp4")
    assert pair.options.model_folders == ("models/centroid", "models/centered")
    assert not any(path.endswith("model.json") for path in pair.files)


async def test_models_of_one_name_and_videos_of_one_name_stay_apart(here: Path) -> None:
    make_model(here / "elsewhere" / "fly")
    sent = await typed("-m models/fly -m elsewhere/fly -i clip.mp4 -i other/clip.mp4")
    assert sent.options.model_folders == ("models/fly", "models/fly-2")
    assert [each.path for each in sent.options.data] == ["data/clip.mp4", "data-2/clip.mp4"]
    assert sent.name == "clip.mp4 + 1 more"
    assert all(check_path(path) for path in sent.files)


async def test_an_exported_model_goes_whole_but_for_what_leads_elsewhere(here: Path) -> None:
    sent = await typed("-m exported -i 'day 1.MP4' --runtime onnx")
    assert sent.files == {"models/exported/model.onnx", "models/exported/export_metadata.json", "data/day 1.MP4"}
    assert sent.options.runtime == "onnx"


async def test_a_model_of_the_room_and_data_on_the_worker_send_nothing(here: Path) -> None:
    sent = await typed("-m fly@production -i lab:/videos/a.mp4")
    assert sent.files == set()
    assert sent.found.ref == ModelRef("fly", alias="production")
    assert sent.options.model == ROOM_MODEL
    assert sent.options.data == (DataInput(path="lab:/videos/a.mp4", in_package=False),)


def test_a_folder_that_holds_a_model_wins_over_a_name_and_that_is_said(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here / "models")
    found = find_meant(["fly"])
    assert (found.ref, [each.name for each in found.local]) == (None, ["fly"])
    assert found.notes == ("The folder 'fly' here is used, and no model of the room that may be called so.",)
    (here / "models" / "mouse").mkdir()
    found = find_meant(["mouse"])
    assert (found.ref, found.local) == (ModelRef("mouse"), ())
    assert found.notes == ("'mouse' here holds no model: the room's is meant.",)
    assert find_meant(["fly@3"]).ref == ModelRef("fly", version=3)


async def test_options_are_said_in_sleap_nns_words(here: Path) -> None:
    words = "-m fly -i clip.mp4 --frames 0-9,20 -b 8 --peak-threshold 0.1 -n 2 -t --tracker bytetrack --max-tracks 2"
    sent = await typed(f"{words} --tracking-window-size 5 --no-empty-frames --format analysis_h5")
    assert sent.options == TrackOptions(
        model=ROOM_MODEL, data=(DataInput(path="data/clip.mp4"),), frames="0-9,20", batch_size=8, peak_threshold=0.1,
        max_instances=2, tracking=True, tracker="bytetrack", max_tracks=2, tracking_window_size=5, no_empty_frames=True,
        formats=("slp", "analysis_h5"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-m ./models -i clip.mp4", "a folder of models: fly"),
        ("-m ./nothing -i clip.mp4", "no model 'nothing' on this machine"),
        ("-m other/ -i clip.mp4", "holds no model"),
        ("-m fly@0 -i clip.mp4", "names no model"),
        ("-m fly -m mouse -i clip.mp4", "is used alone"),
        ("-m fly -m models/fly -i clip.mp4", "is used alone"),
        ("-m models/fly -m models/fly/best.ckpt -i clip.mp4", "named twice"),
        ("-m fly -i gone.mp4", "no such file"),
        ("-m fly -i other", "a folder. Give each video"),
        ("-m fly -i models/fly/best.ckpt", "neither a video"),
        ("-m fly -i clip.mp4 -i ./clip.mp4", "twice"),
        ("-m fly -i lab:/a.mp4 -i lab:/a.mp4", "twice"),
        ("-m fly -i clip.mp4 --frames 9-1", "--frames '9-1' is refused"),
        ("-m fly -i clip.mp4 --frames 1;2", "--frames"),
        ("-m fly -i clip.mp4 --only-suggested-frames", "--only-suggested-frames is about frames of labels"),
        ("-m fly -i a.slp --only-suggested-frames --only-labeled-frames", "say two things"),
        ("-m fly -i a.slp --only-suggested-frames --frames 1", "both say which frames"),
        ("-m fly -i clip.mp4 --tracker flow", "Add --tracking"),
        ("-m fly -i clip.mp4 -t --tracker 'rm -rf'", "--tracker"),
        ("-m fly -i clip.mp4 -t --tracker flow", "no tracker 'flow': there are classic"),
        ("-m fly -i clip.mp4 --frames 0-9999999", "more than 5000000 frames"),
    ],
)
async def test_mistakes_are_sentences(here: Path, words: str, said: str) -> None:
    assert said in await refused(words)


async def test_what_is_wrong_with_a_model_is_named(here: Path) -> None:
    (here / "models" / "fly" / "training_config.yaml").unlink()
    assert "has no training_config.yaml" in await refused("-m models/fly -i clip.mp4")
    old = here / "old"
    old.mkdir()
    (old / "best_model.h5").write_text("keras")
    assert "SLEAP 1.4 or older" in await refused("-m ./old -i clip.mp4")


async def test_labels_without_images_bring_those_that_are_looked_at(here: Path) -> None:
    path = make_labels(here / "labels.slp", here / "a.mp4")
    labels = sio.load_slp(str(path))
    for index in (5, 7):
        labels.suggestions.append(sio.SuggestionFrame(video=labels.videos[0], frame_idx=index))
    labels.save(str(path), verbose=False)
    assert "give the video with --data: " in await refused("-m fly -i labels.slp")
    for option, frames in (
        ("--only-suggested-frames", [5, 7]),
        ("--only-labeled-frames", [0, 2, 4, 6, 8, 10]),
        ("--exclude-user-labeled", [0, 2, 3, 4, 6, 8, 10]),
    ):
        tracked = read(f"-m fly -i labels.slp {option}").tracked
        with closing(await assemble_track(tracked, FoundModels(), ROOM_MODEL)) as unread:
            assert isinstance(unread.options, TrackOptions)
            assert unread.options.data == (DataInput(path="data/labels.pkg.slp"),)
            sent = sio.load_slp(str(unread.source.local("data/labels.pkg.slp")))
        assert sorted(int(each) for each in sent.videos[0].backend.source_inds) == frames
        assert len(sent.suggestions) == 2
    assert (await typed("-m fly -i labels.slp --only-suggested-frames")).content == (
        await typed("-m fly -i labels.slp --only-suggested-frames")
    ).content
    (here / "a.mp4").rename(here / "moved.mp4")
    assert "which is not on this machine" in await refused("-m fly -i labels.slp --only-labeled-frames")


async def test_labels_with_images_go_as_they_are(here: Path, real_labels: bytes) -> None:
    (here / "labels.pkg.slp").write_bytes(real_labels)
    sent = await typed("-m fly -i labels.pkg.slp")
    assert sent.files == {"data/labels.pkg.slp"}
    with pytest.raises(PackageError, match="have no suggested frames"):
        await typed("-m fly -i labels.pkg.slp --only-suggested-frames")
    (here / "torn.slp").write_bytes(b"torn")
    assert "cannot be read" in await refused("-m fly -i torn.slp --only-labeled-frames")
