"""A worker asks its preflight helper, and loses no job to one that fails."""

import json
import sys
from pathlib import Path

import pytest

from sleap_rtc.errors import BusyError, ConfigError, PackageError
from sleap_rtc.jobs.checking import Preflight, PreflightSettings
from sleap_rtc.jobs.estimates import LEAST_DISK, checkpoint_bytes, disk_problem, memory_notice
from sleap_rtc.jobs.events import read_events
from sleap_rtc.jobs.findings import Findings
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.sandbox.settings import SandboxSettings
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.jobs import JobSpec, JobState, Notice, Run, Verb
from sleap_rtc.protocol.training import TrainOptions, Videos, VideoTarget

from .conftest import OWNER, FakeRunner, eventually, names_in, new_board, submit, training_config

HELPER = Path(__file__).with_name("fake_preflight.py")
UNET = {"kernel_size": 3, "filters": 16, "filters_rate": 2.0, "max_stride": 16}


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    """Where the fake helper notes its starts."""
    path = tmp_path / "starts"
    path.touch()
    return path


def new_preflight(
    root: Path,
    starts: Path,
    behaviour: str,
    *,
    patience: float | None = None,
    sandbox: SandboxSettings | None = None,
) -> Preflight:
    """A preflight with a helper that behaves so; waits end at once where they would be in vain."""
    patience = patience or (0.2 if behaviour == "slow" else 20)
    answer = 0.2 if behaviour == "hangs" else 20
    helper = (sys.executable, str(HELPER), behaviour, str(starts))
    settings = PreflightSettings(
        patience=patience, making_patience=patience, answer=answer, grace=0, first_pause=0.05, helper=helper
    )
    return Preflight(root / ".preflight", sandbox=sandbox, settings=settings)


def notices(folder: JobFolder) -> list[str]:
    return [event.body.text for event in read_events(folder.events) if isinstance(event.body, Notice)]


async def test_a_checked_job_is_queued_with_what_was_noticed(
    root: Path, fake: FakeRunner, package: Path, starts: Path
) -> None:
    preflight = new_preflight(root, starts, "good")
    async with preflight.at_work():
        folder = await submit(new_board(root, fake("good"), preflight=preflight), package)
    assert folder.state().state is JobState.QUEUED
    assert notices(folder) == ["looked at"]


@pytest.mark.parametrize("behaviour", ["hangs", "slow", "broken", "babbles", "floods", "lies", "dies once"])
async def test_a_helper_that_fails_costs_no_job(
    root: Path, fake: FakeRunner, package: Path, starts: Path, behaviour: str
) -> None:
    preflight = new_preflight(root, starts, behaviour)
    async with preflight.at_work():
        folder = await submit(new_board(root, fake("good"), preflight=preflight), package)
    assert folder.state().state is JobState.QUEUED
    (notice,) = notices(folder)
    assert "queued without a check" in notice


async def test_what_a_job_reads_beside_its_package_is_never_left_unchecked(
    root: Path, fake: FakeRunner, package: Path, starts: Path
) -> None:
    (package / "a.mp4").touch()
    target = VideoTarget(old="/old/a.mp4", new="a.mp4", in_package=True)
    options = TrainOptions(videos=Videos(kind="map", targets=(target,)))
    preflight = new_preflight(root, starts, "dies once")
    async with preflight.at_work():
        board = new_board(root, fake("good"), preflight=preflight)
        with pytest.raises(BusyError, match="again in a minute"):
            await submit(board, package, options=options)
        # the same job, when the check is there again
        folder = await submit(board, package, options=options)
    assert folder.state().state is JobState.QUEUED
    assert notices(folder) == ["looked at"]


def count(starts: Path) -> int:
    return len(starts.read_text().splitlines())


