"""Every form of command that sleap-nn's guide shows, typed here and by hand: the same files, the same config."""

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.jobs.yaml_data import MAX_OWN_BYTES, read_yaml, write_yaml
from tests.e2e.conftest import Terminals
from tests.e2e.programs import environment
from tests.jobs.conftest import training_config

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.xdist_group("e2e")]

LABELS = "data_config.train_labels_path=[labels.pkg.slp]"
BRIEF = {"max_epochs": 1, "train_steps_per_epoch": 2, "min_train_steps_per_epoch": 2, "seed": 7}
FIRST = "overrides"
BEST = f"by-hand/{FIRST}/single/best.ckpt"
"""A model to start from: what the first form left."""


@dataclass(frozen=True)
class Form:
    """A row of the table.

    Attributes:
        remote: what is typed after ``sleap-rtc train``.
        by_hand: what is typed after ``sleap-nn train``, once for each model; for `sleap_nn.train.train`, its arguments.
        runs: the folders of the models.
        first_epoch: where it begins to count.
        below: a form whose first loss, typed by hand, is above this one's.
    """

    remote: list[str]
    by_hand: list[list[str]] = field(default_factory=list)
    train: dict[str, Any] | None = None
    runs: tuple[str, ...] = ("single",)
    first_epoch: int = 0
    below: str | None = None


def same(*words: str, **more: Any) -> Form:
    """A form in which sleap-nn's words are ours."""
    return Form(list(words), [list(words)], **more)


WEIGHTS = ("model_config.pretrained_backbone_weights", "model_config.pretrained_head_weights")
FORMS = {
    "overrides": same(
        "-c", "single", "-d", "configs", "data_config.train_labels_path=[labels.pkg.slp,labels.pkg.slp]",
        "trainer_config.train_data_loader.batch_size=2", "trainer_config.val_data_loader.batch_size=2",
        "trainer_config.trainer_devices=1", "trainer_config.optimizer.lr=5e-4",
    ),
    "top-down": Form(
        ["--config-dir", "configs", "-c", "centered_instance.yaml", "--config-name", "centroid", LABELS],
        [["-d", "configs", "-c", "centroid", LABELS], ["-d", "configs", "-c", "centered_instance", LABELS]],
        runs=("centroid", "centered_instance"),
    ),
    "resume": same(
        "configs/single.yaml", f"trainer_config.resume_ckpt_path={BEST}", "trainer_config.max_epochs=2", LABELS,
        first_epoch=1,
    ),
    "fine-tune": Form(
        ["--config", "configs/single.yaml", "--from", str(Path(BEST).parent), "--labels", "labels.pkg.slp"],
        [["--config", "configs/single.yaml", *(f"{key}={BEST}" for key in WEIGHTS), LABELS]],
        below=FIRST,
    ),
    "preset": Form(
        ["--labels", "labels.pkg.slp", "--preset", "bottomup", "--backbone", "unet_medium_rf", "--augment",
         "uniform_noise,rotation,scale", "--run-name", "single", "--max-epochs", "1", "--seed", "7",
         "trainer_config.train_steps_per_epoch=2", "trainer_config.min_train_steps_per_epoch=2"],
        train={
            "train_labels_path": ["labels.pkg.slp"], "backbone_config": "unet_medium_rf", "head_configs": "bottomup",
            "use_augmentations_train": True, "intensity_aug": "uniform_noise", "geometry_aug": ["rotation", "scale"],
            "save_ckpt": True, **BRIEF,
        },
    ),
}  # fmt: skip


