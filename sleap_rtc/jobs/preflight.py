"""``python -m sleap_rtc.jobs.preflight``: tells whether sleap-nn can train a job, before the job is queued.

One helper serves a worker: it imports sleap-io and sleap-nn's config classes, says that it is ready, and answers
requests one after another, JSON lines on its pipes. It also makes the configs that only sleap-nn can (`config_making`).
The files are strangers': each request is answered in a process of its own (`apart`) where that can be had, and whoever
started the helper (`checking`) puts a sandbox around all of it where there is one. It opens no device and decodes no
image.
"""

import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from io import FileIO
from pathlib import Path
from typing import Any

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.jobs.apart import serve_apart
from sleap_rtc.jobs.config_checks import verify_config
from sleap_rtc.jobs.config_making import Maker
from sleap_rtc.jobs.describing import labels_of, settings_of
from sleap_rtc.jobs.estimates import disk_problem, memory_notice
from sleap_rtc.jobs.findings import READY, Findings, Request, RunToCheck
from sleap_rtc.jobs.label_checks import Opened, Task, image_shape, label_notices, label_problems
from sleap_rtc.jobs.making import AnyRequest
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.jobs.processes import die_with_parent
from sleap_rtc.jobs.track_checks import track_problems
from sleap_rtc.jobs.track_task import TrackTask
from sleap_rtc.jobs.values import Config, listed
from sleap_rtc.jobs.video_checks import Granted, video_problems
from sleap_rtc.jobs.yaml_data import MAX_OWN_BYTES, read_yaml
from sleap_rtc.protocol.inspecting import RunSettings
from sleap_rtc.protocol.jobs import Verb
from sleap_rtc.protocol.text import printable

_WITHIN = 20.0
_USED_LATER = ("sleap_io.io.slp", "sleap_io.io.slp_lazy", "sleap_io.model.centroid", "shapely.geometry")
"""What sleap-io imports when it is first used, which is here once or in each forked process again."""


class Checker:
    """sleap-io and sleap-nn, ready to be asked. Making one takes the seconds."""

    def __init__(self) -> None:
        import sleap_io
        from omegaconf import OmegaConf
        from sleap_nn.config.training_job_config import verify_training_cfg
        from sleap_nn.config.utils import check_centroid_methods, check_output_strides
        from sleap_nn.data import instance_centroids  # noqa: F401 - imported by the check of the centroids

        from sleap_rtc.jobs.hdf5_links import datasets_of

        for name in _USED_LATER:
            with suppress(ImportError):
                import_module(name)
        self._load_slp = sleap_io.load_slp
        self.load_video = sleap_io.load_video
        self._verify = verify_training_cfg
        self._checks = (check_output_strides, check_centroid_methods)
        self._plain = OmegaConf.to_container
        self.datasets_of = datasets_of

    def check(self, request: Request) -> Findings:
        """Look at every run of a job, whatever is wrong with another one."""
        return _Check(self, request).findings()

    def open(self, path: Path, name: str) -> Opened:
        """Open a labels file, its frames read when they are looked at.

        Raises:
            PackageError: if it cannot be opened, or refers to other files.
        """
        try:
            datasets = self.datasets_of(path, name)
            return Opened(path, name, self._load(path), datasets)
        except (PackageError, MemoryError):
            raise
        except Exception as error:
            said = printable(str(error), limit=200)
            raise PackageError(f"'{name}' cannot be opened as SLEAP labels ({said}). Export it again.") from error

    def verify(self, config: Config) -> tuple[Config | None, list[str]]:
        """A config with all defaults, None if sleap-nn makes nothing of it, and what is wrong with it."""
        verified, problems = verify_config(config, self._verify, self._checks)
        return (None if verified is None else self._plain(verified)), problems

    def _load(self, path: Path) -> Any:
        try:
            return self._load_slp(str(path), open_videos=False, lazy=True)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - the training reads it the other way: that one decides
            return self._load_slp(str(path), open_videos=False)