async def test_a_helper_that_died_is_started_again(root: Path, fake: FakeRunner, package: Path, starts: Path) -> None:
    preflight = new_preflight(root, starts, "dies once")
    async with preflight.at_work():
        board = new_board(root, fake("good"), preflight=preflight)
        await submit(board, package, "j_11111111")
        second = await submit(board, package, "j_22222222")
    assert notices(second) == ["looked at"]
    assert count(starts) == 2


async def test_a_helper_that_never_starts_is_tried_on_and_not_waited_for(
    root: Path, fake: FakeRunner, package: Path, starts: Path
) -> None:
    preflight = new_preflight(root, starts, "broken", patience=3600)
    async with preflight.at_work():
        board = new_board(root, fake("good"), preflight=preflight)
        folder = await submit(board, package)
        await eventually(lambda: count(starts) >= 3)
    assert "does not start" in notices(folder)[0]


@pytest.mark.skipif(sys.platform != "linux", reason="there are no sandboxes")
@pytest.mark.parametrize("program", ["/usr/bin/false", "/nowhere/bwrap"])
async def test_a_helper_whose_sandbox_cannot_be_made_is_not_started_without(
    root: Path, fake: FakeRunner, package: Path, starts: Path, program: str
) -> None:
    sandbox = SandboxSettings(bwrap=program, jobs=str(root))
    preflight = new_preflight(root, starts, "good", sandbox=sandbox)
    (package / "a.mp4").touch()
    videos = Videos(kind="map", targets=(VideoTarget(old="/old/a.mp4", new="a.mp4", in_package=True),))
    async with preflight.at_work():
        board = new_board(root, fake("good"), preflight=preflight)
        folder = await submit(board, package)
        with pytest.raises(BusyError, match="cannot be checked"):
            await submit(board, package, "j_22222222", options=TrainOptions(videos=videos))
    assert "does not start" in notices(folder)[0]
    assert count(starts) == 0


async def test_the_end_of_the_worker_leaves_a_job_unchecked_not_unqueued(
    root: Path, fake: FakeRunner, package: Path, starts: Path
) -> None:
    preflight = new_preflight(root, starts, "good", patience=3600)
    async with preflight.at_work():
        pass
    folder = await submit(new_board(root, fake("good"), preflight=preflight), package)
    assert folder.state().state is JobState.QUEUED


def with_old_config(package: Path, becomes: dict[str, str]) -> Path:
    """The package with a config that has to be converted, and what the helper makes of it."""
    old = {"data": {}, "model": {}, "optimization": {}, "becomes": becomes}
    (package / "old.json").write_text(json.dumps(old))
    return package


async def test_a_config_that_the_helper_made_is_queued(
    root: Path, fake: FakeRunner, package: Path, starts: Path
) -> None:
    with_old_config(package, {"config": write_yaml(training_config("centroid", max_epochs=9))})
    preflight = new_preflight(root, starts, "good")
    async with preflight.at_work():
        folder = await submit(new_board(root, fake("good"), preflight=preflight), package)
    assert [(run.name, run.max_epochs) for run in folder.spec().runs] == [("old", 9), ("one", 2)]


@pytest.mark.parametrize(
    ("becomes", "why"),
    [
        ({"problem": "It has no heads. Export it again."}, "It has no heads"),
        ({"config": "hydra: {}"}, "'old.json' is refused: .*Hydra"),
        ({"config": "name: ${oc.env:HOME}"}, "'old.json' is refused: .*interpolation"),
        ({}, "could not make the config 'old.json'"),
        ({"config": "#" * 300_000}, "its helper failed"),
    ],
)
async def test_what_the_helper_made_is_read_like_a_strangers(
    root: Path, fake: FakeRunner, package: Path, starts: Path, becomes: dict[str, str], why: str
) -> None:
    preflight = new_preflight(root, starts, "good")
    async with preflight.at_work():
        with pytest.raises(ConfigError, match=why):
            await submit(new_board(root, fake("good"), preflight=preflight), with_old_config(package, becomes))
    assert names_in(root) == [".preflight"]