@dataclass
class Project:
    """A folder with configs and labels, in which commands are typed, and the worker that has had jobs before."""

    folder: Path
    terminals: Terminals
    before: set[Path]

    @property
    def jobs(self) -> set[Path]:
        """The jobs that came of the commands."""
        return set(self.terminals.jobs.glob("j_*")) - self.before

    def train(self, name: str, *flags: str) -> None:
        """Type a form of ``sleap-rtc train``, which must succeed."""
        command = [
            sys.executable,
            "-m",
            "sleap_rtc",
            "train",
            "-s",
            self.terminals.line,
            "-o",
            f"remote/{name}",
            *flags,
        ]
        done = subprocess.run(
            [*command, *FORMS[name].remote], cwd=self.folder, env=environment(self.folder / "client"),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def trained(terminals: Terminals, tmp_path_factory: pytest.TempPathFactory, real_labels: bytes) -> Project:
    """All forms by hand, in one process, while a worker has the jobs of all of them and trains one after another."""
    folder = tmp_path_factory.mktemp("forms")
    write_project(folder, real_labels)
    project = Project(folder, terminals, set(terminals.jobs.glob("j_*")))
    with by_hand(folder) as hand:
        train_by_hand(hand, folder, FIRST)
        for name in FORMS:
            project.train(name, "--detach")
        for name in FORMS:
            if name != FIRST:
                train_by_hand(hand, folder, name)
    return project


def write_project(folder: Path, labels: bytes) -> None:
    (folder / "labels.pkg.slp").write_bytes(labels)
    (folder / "configs").mkdir()
    for head, run in (("single_instance", "single"), ("centroid", "centroid"), ("centered_instance",) * 2):
        config = training_config(head, run_name=run, **BRIEF)
        config["data_config"]["train_labels_path"] = None
        # Hydra takes an override only where the config has its key
        config["trainer_config"] |= {"trainer_devices": None, "resume_ckpt_path": None}
        config["model_config"] |= dict.fromkeys(key.rpartition(".")[2] for key in WEIGHTS)
        (folder / "configs" / f"{run}.yaml").write_text(write_yaml(config))


def by_hand(folder: Path) -> "subprocess.Popen[str]":
    """Start sleap-nn, once for all."""
    root = str(Path(__file__).parents[2])
    with (folder / "by-hand.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.by_hand"],
            cwd=folder, env=environment(folder / "unused") | {"PYTHONPATH": root}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip


def train_by_hand(hand: "subprocess.Popen[str]", folder: Path, name: str) -> None:
    form = FORMS[name]
    place = f"by-hand/{name}"
    asked: list[dict[str, Any]] = [
        # a worker keeps the model, and decides where; by hand that is typed
        {"argv": ["train", *words, "trainer_config.save_ckpt=true", f"++trainer_config.ckpt_dir={place}"]}
        for words in form.by_hand
    ]
    if form.train:
        asked = [{"train": form.train | {"ckpt_dir": place, "run_name": "single"}}]
    assert hand.stdin
    assert hand.stdout
    for each in asked:
        hand.stdin.write(json.dumps(each) + "\n")
        hand.stdin.flush()
        assert hand.stdout.readline() == "done\n", (folder / "by-hand.log").read_text()[-4000:]


@pytest.mark.parametrize("name", FORMS)
def test_a_form_trains_here_as_by_hand(name: str, trained: Project) -> None:
    trained.train(name)  # the same command again: it finds its job, and brings the models home
    assert len(trained.jobs) == len(FORMS)
    for run in FORMS[name].runs:
        ours, theirs = (trained.folder / side / name / run for side in ("remote", "by-hand"))
        assert files_in(ours) == files_in(theirs)
        for config in ("initial_config.yaml", "training_config.yaml"):
            assert normal(ours / config) == normal(theirs / config)
        epoch, loss = first_epoch(ours)
        assert epoch == FORMS[name].first_epoch
        # by hand there is no sandbox
        assert loss == pytest.approx(first_epoch(theirs)[1], rel=1e-3)
        if above := FORMS[name].below:
            assert loss < first_epoch(trained.folder / "by-hand" / above / run)[1]


def first_epoch(run: Path) -> tuple[int, float]:
    """The number of the first epoch that a run trained, and its validation loss."""
    with (run / "training_log.csv").open() as file:
        row = next(csv.DictReader(file))
    return int(row["epoch"]), float(row["val/loss"])


def files_in(run: Path) -> set[str]:
    """A run's files, without the checkpoint that a worker keeps beside them so that the job can be resumed."""
    return {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()} - {"last.ckpt"}


WORKERS = {
    "data_config": ("cache_img_path", "use_existing_imgs"),
    "trainer_config": (
        "ckpt_dir", "enable_progress_bar", "profiler", "run_name", "save_ckpt", "trainer_accelerator",
        "trainer_device_indices", "trainer_devices", "trainer_strategy", "use_wandb", "wandb", "zmq",
    ),
}  # fmt: skip
"""What the worker decides."""


def normal(path: Path) -> Any:
    """A config without what is the worker's, and with the names of files for their paths."""
    config = read_yaml(path.read_bytes(), MAX_OWN_BYTES)
    for section, keys in WORKERS.items():
        for key in keys:
            config[section].pop(key, None)
    (config["trainer_config"].get("model_ckpt") or {}).pop("save_last", None)
    return named(config)


def named(value: Any) -> Any:
    if isinstance(value, dict):
        # that a key has no value can be said by leaving it out
        return {key: named(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [named(item) for item in value]
    if isinstance(value, str) and re.search(r"\.(slp|ckpt|yaml)$", value):
        return os.path.basename(value)  # noqa: PTH119 - text, from either side
    return value
