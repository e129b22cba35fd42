"""Training configs are data, and some of it the worker decides.

A user's file never reaches sleap-nn. It is read as plain data and checked (`config_rules`), the keys that are the
worker's are set, and the result is written to the file that runs. What the user would miss is told in a notice, one
sentence each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import TrainOptions

from .config_rules import left_out
from .devices import set_devices
from .matching import file_name, match_file
from .reporting import set_reporting
from .run_names import check_run_name
from .values import NOTHING, Config, listed, section_of, whole_number


@dataclass(frozen=True)
class JobPaths:
    """Where a run reads and writes: the package's files, by their path in it, and the folders of the job.

    Attributes:
        files: every file of the package, relative path to absolute one.
        labels: those of them that hold labels.
        models: the folder in which the run's own folder is made.
        scratch: a folder for what may be thrown away.
        train: those of the labels that every run trains on; what its config names if empty.
        validation: those that it is validated on, likewise.
        named: which file of the package a path means that the submitter wrote; others are looked up by their tail.
    """

    files: Mapping[str, Path]
    labels: Sequence[str]
    models: Path
    scratch: Path
    train: Sequence[str] = ()
    validation: Sequence[str] = ()
    named: Mapping[str, str] = field(default_factory=dict)

    def find(self, path: str, candidates: Sequence[str]) -> str | None:
        """The one candidate that a path means, None if that is none or unclear."""
        if path in self.named:
            return self.named[path] if self.named[path] in candidates else None
        return match_file(path, candidates)


@dataclass
class _Draft:
    config: Config
    paths: JobPaths
    cpus: int
    notices: list[str] = field(default_factory=list)
    meant: dict[str, str] = field(default_factory=dict)

    def mean(self, asked: str, found: str) -> str:
        """Note that the path `asked` stands for the labels `found`, and return where they are.

        Raises:
            ConfigError: if another path stands for them already: what was two files must not become one.
        """
        before = self.meant.setdefault(found, asked)
        # who named both paths knows that they are the same file
        if before != asked and not {before, asked} <= self.paths.named.keys():
            shown = [printable(path, limit=120) or "(none)" for path in (before, asked)]
            raise ConfigError(
                f"The labels '{shown[0]}' and '{shown[1]}' are different files, but the package holds only "
                f"'{printable(found, limit=120)}' for both. Add the other one to it, under its own name."
            )
        return str(self.paths.files[found])

    def section(self, name: str) -> Config:
        return section_of(self.config, name)

    def set(
        self, section: Config, key: str, value: Any, notice: str | None = None, *, unless: Sequence[Any] = ()
    ) -> None:
        """Set a key; say so if the user had asked for something other than `value` and `unless`."""
        asked = section.get(key)
        if notice and asked not in (None, value, *unless):
            self.notices.append(notice)
        section[key] = value

    def own(self, section: Config, key: str, value: Any, *, unless: Sequence[Any] = ()) -> None:
        """Set a key, given with its section's name, that the worker alone decides; say so if the user had set it."""
        name = key.rpartition(".")[2]
        if section.get(name) not in (*NOTHING, value, *unless):
            self.notices.append(left_out(key))
        section[name] = value


def prepare_config(
    config: Config,
    *,
    run_name: str,
    paths: JobPaths,
    cpus: int,
    train_labels: str | None = None,
    devices: int = 1,
    options: TrainOptions | None = None,
) -> tuple[Config, list[str]]:
    """Make the config that runs out of a user's one.

    Args:
        config: as `load_config` returned it; it is changed and returned.
        run_name: the name of the run's folder.
        paths: the job's files and folders.
        cpus: the most data loading processes.
        train_labels: the labels file that ``jobs.yaml`` names for this run.
        devices: how many the job takes.
        options: what the submitter asked for.

    Returns:
        The config and the notices.

    Raises:
        ConfigError: if the config refers to a file that is not in the package.
    """
    check_run_name(run_name)
    draft = _Draft(config, paths, cpus)
    _set_data(draft, run_name, train_labels)
    _set_model(draft)
    _set_output(draft, run_name)
    options = options or TrainOptions()
    _set_devices(draft, devices, options)
    draft.notices += set_reporting(draft.section("trainer_config"), options)
    return config, draft.notices


def _set_data(draft: _Draft, run_name: str, train_labels: str | None) -> None:
    data = draft.section("data_config")
    # a file named twice counts twice, as it does where sleap-nn is run by hand
    data["train_labels_path"] = _chosen(draft, draft.paths.train) or _train_labels(draft, train_labels)
    validation = _chosen(draft, draft.paths.validation)
    data["val_labels_path"] = validation or _files_of(draft, "val_labels_path")
    data["test_file_path"] = _files_of(draft, "test_file_path")
    draft.own(data, "data_config.cache_img_path", str(draft.paths.scratch / run_name / "images"))
    draft.set(
        data, "use_existing_imgs", False, "Cached images (use_existing_imgs) cannot come along: they are made anew."
    )
    if "cache_workers" in data:
        data["cache_workers"] = min(whole_number(data["cache_workers"], "data_config.cache_workers"), draft.cpus)


