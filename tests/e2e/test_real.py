"""End to end with the real sleap-nn: what the README promises."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.jobs.events import read_events
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.jobs import EpochEnded
from tests.e2e.conftest import Terminals
from tests.e2e.programs import environment
from tests.jobs.aftermath import assert_whole, processes_of
from tests.jobs.conftest import training_config, write_package
from tests.secret_forms import SECRET

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.xdist_group("e2e")]


def rows(model: Path) -> list[dict[str, str]]:
    with (model / "training_log.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_config_that_sleap_nn_refuses_is_its_sentence(
    terminals: Terminals, real_labels: bytes, tmp_path: Path
) -> None:
    config = training_config("single_instance")
    config["model_config"]["backbone_config"]["unet"]["max_stride"] = "sideways"
    package = tmp_path / "package"
    package.mkdir()
    (package / "labels.pkg.slp").write_bytes(real_labels)
    (package / "single_instance.yaml").write_text(write_yaml(config))
    done = terminals.client(package, tmp_path / "models")
    # refused before the queue, or failed in it where the check was not ready in time
    assert done.returncode in (2, 5), done.stderr
    assert "sideways" in done.stderr
    assert not (tmp_path / "models").exists()


def test_a_training_outlives_its_client_and_its_worker_and_is_watched_from_elsewhere(
    terminals: Terminals, real_labels: bytes, tmp_path: Path
) -> None:
    config = training_config("single_instance", max_epochs=2000, run_name="long")
    package = write_package(tmp_path / "package", {"long": config}, real_labels)
    output = tmp_path / "models"
    before = set(terminals.jobs.glob("j_*"))
    with terminals.typed("client", "client", "-s", terminals.line, "-p", str(package), "--json") as client:
        heard_until_epoch(client, 1)
        client.kill()
    (folder,) = set(terminals.jobs.glob("j_*")) - before
    job = JobFolder(folder)
    training = processes_of(job)
    terminals.restart_worker()
    where = (folder.name, "-s", terminals.line)
    with terminals.typed("elsewhere", "jobs", "watch", *where, "--json", "-o", str(output)) as watch:
        # what happened so far comes first; then it goes on
        told = heard_until_epoch(watch, last_epoch(job) + 2)
        assert set(training) == set(processes_of(job))
        with terminals.typed("elsewhere", "jobs", "stop", *where) as stop:
            assert stop.wait(100) == 0
        told += progress_of(watch)
        assert watch.wait(100) == 0
    assert [item["seq"] for item in told] == list(range(1, len(told) + 1))
    epochs = [item["epoch"] for item in told if item["type"] == "epoch_ended"]
    assert epochs == list(range(len(epochs)))
    assert [item["state"] for item in told if item["type"] == "state"][-4:] == [
        "starting",
        "running",
        "finishing",
        "done",
    ]
    assert [path.name for path in output.iterdir()] == ["long"]
    assert (output / "long" / "best.ckpt").stat().st_size > 0
    assert len(rows(output / "long")) >= len(epochs)
    assert_whole(job)


def heard_until_epoch(program: "subprocess.Popen[str]", epoch: int) -> list[dict[str, Any]]:
    """What a program tells of a job up to the end of an epoch."""
    told = []
    for item in progress_of(program):
        told.append(item)
        if item["type"] == "epoch_ended" and item["epoch"] >= epoch:
            return told
    raise AssertionError(f"it ended before: {told[-3:]}")


def progress_of(program: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    assert program.stdout
    # line by line, for a file object that is iterated reads ahead
    while line := program.stdout.readline():
        item = json.loads(line)
        if item["event"] == "progress":
            yield item


def last_epoch(job: JobFolder) -> int:
    return max(event.body.epoch for event in read_events(job.events) if isinstance(event.body, EpochEnded))


def test_the_demo_says_honestly_when_a_model_is_bad(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sleap_rtc", "demo", "--max-epochs", "1", "--seed", "12"],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    (median,) = re.findall(r"([\d.]+) px", done.stdout + done.stderr)
    assert float(median) > 3
    assert (tmp_path / "models" / "demo_single_instance" / "best.ckpt").is_file()


@pytest.fixture(scope="module")
def moved(terminals: Terminals, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package whose labels hold no images, and whose videos are on the worker alone."""
    from tests.client.labels_on_videos import make_labels

    folder = tmp_path_factory.mktemp("moved")
    (folder / "package").mkdir()
    make_labels(folder / "package" / "labels.slp", folder / "old" / "a.mp4", folder / "old" / "b.mp4")
    (folder / "old").rename(terminals.lab / "day1")
    config = training_config(max_epochs=1, train_steps_per_epoch=2, min_train_steps_per_epoch=2)
    (folder / "package" / "single_instance.yaml").write_text(write_yaml(config))
    return folder / "package"


@pytest.mark.parametrize("way", ["--video-paths", "--video-path-map", "--prefix-map"])
def test_a_package_whose_videos_moved_trains_where_the_worker_has_them(
    terminals: Terminals, moved: Path, tmp_path: Path, way: str
) -> None:
    old, new = moved.parent / "old", terminals.lab / "day1"
    words = {
        "--video-paths": [way, "lab:/day1/a.mp4", way, str(new / "b.mp4")],
        "--video-path-map": [way, str(old / "a.mp4"), "lab:/day1/a.mp4", way, str(old / "b.mp4"), "lab:/day1/b.mp4"],
        "--prefix-map": [way, str(old), "lab:/day1"],
    }[way]
    done = terminals.client(moved, tmp_path / "models", "--new", "--logs", *words)
    assert done.returncode == 0, done.stderr
    assert re.search(r"val loss \d", done.stdout)
    assert (tmp_path / "models" / "single_instance" / "best.ckpt").is_file()


def test_a_wrong_place_is_refused_before_the_queue_with_the_name_of_the_missing_file(
    terminals: Terminals, moved: Path, tmp_path: Path
) -> None:
    flags = ("--no-remembered-maps",)
    missing = terminals.client(moved, tmp_path / "models", *flags)
    assert missing.returncode == 2
    assert f"need the video '{moved.parent / 'old' / 'a.mp4'}', which is not on this machine" in missing.stderr
    wrong = terminals.client(moved, tmp_path / "models", "--prefix-map", str(moved.parent / "old"), "lab:/", *flags)
    assert wrong.returncode == 2
    assert "would be read from 'lab:/a.mp4'" in wrong.stderr
    named = terminals.client(moved, tmp_path / "models", "-v", "lab:/day1/a.mp4", "-v", "lab:/day1/c.mp4", *flags)
    assert named.returncode == 2
    assert "'lab:/day1/c.mp4' on this worker does not exist" in named.stderr


def test_nothing_that_was_written_about_these_runs_holds_a_secret(terminals: Terminals) -> None:
    """The logs of the service and the worker, and all that jobs leave: journals, logs, specs, configs, commands."""
    kept = (terminals.folder / "worker" / "credentials.json").read_text()
    secrets = [terminals.line, *re.findall(r"slp[a-z]?_\w{30,}", kept)]
    assert len(secrets) == 3
    logs = [terminals.folder / "server.log", terminals.folder / "worker.log"]
    written = [path for path in terminals.jobs.rglob("*") if path.is_file()]
    assert {"log.txt", "events.jsonl", "spec.json", "config.yaml"} <= {path.name for path in written}
    assert "101" in logs[0].read_text()
    for path in [*logs, *written]:
        text = path.read_bytes().decode(errors="replace")
        found = SECRET.search(text)
        assert found is None, (path, found)
        assert not any(secret in text for secret in secrets), path
