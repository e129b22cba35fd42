"""What comes of labels without images: which way is taken, what is sent and said, and what is refused before it is."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.cli.video_asking import explained
from sleap_rtc.cli.video_options import read_video_options
from sleap_rtc.client.labels_asking import Helper
from sleap_rtc.client.package import UnreadPackage, open_source
from sleap_rtc.client.video_choice import Labels, PreparedVideos, Situation, VideoChoice, Way
from sleap_rtc.client.video_maps import VideoMap, VideoMaps
from sleap_rtc.client.videos import prepare_videos, remember
from sleap_rtc.client.with_videos import with_videos
from sleap_rtc.config.paths import home
from sleap_rtc.errors import ConfigError, PackageError, SleapRTCError, UsageError
from sleap_rtc.protocol.training import Override, TrainOptions, Videos

HELPER = """
import json, sys
request = json.loads(sys.stdin.readline())
if request["type"] == "look":
    print(json.dumps({"type": "looked", "files": ANSWER[: len(request["files"])]}))
else:
    open(request["target"], "w").write(json.dumps(request["places"]) + str(request["every"]))
    print(json.dumps({"type": "embedding", "done": 3, "total": 3}))
    print(json.dumps({"type": "embedded", "frames": 3}))
"""
BOTH = [("map", "/old/a.mp4"), ("map", "/old/b.mp4")]


def video(name: str, found: Path | None = None, *, frames: int = 4, embedded: bool = False) -> dict[str, Any]:
    place = None if found is None else str(found)
    return {"names": [name], "found": [place], "frames": frames, "trained": min(frames, 3), "embedded": embedded}


def says(*files: Sequence[dict[str, Any]] | str) -> Helper:
    """A helper that has seen these videos in the labels, or a problem."""
    answer = [{"problem": file} if isinstance(file, str) else {"videos": list(file)} for file in files]
    code = HELPER.replace("ANSWER", f"json.loads({json.dumps(answer)!r})")
    return Helper(command=(sys.executable, "-S", "-c", code))


@pytest.fixture
def labels(tmp_path: Path) -> list[Labels]:
    """Two labels files."""
    found = [Labels(f"labels/{name}.slp", tmp_path / f"{name}.slp", tmp_path) for name in ("one", "two")]
    for each in found:
        each.file.write_bytes(each.place.encode())
    return found


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A video of this machine."""
    (tmp_path / "day1").mkdir()
    path = tmp_path / "day1" / "a.mp4"
    path.write_bytes(b"video")
    return path


def typed(*words: tuple[str, str], kind: str = "map", way: Any = None, **more: Any) -> VideoChoice:
    targets = [{"old": old, "new": new} for old, new in words]
    return VideoChoice(way=way, places=Videos.model_validate({"kind": kind, "targets": targets}), **more)


async def test_labels_that_nobody_asks_about_are_embedded(labels: list[Labels], here: Path) -> None:
    told: list[tuple[int, int]] = []
    prepared = await prepare_videos(
        labels[:1],
        VideoChoice(),
        helper=says([video("/old/a.mp4", here), video("/old/b.mp4", frames=0)]),
        on_frames=lambda done, total: told.append((done, total)),
    )
    (copy,) = prepared.replaced.values()
    assert list(prepared.replaced) == ["labels/one.slp"]
    # a video without labelled frames need not be here
    assert copy.read_text() == json.dumps([[str(here)], None]) + "False"
    assert (prepared.videos, prepared.maps) == (None, ())
    assert prepared.notes == ("labels/one.slp: sent with the images of 3 labelled frames.",)
    assert told == [(3, 3)]