@pytest.mark.parametrize(
    ("behaviour", "error", "why"),
    [
        ("slow", BusyError, "still starting. Submit the job again"),
        ("broken", BusyError, "does not start on this worker"),
        ("hangs", ConfigError, "longer than 0.2 seconds"),
        ("babbles", ConfigError, "its helper failed"),
    ],
)
async def test_a_config_that_cannot_be_made_is_never_queued(
    root: Path, fake: FakeRunner, package: Path, starts: Path, behaviour: str, error: type[Exception], why: str
) -> None:
    with_old_config(package, {"config": write_yaml(training_config())})
    preflight = new_preflight(root, starts, behaviour)
    async with preflight.at_work():
        with pytest.raises(error, match=why):
            await submit(new_board(root, fake("good"), preflight=preflight), package)
    assert names_in(root) == [".preflight"]


async def test_a_worker_without_a_helper_refuses_old_configs(root: Path, fake: FakeRunner, package: Path) -> None:
    with pytest.raises(ConfigError, match="which this worker does not do"):
        await submit(new_board(root, fake("good")), with_old_config(package, {}))
    assert names_in(root) == []


def test_a_refusal_lists_every_problem() -> None:
    refusal = Findings.of(["a: no head", "b: no tail", "a: no head"], []).refusal()
    assert isinstance(refusal, PackageError)
    first, *lines = refusal.sentence.split("\n")
    assert "2 problems" in first
    assert lines == ["- a: no head", "- b: no tail"]


def test_a_refusal_that_is_too_long_says_how_many_more_there_are() -> None:
    problems = [f"{number}: " + "x" * 5000 for number in range(100)]
    refusal = Findings.of(problems, []).refusal()
    assert ErrorInfo.of(refusal).sentence == refusal.sentence
    lines = refusal.sentence.split("\n")
    assert lines[-1] == f"- and {100 - (len(lines) - 2)} more"


def test_checkpoints_need_room() -> None:
    backbones = [{"unet": UNET, "convnext": None}]
    assert disk_problem(backbones, LEAST_DISK) is None
    assert "Choose another worker" in (disk_problem(backbones, LEAST_DISK - 1) or "")
    large = [{"unet": UNET | {"filters": 256}}] * 2
    assert "GB" in (disk_problem(large, LEAST_DISK) or "")


def test_the_size_of_checkpoints_is_not_below_the_real_one() -> None:
    # a demo model of sleap-nn with these settings has 1.9 million weights
    assert checkpoint_bytes({"unet": UNET}) > 1_900_000 * 12 * 3
    assert checkpoint_bytes({"convnext": {"model_type": "base"}}) > checkpoint_bytes({"convnext": {}})
    odd = {"unet": {"kernel_size": 10**9, "filters": 10**9, "filters_rate": 1e308, "max_stride": 2**60}}
    assert checkpoint_bytes(odd) > 10**12


def test_only_what_can_hardly_fit_is_warned_of() -> None:
    config = {
        "model_config": {"backbone_config": {"unet": {"filters": 32}}},
        "trainer_config": {"train_data_loader": {"batch_size": 64}},
    }
    assert memory_notice(config, (4000, 4000), None) is None
    assert memory_notice(config, None, 8192) is None
    assert memory_notice(config, (256, 256), 8192) is None
    assert "batch_size" in (memory_notice(config, (4000, 4000), 8192) or "")


async def test_an_export_has_nothing_to_be_checked(root: Path, starts: Path) -> None:
    preflight = new_preflight(root, starts, "broken")
    spec = JobSpec(job="j_12345678", owner=OWNER, name="fly", manifest="0" * 64, submitted=0)
    folder = JobFolder.create(root / spec.job, spec)
    async with preflight.at_work():
        assert await preflight.check(folder, [Run(name="onnx", verb=Verb.EXPORT, config="x")]) == Findings()
