"""What is sent for each form of the command, and what each path that the user wrote stands for."""

import json
import zipfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.cli.train import train
from sleap_rtc.cli.training_request import read_typed, take_typed
from sleap_rtc.client.assembling import assemble
from sleap_rtc.client.packing import Packing, safe_name
from sleap_rtc.client.pending import content_of
from sleap_rtc.errors import ConfigError, PackageError, SleapRTCError, UsageError
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.files import check_path
from sleap_rtc.protocol.training import Preset, TrainOptions
from tests.jobs.conftest import training_config, write_package

Values = Mapping[str, object]


@dataclass
class Assembled:
    """What a command would send."""

    name: str
    files: set[str]
    options: TrainOptions
    content: str
    unasked: list[str]

    @property
    def values(self) -> Values:
        return {each.key: each.value for each in self.options.overrides}

    @property
    def paths(self) -> Mapping[str, str]:
        return self.options.paths


async def typed(*words: str) -> Assembled:
    """Type ``sleap-rtc train`` with these words, as far as nobody has to be reached."""
    wanted = read_typed(take_typed(train.make_context("train", list(words)).params))
    with closing(await assemble(wanted)) as unread:
        package = await unread.read()
    assert isinstance(package.options, TrainOptions)
    return Assembled(
        package.name,
        {entry.path for entry in package.manifest},
        package.options,
        content_of(package.manifest.digest, package.options),
        [path.as_posix() for path in unread.unasked],
    )


async def refused(*words: str) -> str:
    with pytest.raises(SleapRTCError) as caught:
        await typed(*words)
    assert caught.value.exit_code == 2
    return caught.value.sentence