async def test_videos_are_sent_under_names_of_their_own(labels: list[Labels], here: Path, tmp_path: Path) -> None:
    other = tmp_path / "day2" / "a.mp4"
    other.parent.mkdir()
    other.write_bytes(b"another")
    helper = says([video("/old/day1/a.mp4", here), video("/old/day2/a.mp4", other)], [video("/old/day1/a.mp4", here)])
    prepared = await prepare_videos(labels, VideoChoice(way="send"), helper=helper, taken=["videos/x"])
    assert prepared.added == {"videos/a.mp4": here, "videos-2/a.mp4": other}
    assert prepared.videos is not None
    assert [(each.old, each.new, each.in_package) for each in prepared.videos.targets] == [
        ("/old/day1/a.mp4", "videos/a.mp4", True),
        ("/old/day2/a.mp4", "videos-2/a.mp4", True),
    ]
    assert prepared.videos.kind == "map"
    assert str(other) in prepared.notes[0]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (typed(("/old/a.mp4", "lab:/a.mp4"), ("/old/b.mp4", "lab:/b.mp4")), BOTH),
        (typed(("/old", "lab:/"), kind="prefix"), [("prefix", "/old")]),
        (typed(("", "lab:/a.mp4"), ("", "lab:/b.mp4"), kind="paths"), BOTH),
    ],
)  # fmt: skip
async def test_what_a_worker_has_is_said_and_remembered(
    labels: list[Labels], choice: VideoChoice, said: list[tuple[str, str]]
) -> None:
    seen = says([video("/old/a.mp4"), video("/old/b.mp4")])
    prepared = await prepare_videos(labels[:1], choice, helper=seen)
    assert prepared.videos == choice.places
    assert [(each.kind, each.old) for each in prepared.maps] == said
    await remember(prepared.maps)
    again = await prepare_videos(labels[:1], VideoChoice(), helper=seen)
    assert again.recalled
    assert again.videos is not None
    assert again.videos.kind == said[0][0]
    assert "--no-remembered-maps" in again.notes[0]
    # a video that nothing was said of: then nothing was said
    with pytest.raises(PackageError, match=r"/old/a.mp4.*not on this machine"):
        await prepare_videos(labels[:1], VideoChoice(), helper=says([video("/old/a.mp4"), video("/x/c.mp4")]))
    with pytest.raises(PackageError, match="not on this machine"):
        await prepare_videos(labels[:1], VideoChoice(remembered=False), helper=seen)