def _chosen(draft: _Draft, paths: Sequence[str]) -> list[str]:
    return [str(draft.paths.files[path]) for path in paths]


def _files_of(draft: _Draft, key: str) -> list[str] | None:
    asked = listed(draft.section("data_config").get(key))
    return [draft.mean(path, _package_file(draft, path, f"data_config.{key}")) for path in asked] or None


def _train_labels(draft: _Draft, train_labels: str | None) -> list[str]:
    labels = draft.paths.labels
    asked = [train_labels] if train_labels else listed(draft.section("data_config").get("train_labels_path"))
    found = [match for path in asked if (match := draft.paths.find(path, labels)) is not None]
    if len(found) == len(asked) and found:
        return [draft.mean(path, match) for path, match in zip(asked, found, strict=True)]
    if len(labels) != 1:
        missing = printable(file_name(next((p for p in asked if draft.paths.find(p, labels) is None), "")), limit=120)
        problem = (
            f"the config asks for '{missing}', which is not, or not clearly, among them"
            if missing
            else "the config names none"
        )
        raise ConfigError(
            f"The package holds {len(labels)} labels files and {problem}. "
            "Set data_config.train_labels_path to the names of labels files in the package."
        )
    only = printable(labels[0], limit=120)
    if asked:
        draft.notices.append(f"The labels are read from '{only}', the package's only labels file.")
    return [draft.mean(path, labels[0]) for path in asked or [""]]


def _set_model(draft: _Draft) -> None:
    model = draft.section("model_config")
    for key in ("pretrained_backbone_weights", "pretrained_head_weights"):
        if model.get(key) not in NOTHING:
            model[key] = str(draft.paths.files[_package_file(draft, model[key], f"model_config.{key}")])
    backbone = model.get("backbone_config")
    for kind, settings in backbone.items() if isinstance(backbone, dict) else ():
        name = printable(str(kind), limit=80)
        asked = settings.get("pre_trained_weights") if isinstance(settings, dict) else None
        if kind == "pretrained" and settings is not None:
            raise ConfigError(
                "model_config.backbone_config.pretrained takes a published model from the network, which a job has "
                "not. Use another backbone, and model_config.pretrained_backbone_weights with a file of the package."
            )
        if asked not in NOTHING:
            raise ConfigError(
                f"model_config.backbone_config.{name}.pre_trained_weights are taken from the network, which a job has "
                "not. Set it to null, or name a file of the package in model_config.pretrained_backbone_weights."
            )


def _set_output(draft: _Draft, run_name: str) -> None:
    trainer = draft.section("trainer_config")
    # where sleap-nn and SLEAP put models by themselves is no wish
    draft.own(trainer, "trainer_config.ckpt_dir", str(draft.paths.models), unless=(".", "models"))
    trainer["run_name"] = run_name
    draft.set(trainer, "save_ckpt", True, "save_ckpt was off; it is on here, or no model would come home.")
    section_of(trainer, "model_ckpt")["save_last"] = True
    if trainer.get("resume_ckpt_path") not in NOTHING:
        resumed = _package_file(draft, trainer["resume_ckpt_path"], "trainer_config.resume_ckpt_path")
        trainer["resume_ckpt_path"] = str(draft.paths.files[resumed])


def _set_devices(draft: _Draft, devices: int, options: TrainOptions) -> None:
    trainer = draft.section("trainer_config")
    used, said = set_devices(trainer, devices, options)
    draft.notices += said
    # every process of a training has its own
    cpus = max(draft.cpus // used, 1)
    draft.set(
        trainer, "trainer_accelerator", "auto", "The worker picks the accelerator.", unless=("gpu", "cuda", "mps")
    )
    draft.set(trainer, "profiler", None, "The profiler is off here.")
    for loader in ("train_data_loader", "val_data_loader"):
        settings = trainer.get(loader)
        if not isinstance(settings, dict) or "num_workers" not in settings:
            continue
        asked = settings["num_workers"]
        # "auto" counts the processors of the machine, not those that the worker gives
        workers = cpus if asked == "auto" else whole_number(asked, f"trainer_config.{loader}.num_workers")
        settings["num_workers"] = min(workers, cpus)
        if workers > cpus:
            draft.notices.append(f"{loader}.num_workers is {cpus} here, as many as there are processors for it.")


def _package_file(draft: _Draft, path: object, key: str) -> str:
    match = draft.paths.find(path, list(draft.paths.files)) if isinstance(path, str) else None
    if match is None:
        shown = printable(file_name(str(path)), limit=120)
        raise ConfigError(
            f"{key} names '{shown}', which is not in the package. Add the file to it, or set the key to null."
        )
    return match
