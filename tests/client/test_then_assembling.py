"""What is sent to be looked at after a training, what its predictions are called, and into what they are merged."""

import shutil
import zipfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import sleap_io as sio

from sleap_rtc.cli.then_request import take_then
from sleap_rtc.cli.train import train
from sleap_rtc.cli.training_request import read_typed, take_typed
from sleap_rtc.client.assembling import assemble
from sleap_rtc.client.start_model import begun_with, find_start
from sleap_rtc.client.then_assembling import FoundThen, found_then
from sleap_rtc.client.video_choice import VideoChoice
from sleap_rtc.client.with_videos import with_videos
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.inference import ThenTrack
from sleap_rtc.protocol.models import ModelRef, RoomModel
from sleap_rtc.protocol.training import TrainOptions
from tests.client.labels_on_videos import make_labels
from tests.jobs.conftest import training_config

pytestmark = pytest.mark.xdist_group("labels")
SUGGESTIONS = ("--then", "track", "--on", "suggestions")
SUGGESTED = (5, 7)


@dataclass
class Sent:
    """What a command would send."""

    files: set[str]
    options: TrainOptions
    found: FoundThen
    images: dict[str, list[int]]
    """By path, which frames the first video of labels has images of."""

    @property
    def then(self) -> ThenTrack:
        assert self.options.then is not None
        return self.options.then

    @property
    def data(self) -> list[str]:
        return [each.path for each in self.then.data]


async def typed(*words: str) -> Sent:
    """Type ``sleap-rtc train`` with these words, as far as nobody has to be reached."""
    params = train.make_context("train", list(words)).params
    then = take_then(params)
    assert then is not None
    wanted = read_typed(take_typed(params))
    with closing(await assemble(wanted)) as unread:
        async with found_then(then, unread, wanted.package) as found:
            changed, videos = await with_videos(unread, VideoChoice(), package=wanted.package)
            with closing(await found.add_to(changed, videos.replaced)) as whole:
                assert isinstance(whole.options, TrainOptions)
                names = {path for path, _ in whole.source.files()}
                labels = {path: whole.source.local(path) for path in names if path.endswith(".slp")}
                images = {path: images_of(file) for path, file in labels.items() if file is not None}
                return Sent(names, whole.options, found, images)


async def refused(*words: str) -> str:
    with pytest.raises(SleapRTCError) as caught:
        await typed(*words)
    assert caught.value.exit_code == 2
    return caught.value.sentence


def images_of(path: Path) -> list[int]:
    return sorted(int(each) for each in sio.load_slp(str(path)).videos[0].backend.source_inds)


def suggest(path: Path, *frames: int) -> Path:
    labels = sio.load_slp(str(path))
    for index in frames:
        labels.suggestions.append(sio.SuggestionFrame(video=labels.videos[0], frame_idx=index))
    labels.save(str(path), verbose=False)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config, labels with suggestions on a video, the same as packages, and a clip."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "one.yaml").write_text(write_yaml(training_config()))
    labels = suggest(make_labels(folder / "flies.slp", folder / "a.mp4"), *SUGGESTED)
    shutil.copy(folder / "a.mp4", folder / "clip.mp4")
    for name, embed in (("whole", "user+suggestions"), ("labelled", "user")):
        package = folder / name
        package.mkdir()
        (package / "one.yaml").write_text(write_yaml(training_config()))
        sio.load_slp(str(labels)).save(str(package / "flies.pkg.slp"), embed=embed, verbose=False)
    return folder


async def test_images_of_suggestions_go_beside_what_is_trained_on(here: Path) -> None:
    sent = await typed("one.yaml", "--labels", "flies.slp", *SUGGESTIONS)
    assert sent.data == ["suggestions/flies.suggestions.pkg.slp"]
    assert sent.then.only_suggested_frames
    assert sent.images == {
        "labels/flies.slp": [0, 2, 4, 6, 8, 10],
        "suggestions/flies.suggestions.pkg.slp": list(SUGGESTED),
    }
    assert sent.options.labels == ("labels/flies.slp",)
    assert sent.found.output.names == ("flies.predictions.slp",)
    assert sent.found.places == [here / "flies.slp"]


async def test_a_package_that_holds_them_is_sent_as_it_is(here: Path) -> None:
    sent = await typed("-p", "whole", *SUGGESTIONS, "--on", "clip.mp4", "--on", "lab:/far.mp4")
    assert sent.files == {"one.yaml", "flies.pkg.slp", "data/clip.mp4"}
    assert sent.data == ["flies.pkg.slp", "data/clip.mp4", "lab:/far.mp4"]
    assert [each.in_package for each in sent.then.data] == [True, True, False]
    assert sent.found.output.names == ("flies.predictions.slp", "clip.predictions.slp", "far.predictions.slp")
    assert sent.found.places == [here / "whole/flies.pkg.slp", Path("clip.mp4"), None]