@pytest.mark.parametrize(
    ("choice", "error", "words"),
    [
        (typed(("", "lab:/a.mp4"), kind="paths"), UsageError, "have 2 videos, and --video-paths was given 1"),
        (typed(("/x/a.mp4", "lab:/a.mp4")), UsageError, "no such video: /old/a.mp4, /old/b.mp4"),
        (typed(("/x", "lab:/"), kind="prefix"), UsageError, "--prefix-map names '/x'"),
        (typed(("/old/a.mp4", "lab:/a.mp4")), PackageError, "need the video '/old/b.mp4' as well"),
        (typed(("/old/a.mp4", "lab:/a.mp4"), way="embed"), UsageError, "is a place on the worker"),
        (VideoChoice(way="embed"), PackageError, "'/old/b.mp4', which is not on this machine"),
        (VideoChoice(way="send"), PackageError, "'/old/b.mp4', which is not on this machine"),
        (VideoChoice(), PackageError, "--embed-frames --video-path-map '/old/b.mp4' PATH"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_said_before_anything_is_sent(
    labels: list[Labels], here: Path, choice: VideoChoice, error: type[SleapRTCError], words: str
) -> None:
    with pytest.raises(error) as refused:
        await prepare_videos(labels[:1], choice, helper=says([video("/old/a.mp4", here), video("/old/b.mp4")]))
    assert words in refused.value.sentence
    assert refused.value.exit_code == 2


async def test_a_remap_beside_a_way_is_about_this_machine(labels: list[Labels], here: Path) -> None:
    seen = says([video("C:/old/a.mp4")])
    for choice in (
        typed(("C:\\old\\a.mp4", str(here)), way="send"),
        typed(("C:\\old", str(here.parent)), kind="prefix", way="send"),
        typed(("", str(here)), kind="paths", way="send"),
    ):
        assert (await prepare_videos(labels[:1], choice, helper=seen)).added == {"videos/a.mp4": here}


async def test_only_videos_are_sent(labels: list[Labels], tmp_path: Path) -> None:
    key = tmp_path / "id_ed25519"
    key.touch()
    with pytest.raises(PackageError, match="its name is not a video's"):
        await prepare_videos(labels[:1], VideoChoice(way="send"), helper=says([video(str(key), key)]))
    link = tmp_path / "link.mp4"
    link.symlink_to(key)
    with pytest.raises(PackageError, match="its name is not a video's"):
        await prepare_videos(labels[:1], VideoChoice(way="send"), helper=says([video(str(link), link)]))


async def test_one_name_for_two_videos_is_refused(labels: list[Labels], here: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    helper = says([video("a.mp4", here)], [video("a.mp4", tmp_path / "a.mp4")])
    with pytest.raises(PackageError, match="could not tell them apart"):
        await prepare_videos(labels, VideoChoice(way="send"), helper=helper)


async def test_whoever_decides_sees_what_there_is(labels: list[Labels], here: Path) -> None:
    seen: list[Situation] = []

    async def decide(situation: Situation) -> Way:
        seen.append(situation)
        return "send"

    helper = says([video("/old/a.mp4", here), video("/old/b.mp4", embedded=True)], "torn")
    prepared = await prepare_videos(labels, VideoChoice(), decide=decide, helper=helper)
    assert seen == [Situation(("labels/one.slp",), ("/old/a.mp4",), 3, (), None)]
    assert list(prepared.added) == ["videos/a.mp4"]


async def test_labels_that_cannot_be_read_are_the_workers_to_judge(labels: list[Labels]) -> None:
    assert await prepare_videos(labels[:1], VideoChoice(), helper=says("torn")) == PreparedVideos()
    with pytest.raises(PackageError, match=r"labels/one.slp cannot be read: torn"):
        await prepare_videos(labels[:1], VideoChoice(way="embed"), helper=says("torn"))


async def test_a_package_gets_its_images(tmp_path: Path, here: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "labels.slp").write_bytes(b"without")
    (folder / "whole.pkg.slp").write_bytes(b"with")
    (folder / "one.yaml").write_text("data_config:\n  user_instances_only: false\n")
    unread = UnreadPackage("package", open_source(folder), TrainOptions(devices=2))
    changed, prepared = await with_videos(unread, VideoChoice(), helper=says([video("/old/a.mp4", here)]))
    package = await changed.read()
    assert [entry.path for entry in package.manifest.files] == ["one.yaml", "whole.pkg.slp", "labels.slp"]
    # as the config wants it, predicted frames are embedded as well
    assert next(iter(prepared.replaced.values())).read_text().endswith("True")
    assert package.options == TrainOptions(devices=2)
    package.close()


async def test_labels_in_a_zip_are_looked_at_and_left_there(tmp_path: Path, here: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        archive.writestr("labels.slp", b"without")
        archive.writestr("one.yaml", "")
    override = Override(key="data_config.user_instances_only", value=True)
    unread = UnreadPackage("package", open_source(tmp_path / "package.zip"), TrainOptions(overrides=(override,)))
    choice = VideoChoice(way="send")
    changed, _ = await with_videos(
        unread, choice, package=tmp_path / "package.zip", helper=says([video("/old/a.mp4", here)])
    )
    package = await changed.read()
    assert [entry.path for entry in package.manifest.files] == ["labels.slp", "one.yaml", "videos/a.mp4"]
    assert package.offering.source.read("labels.slp", 0, 7) == b"without"
    assert package.options.videos is not None
    assert list((home() / "tmp").iterdir()) == []
    package.close()


async def test_a_package_that_holds_its_images_is_not_looked_into(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "labels.pkg.slp").write_bytes(b"with")
    unread = UnreadPackage("package", open_source(tmp_path / "package"))
    nobody = Helper(command=(sys.executable, "-c", ""))
    assert await with_videos(unread, VideoChoice(), helper=nobody) == (unread, PreparedVideos())


def test_what_is_remembered_survives_a_torn_file_and_stays_small() -> None:
    maps = VideoMaps()
    assert maps.places_of(["/old/a.mp4"]) is None
    (home() / "video_maps.json").write_text('{"maps": [')
    assert maps.all() == ()
    maps.remember([VideoMap(kind="map", old=f"/old/{number}", new="lab:/x") for number in range(600)])
    maps.remember([VideoMap(kind="map", old="/old/0", new="lab:/y"), VideoMap(kind="prefix", old="/data", new="lab:/")])
    assert len(maps.all()) == 500
    found = maps.places_of(["/old/0"])
    assert found is not None
    assert found.targets[0].new == "lab:/y"
    assert maps.places_of(["/data/a.mp4"]) is not None
    assert maps.places_of(["/database/a.mp4"]) is None


def options(**typed: Any) -> dict[str, Any]:
    none: dict[str, Any] = {"embed_frames": False, "send_videos": False, "no_remembered_maps": False}
    return none | {"video_paths": (), "video_path_map": (), "prefix_map": ()} | typed


def test_options_say_one_kind_at_a_time() -> None:
    assert read_video_options(options()) == VideoChoice()
    choice = read_video_options(options(video_path_map=(("a", "b"), ("c", "d")), no_remembered_maps=True))
    assert choice == typed(("a", "b"), ("c", "d"), remembered=False)
    for wrong in (
        {"video_paths": ("a",), "prefix_map": (("a", "b"),)},
        {"embed_frames": True, "send_videos": True},
        {"video_path_map": (("", "b"),)},
        {"video_paths": ("",)},
        {"video_paths": ("a",) * 300},
    ):
        with pytest.raises(UsageError):
            read_video_options(options(**wrong))


def test_a_refusal_says_what_this_machine_knows(here: Path) -> None:
    for choice, prepared, words in (
        (typed(("a", str(here))), PreparedVideos(), "--embed-frames to send its labelled frames, or --send-videos"),
        (VideoChoice(), PreparedVideos(recalled=True), "--no-remembered-maps"),
        (typed(("a", "lab:/a.mp4")), PreparedVideos(), "under no mount"),
    ):
        with pytest.raises(ConfigError) as error, explained(choice, prepared):
            raise ConfigError("'a' is under no mount.")
        assert words in error.value.sentence