def config(head: str = "single_instance", labels: object = None, **sections: Any) -> dict[str, Any]:
    made = training_config(head)
    made["data_config"]["train_labels_path"] = labels
    for section, values in sections.items():
        made[section] |= values
    return made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, below the home folder, with configs in a folder and labels beside it."""
    folder = tmp_path / "project"
    (folder / "configs").mkdir(parents=True)
    for head in ("centroid", "centered_instance"):
        (folder / "configs" / f"{head}.yaml").write_text(write_yaml(config(head)))
    for name in ("a.slp", "b.slp"):
        (folder / name).write_bytes(name.encode())
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return folder


CENTROID = ("-c", "centroid", "-d", "configs")
LABELS = ("--labels", "a.slp")


@pytest.mark.parametrize("name", ["centroid", "centroid.yaml"])
async def test_a_config_by_name_and_labels_in_an_override(here: Path, name: str) -> None:
    sent = await typed("-c", name, "-d", "configs", "data_config.train_labels_path=[a.slp,b.slp]")
    assert sent.files == {"configs/centroid.yaml", "labels/a.slp", "labels/b.slp"}
    assert sent.options.configs == ("configs/centroid.yaml",)
    assert sent.values == {"data_config.train_labels_path": ["a.slp", "b.slp"]}
    assert sent.paths == {"a.slp": "labels/a.slp", "b.slp": "labels/b.slp"}
    assert sent.name == "centroid"


@pytest.mark.parametrize(
    "words",
    [
        ("configs/centroid.yaml", "trainer_config.max_epochs=3"),
        ("--config", "configs/centroid.yaml", "trainer_config.max_epochs=3"),
        ("--config", "configs/centroid.yaml", "--", "trainer_config.max_epochs=3"),
        ("-d", "configs", "--config-name", "centroid", "++trainer_config.max_epochs=3"),
        (*CENTROID, "--max-epochs", "3"),
    ],
)
async def test_the_same_training_in_other_words(here: Path, words: tuple[str, ...]) -> None:
    sent = await typed(*words, *(() if "--" in words else LABELS), *(LABELS_OVERRIDE if "--" in words else ()))
    assert sent.options.configs == ("configs/centroid.yaml",)
    assert sent.values["trainer_config.max_epochs"] == 3
    assert sent.paths == {"a.slp": "labels/a.slp"}


LABELS_OVERRIDE = ("data_config.train_labels_path=[a.slp]",)


async def test_several_configs_keep_their_order_and_labels_are_sent_once(here: Path) -> None:
    sent = await typed(
        "-c", "centered_instance", *CENTROID, *LABELS, "--labels", str(here / "a.slp"), "--val-labels", "b.slp"
    )
    assert sent.options.configs == ("configs/centered_instance.yaml", "configs/centroid.yaml")
    assert sent.options.labels == ("labels/a.slp", "labels/a.slp")  # twice, as typed
    assert sent.options.val_labels == ("labels/b.slp",)
    assert sent.files == {*sent.options.configs, "labels/a.slp", "labels/b.slp"}
    assert sent.name == "centered_instance + centroid"


async def test_short_words_are_overrides(here: Path) -> None:
    words = ("--max-epochs", "5", "--batch-size", "2", "--lr", "5e-4", "--run-name", "fly", "--seed", "0")
    sent = await typed(*CENTROID, *LABELS, *words, "--save-last", "--devices", "2", "--strategy", "ddp")
    assert sent.values == {
        "trainer_config.max_epochs": 5,
        "trainer_config.train_data_loader.batch_size": 2,
        "trainer_config.val_data_loader.batch_size": 2,
        "trainer_config.optimizer.lr": 5e-4,
        "trainer_config.run_name": "fly",
        "trainer_config.seed": 0,
    }
    assert (sent.options.devices, sent.options.strategy) == (2, "ddp")


async def test_a_preset_needs_no_config(here: Path) -> None:
    preset = ("--preset", "bottomup", "--backbone", "unet_medium_rf", "--augment", "uniform_noise, rotation,scale")
    sent = await typed(*preset, *LABELS)
    assert sent.options.preset == Preset(
        head="bottomup", backbone="unet_medium_rf", augment=("uniform_noise", "rotation", "scale")
    )
    assert sent.files == {"labels/a.slp"}
    assert sent.name == "bottomup"


async def test_what_a_config_names_goes_along_and_is_said(here: Path, tmp_path: Path) -> None:
    for name in ("elsewhere/val.slp", "project/configs/weights.h5", "project/model/best.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    paths = {"val_labels_path": ["~/elsewhere/val.slp"], "test_file_path": str(here / "b.slp")}
    weights = {"pretrained_backbone_weights": "weights.h5", "pretrained_head_weights": "model"}
    named = config(labels=["a.slp"], data_config=paths, model_config=weights)
    (here / "configs" / "single.yml").write_text(write_yaml(named))
    sent = await typed("-c", "single", "-d", "configs")
    assert sent.paths == {
        "a.slp": "labels/a.slp",
        "~/elsewhere/val.slp": "labels/val.slp",
        str(here / "b.slp"): "labels/b.slp",
        "weights.h5": "weights/weights.h5",
        "model": "weights/best.ckpt",
    }
    assert sent.files == {"configs/single.yml", *sent.paths.values()}
    assert [Path(path).name for path in sent.unasked] == ["a.slp", "val.slp", "b.slp", "weights.h5", "best.ckpt"]


async def test_a_config_of_sleap_1_4_goes_as_it_is_with_the_labels_it_names(here: Path) -> None:
    old = {"data": {"labels": {"training_labels": "a.slp", "validation_labels": None}}, "model": {}, "optimization": {}}
    (here / "old.json").write_text(json.dumps(old))
    sent = await typed("-c", "old")
    assert sent.options.configs == ("configs/old.json",)
    assert sent.paths == {"a.slp": "labels/a.slp"}


async def test_starting_points(here: Path) -> None:
    for name in ("old/best.ckpt", "old/last.ckpt", "new/best.ckpt"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_bytes(name.encode())
    weights = ("model_config.pretrained_backbone_weights", "model_config.pretrained_head_weights")
    whole = await typed(*CENTROID, *LABELS, "--from", "old")
    assert whole.values == dict.fromkeys(weights, "old")
    assert whole.paths["old"] == "weights/best.ckpt"
    apart = await typed(*CENTROID, *LABELS, "--backbone-weights", "old/best.ckpt", "--head-weights", "new/best.ckpt")
    assert apart.values == dict(zip(weights, ("old/best.ckpt", "new/best.ckpt"), strict=True))
    assert apart.paths["old/best.ckpt"] == "weights/best.ckpt"
    assert apart.paths["new/best.ckpt"] == "weights-2/best.ckpt"
    resumed = await typed(*CENTROID, *LABELS, "--resume", "old")
    assert resumed.values == {"trainer_config.resume_ckpt_path": "old"}
    assert resumed.paths["old"] == "weights/last.ckpt"
    assert resumed.files == {"configs/centroid.yaml", "labels/a.slp", "weights/last.ckpt"}


@pytest.mark.parametrize("zipped", [False, True])
async def test_a_package_with_files_from_elsewhere(here: Path, tmp_path: Path, zipped: bool) -> None:
    package = write_package(tmp_path / "package", {"centroid": config("centroid", ["/old/labels.pkg.slp"])})
    if zipped:
        with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
            for path in package.iterdir():
                archive.write(path, path.name)
        package = tmp_path / "package.zip"
    alone = await typed("-p", str(package))
    assert (alone.files, alone.options) == ({"centroid.yaml", "labels.pkg.slp"}, TrainOptions())
    more = await typed("-p", str(package), "--val-labels", "a.slp", "--max-epochs", "2")
    assert more.files == {"centroid.yaml", "labels.pkg.slp", "labels/a.slp"}
    assert more.name == package.name
    # a config that the package has, and one beside it that names what the package has
    inside = await typed("-p", str(package), "-c", "centroid")
    assert (inside.options.configs, inside.files) == (("centroid.yaml",), alone.files)
    (here / "configs" / "other.yaml").write_text(write_yaml(config("centroid", ["/old/labels.pkg.slp"])))
    beside = await typed("-p", str(package), "-d", "configs", "-c", "other")
    assert beside.options.configs == ("configs/other.yaml",)
    assert beside.paths == {"/old/labels.pkg.slp": "labels.pkg.slp"}


async def test_the_same_words_and_files_are_the_same_job(here: Path) -> None:
    words = (*CENTROID, *LABELS, "--lr", "0.001", "trainer_config.visualize_preds_during_training=true")
    first = await typed(*words)
    assert (await typed(*words)).content == first.content
    assert TrainOptions.model_validate_json(first.options.model_dump_json()) == first.options
    assert (await typed(*words, "--seed", "1")).content != first.content
    (here / "a.slp").write_bytes(b"changed")
    assert (await typed(*words)).content != first.content


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "What shall be trained?"),
        (LABELS, "What shall be trained?"),
        ((*CENTROID, "--", "--new"), "behind '--'"),
        (("labels.zip",), "neither a config (*.yaml) nor an override"),
        (("-d", "configs", "--pkg-path", "x.zip"), "Add --config-name"),
        ((*CENTROID, "--config", "configs/centroid.yaml"), "either by their paths or by --config-name"),
        ((*CENTROID, "--preset", "bottomup", "--backbone", "unet"), "Leave it out, or leave out the config"),
        (("--preset", "bottomup", *LABELS), "Add --backbone"),
        (("--preset", "${x}", "--backbone", "unet", *LABELS), "--preset"),
        ((*CENTROID, "--backbone", "unet"), "Add --preset"),
        ((*CENTROID, *LABELS, "--resume", "x.ckpt", "--from", "y"), "brings all weights along"),
        ((*CENTROID, *LABELS, "--from", "y", "--head-weights", "x.h5"), "brings all weights along"),
        ((*CENTROID, "-c", "centered_instance", *LABELS, "--from", "./y"), "2 configs are to be trained"),
        ((*CENTROID, "--max-epochs", "2", "trainer_config.max_epochs=3"), "--max-epochs and"),
        ((*CENTROID, "--batch-size", "2", "trainer_config.val_data_loader={batch_size: 3}"), "--batch-size and"),
        ((*CENTROID, *LABELS, "data_config.train_labels_path=[b.slp]"), "--labels and"),
        ((*CENTROID, "--devices", "2", "trainer_config.trainer_devices=1"), "--devices and"),
        ((*CENTROID, *LABELS, "trainer_config.run_name=${oc.env:HOME}"), "interpolation"),
        ((*CENTROID, *LABELS, "--strategy", "a b"), "--strategy"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
async def test_contradictions_are_told_before_anything_is_read(here: Path, words: tuple[str, ...], said: str) -> None:
    assert said in await refused(*words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-c", "nothing", "-d", "configs"), "Configs in that folder: centered_instance.yaml, centroid.yaml."),
        (("-c", "centroid"), "There is no config 'centroid'"),
        (("-c", "centroid", "-d", "config"), "--config-dir names 'config', which is no folder"),
        (("missing.yaml",), "There is no config 'missing.yaml'"),
        (CENTROID, "No labels are named"),
        ((*CENTROID, "--labels", "missing.slp"), "--labels names 'missing.slp', which is no file"),
        ((*CENTROID, "--labels", "configs/centroid.yaml"), "no labels file (.slp)"),
        ((*CENTROID, "data_config.train_labels_path=[a.slp,missing.slp]"), "train_labels_path names 'missing.slp'"),
        ((*CENTROID, *LABELS, "--from", "./nowhere"), "--from names './nowhere'"),
        ((*CENTROID, *LABELS, "--from", "configs"), "--from names 'configs', a folder that has no best.ckpt or"),
        ((*CENTROID, *LABELS, "trainer_config.resume_ckpt_path=nowhere"), "resume_ckpt_path names 'nowhere'"),
        ((*CENTROID, *LABELS, "--resume", "a.slp"), "--resume names 'a.slp', which does not end in .ckpt"),
        (("-p", "a.slp"), "neither a folder nor a zip"),
        (("-p", "missing.zip"), "There is no missing.zip"),
    ],
)
async def test_what_is_not_there_is_named(here: Path, words: tuple[str, ...], said: str) -> None:
    assert said in await refused(*words)


async def test_a_stale_path_in_a_config_names_config_key_and_path_and_can_be_overruled(here: Path) -> None:
    stale = config(labels=["/old/a.slp"], data_config={"val_labels_path": ["/old/val.slp"]})
    (here / "stale.yaml").write_text(write_yaml(stale))
    said = await refused("stale.yaml")
    assert "'stale.yaml': data_config.train_labels_path names '/old/a.slp'" in said
    assert "--labels FILE" in said
    said = await refused("stale.yaml", *LABELS)
    assert "data_config.val_labels_path names '/old/val.slp'" in said
    for word in ("--val-labels=b.slp", "data_config.val_labels_path=null"):
        assert (await typed("stale.yaml", *LABELS, word)).options.labels == ("labels/a.slp",)


async def test_a_config_picks_no_other_files_of_this_machine(here: Path, tmp_path: Path) -> None:
    (tmp_path / "id_ed25519").write_text("secret")
    for key in ("train_labels_path", "test_file_path"):
        (here / "bad.yaml").write_text(write_yaml(config(data_config={key: str(tmp_path / "id_ed25519")})))
        assert "does not end in .slp" in await refused("bad.yaml", "data_config.val_labels_path=[a.slp]")


async def test_a_link_beside_a_config_picks_none_either(here: Path, tmp_path: Path) -> None:
    (tmp_path / "id_ed25519").write_text("secret")
    (here / "linked.slp").symlink_to(tmp_path / "id_ed25519")
    (here / "bad.yaml").write_text(write_yaml(config(labels=["linked.slp"])))
    assert "a link to a file that does not end in .slp" in await refused("bad.yaml")
    # who types the name knows the link, and labels in a store may be called anything
    assert "labels/linked.slp" in (await typed("bad.yaml", "--labels", "linked.slp")).files
    (here / "linked.slp").unlink()
    (here / "linked.slp").symlink_to(here / "a.slp")
    assert "labels/linked.slp" in (await typed("bad.yaml")).files


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: &x 1\nb: *x\n", "\0", "{", "x: " + "y" * 300_000])
async def test_a_config_that_is_none_is_refused(here: Path, text: str) -> None:
    (here / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        await typed("bad.yaml", *LABELS)


async def test_one_text_is_one_file(here: Path) -> None:
    for name in ("one", "two"):
        (here / name).mkdir()
        (here / name / "mine.slp").write_bytes(name.encode())
        (here / name / "config.yaml").write_text(write_yaml(config(labels=["mine.slp"])))
    assert "stands for two different files" in await refused("one/config.yaml", "two/config.yaml")
    sent = await typed("one/config.yaml")
    assert sent.paths == {"mine.slp": "labels/mine.slp"}


async def test_packages_without_labels_or_config_need_them_from_elsewhere(here: Path, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    assert "is empty" in await refused("-p", str(package))
    (package / "labels.slp").write_bytes(b"x")
    assert "--preset" in await refused("-p", str(package))
    assert (await typed("-p", str(package), "--preset", "bottomup", "--backbone", "unet")).files == {"labels.slp"}
    assert (await typed("-p", str(package), *CENTROID)).files == {"labels.slp", "configs/centroid.yaml"}
    (package / "labels.slp").rename(package / "old.json")
    assert "add --labels" in await refused("-p", str(package))
    assert (await typed("-p", str(package), *LABELS)).files == {"old.json", "labels/a.slp"}


async def test_too_much_is_refused(here: Path) -> None:
    for number in range(17):
        (here / f"{number}.yaml").write_text("{}")
    assert "at most 16" in await refused(*(f"{number}.yaml" for number in range(17)), *LABELS)
    assert "too long to be sent" in await refused(*CENTROID, *LABELS, f"data_config.x={'y' * 60_000}")
    # it is bytes that a message holds
    assert "too long to be sent" in await refused(*CENTROID, *LABELS, f"data_config.x={'é' * 30_000}")


def test_places_in_a_package_are_safe_apart_and_foretold(tmp_path: Path) -> None:
    names = ["Fly.slp", "fly.slp", "what?.slp", ".hidden.slp", "con.slp", "é" * 150 + ".slp", "dots..."]
    files = [tmp_path / str(at) / name for at, name in enumerate(names)]
    places = [[packing.add("labels", file) for file in files] for packing in (Packing(["labels/FLY.slp"]), Packing())]
    assert places[0][:2] == ["labels-2/Fly.slp", "labels-3/fly.slp"]
    assert places[1][:2] == ["labels/Fly.slp", "labels-2/fly.slp"]
    assert places[1][2:5] == ["labels/what_.slp", "labels/_hidden.slp", "labels/_con.slp"]
    for place in places[1]:
        check_path(place)
    assert safe_name("...") == "file"
    # a file of the package may be called as our folder
    assert Packing(["labels"]).add("labels", files[0]) == "labels-2/Fly.slp"


async def test_usage_and_package_errors_are_of_their_kind(here: Path) -> None:
    with pytest.raises(UsageError):
        await typed()
    with pytest.raises(PackageError):
        await typed("-p", "missing")