class _Check:
    """One request: each file is opened once, each sentence noted once."""

    def __init__(self, checker: Checker, request: Request) -> None:
        self._checker = checker
        self._request = request
        self._folder = Path(request.folder)
        self._inputs = self._folder / "inputs"
        mounts = Mounts({label: Path(root) for label, root in request.mounts.items()})
        self._granted = Granted(self._inputs.resolve(), mounts, checker.datasets_of)
        self._opened: dict[str, Opened | None] = {}
        self._tested: set[str] = set()
        self._problems: list[str] = []
        self._notices: list[str] = []
        self._backbones: list[Config] = []
        self._trained_on: dict[Path, Opened] = {}
        self._settings: dict[str, RunSettings] = {}

    def findings(self) -> Findings:
        for run in self._request.runs:
            self._guarded(run)
        full = disk_problem(self._backbones, self._request.free)
        if full is not None:
            self._problems.append(full)
        findings = Findings.of(self._problems, self._notices)
        if not self._request.describe:
            return findings
        labels = labels_of(self._trained_on.values())
        return findings.model_copy(update={"settings": self._settings, "labels": labels})

    def _guarded(self, run: RunToCheck) -> None:
        try:
            self._check_run(run)
        except Exception as error:  # noqa: BLE001 - what the check did not expect is no reason to refuse a job
            traceback.print_exc()
            self._notices.append(f"{run.name}: not all could be checked beforehand ({type(error).__name__}).")

    def _check_run(self, run: RunToCheck) -> None:
        if run.verb is Verb.TRACK:
            self._check_track(run)
        else:
            self._check_training(run)

    def _check_track(self, run: RunToCheck) -> None:
        task = TrackTask.read(Path(run.config))
        checker = self._checker
        self._problems += track_problems(task, self._folder, self._granted, checker.open, checker.load_video)

    def _check_training(self, run: RunToCheck) -> None:
        path = Path(run.config)
        with path.open("rb") as source:
            config = read_yaml(source.read(MAX_OWN_BYTES + 1), MAX_OWN_BYTES)
        if not isinstance(config, dict):
            raise ConfigError("it is not a mapping")
        data = config.get("data_config") or {}
        train = [self._open(path) for path in listed(data.get("train_labels_path"))]
        validation = [self._open(path) for path in listed(data.get("val_labels_path"))]
        for tested in listed(data.get("test_file_path")):
            self._check_tested(Path(tested))
        verified, problems = self._checker.verify(config)
        self._problems += [f"{run.name}: {problem}" for problem in problems]
        if verified is None:
            return
        self._backbones.append(verified["model_config"]["backbone_config"])
        self._settings[run.name] = settings_of(verified)
        self._trained_on.update((opened.path, opened) for opened in train if opened is not None)
        files = [opened for opened in train + validation if opened is not None]
        if len(files) < len(train) + len(validation):
            return  # what the others lack cannot be told without those that do not open
        task = Task(verified, files[: len(train)], files[len(train) :])
        self._problems += [f"{run.name}: {problem}" for problem in label_problems(task)]
        self._notices += [f"{run.name}: {notice}" for notice in self._task_notices(task)]

    def _task_notices(self, task: Task) -> Iterator[str]:
        yield from label_notices(task)
        tight = memory_notice(task.config, image_shape(task), self._request.gpu_memory_mb)
        if tight is not None:
            yield tight

    def _open(self, path: str) -> Opened | None:
        if path not in self._opened:
            self._opened[path] = self._opened_or_none(Path(path))
        return self._opened[path]

    def _opened_or_none(self, path: Path) -> Opened | None:
        name = printable(path.relative_to(self._inputs).as_posix(), limit=120)
        try:
            opened = self._checker.open(path, name)
        except PackageError as error:
            self._problems.append(error.sentence)
            return None
        self._problems += self._video_problems(opened, self._request.videos)
        return opened

    def _check_tested(self, path: Path) -> None:
        """See what a file that the finished model is tested on reads: sleap-nn calls its videos what the file does."""
        if str(path) in self._tested:
            return
        self._tested.add(str(path))
        name = printable(path.relative_to(self._inputs).as_posix(), limit=120)
        if path.suffix.lower() != ".slp":
            problem = self._granted.problem(path.resolve())
            self._problems += [f"The model cannot be tested on '{name}', {problem}."] if problem else []
            return
        try:
            self._problems += self._video_problems(self._checker.open(path, name), ())
        except PackageError as error:
            self._problems.append(error.sentence)

    def _video_problems(self, opened: Opened, arguments: Sequence[str]) -> list[str]:
        try:
            return list(video_problems(opened, self._granted, arguments))
        except Exception as error:  # noqa: BLE001 - unlike the rest, this is about what a job may read
            traceback.print_exc()
            said = f"the videos of '{opened.name}' cannot be looked at ({type(error).__name__})"
            return [f"It is not certain what the job would read: {said}. Export the labels again, with their images."]


def serve(within: float = _WITHIN) -> None:
    """Answer requests until the pipe ends.

    Args:
        within: seconds that one may take, where each has a process of its own.
    """
    die_with_parent()
    logging.disable()
    requests, answers = _take_pipes()
    answer = partial(_answer, Checker(), Maker())
    answers.write(READY)
    if sys.platform == "linux":
        serve_apart(requests, answers, answer, within)
    else:
        _serve_here(requests, answers, answer)


def _answer(checker: Checker, maker: Maker, line: bytes) -> bytes:
    request = AnyRequest.validate_json(line)
    answer = checker.check(request) if isinstance(request, Request) else maker.make(request)
    return answer.model_dump_json().encode() + b"\n"


def _serve_here(requests: FileIO, answers: FileIO, answer: Callable[[bytes], bytes]) -> None:
    # a process that has loaded so much cannot be forked everywhere
    while line := requests.readline():
        answers.write(answer(line))
        gc.collect()  # labels are full of cycles, and hold their files open


def _take_pipes() -> tuple[FileIO, FileIO]:
    """Keep standard input and output for ourselves; what a library prints goes to the log."""
    requests, answers = FileIO(os.dup(0), "rb"), FileIO(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


if __name__ == "__main__":
    serve(*map(float, sys.argv[1:]))