async def test_a_zip_is_looked_into(here: Path) -> None:
    with zipfile.ZipFile(here / "whole.zip", "w") as archive:
        for path in (here / "whole").iterdir():
            archive.write(path, path.name)
    sent = await typed("-p", "whole.zip", *SUGGESTIONS)
    assert (sent.data, sent.files) == (["flies.pkg.slp"], {"one.yaml", "flies.pkg.slp"})
    # what was unpacked is gone by then
    assert sent.found.places == [None]
    assert not list((here.parent / "home/tmp").glob("labels-*"))


async def test_a_package_without_them_is_refused_before_it_is_trained(here: Path) -> None:
    assert "have no suggested frames, so there is nothing to look at" in await refused("-p", "labelled", *SUGGESTIONS)


async def test_labels_without_suggestions_or_images_are_refused(here: Path) -> None:
    make_labels(here / "none.slp", here / "b.mp4")
    assert "have no suggested frames" in await refused("one.yaml", "--labels", "none.slp", *SUGGESTIONS)
    said = await refused("-p", "whole", *SUGGESTIONS[:3], "flies.slp")
    assert "give the video with --on: " in said
    assert "say --on suggestions" in said


async def test_whose_suggestions_are_meant_has_to_be_clear(here: Path) -> None:
    shutil.copy(here / "whole/flies.pkg.slp", here / "whole/more.pkg.slp")
    said = await refused("-p", "whole", *SUGGESTIONS)
    assert "there are 2 labels files (flies.pkg.slp, more.pkg.slp)" in said
    # those that only validate are none of them
    shutil.move(here / "whole/more.pkg.slp", here / "checked.pkg.slp")
    words = ("-p", "whole", "--val-labels", "checked.pkg.slp")
    assert (await typed(*words, *SUGGESTIONS)).data == ["flies.pkg.slp"]
    # named, each has its own
    sent = await typed("one.yaml", "--labels", "flies.slp", "--labels", "checked.pkg.slp", *SUGGESTIONS)
    assert sent.data == ["suggestions/flies.suggestions.pkg.slp", "labels/checked.pkg.slp"]
    override = "data_config.train_labels_path=[checked.pkg.slp]"
    assert (await typed("one.yaml", override, *SUGGESTIONS)).data == ["labels/checked.pkg.slp"]


async def test_a_copy_of_labels_of_the_same_videos_gets_the_predictions(here: Path) -> None:
    sent = await typed(
        "-p", "whole", *SUGGESTIONS, "--on", "a.mp4", "--merge", "flies.slp", "--predictions", "new/m.slp"
    )
    merging = sent.found.merging
    assert merging is not None
    assert (merging.target, merging.videos) == (Path("new/m.slp"), (None, 0))
    assert sent.found.output.folder == Path("new")
    make_labels(here / "other.slp", here / "b.mp4")
    said = await refused("-p", "whole", *SUGGESTIONS, "--merge", "other.slp")
    assert "are about other videos than other.slp" in said
    said = await refused("-p", "whole", *SUGGESTIONS[:3], "clip.mp4", "--merge", "flies.slp")
    assert "'clip.mp4' is no video of flies.slp" in said
    (here / "m.slp").write_bytes(b"mine")
    said = await refused("-p", "whole", *SUGGESTIONS, "--merge", "flies.slp", "--predictions", "m.slp")
    assert "another name with --predictions" in said


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("fly", ModelRef(name="fly")),
        ("fly@3", ModelRef(name="fly", version=3)),
        ("fly@production", ModelRef(name="fly", alias="production")),
        ("j_abcdefgh", ModelRef(job="j_abcdefgh")),
        ("./fly", None),
        ("gone.ckpt", None),
        ("old.h5", None),
    ],
)
def test_a_name_is_the_rooms_and_a_path_is_a_path(here: Path, text: str, ref: ModelRef | None) -> None:
    assert (find_start(text).ref, find_start(text).note) == (ref, None)


def test_a_path_that_leads_somewhere_is_taken_and_that_is_said(here: Path) -> None:
    (here / "fly").mkdir()
    assert find_start("fly").ref is None
    assert "The folder 'fly' here is used" in str(find_start("fly").note)
    (here / "fly@3").write_bytes(b"weights")
    assert "The file 'fly@3' here is used" in str(find_start("fly@3").note)
    assert find_start("./fly").note is None


async def test_a_pair_begins_with_one_version(here: Path) -> None:
    (here / "two.yaml").write_text(write_yaml(training_config("centroid")))
    words = ["one.yaml", "two.yaml", "--labels", "flies.slp", "--from", "pair@1"]
    wanted = read_typed(take_typed(train.make_context("train", words).params))
    assert wanted.start_from == ModelRef(name="pair", version=1)
    # the worker says where it puts the model
    assert [each.key for each in wanted.options.overrides] == []
    model = RoomModel(digest="a" * 64, name="pair", version=1)
    with closing(await assemble(wanted)) as unread:
        options = begun_with(unread, model).options
    assert isinstance(options, TrainOptions)
    assert options.start_from == model
