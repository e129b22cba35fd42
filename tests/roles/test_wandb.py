"""A job that reports to Weights & Biases with the key that its submitter brought: where the key goes, and where not."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sleap_rtc.config.paths import home
from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.jobs import EpochEnded, Event, JobState, Notice
from sleap_rtc.protocol.training import TrainOptions
from tests.roles.conftest import Lab
from tests.roles.wandb_server import wandb_server
from tests.roles.worker_process import ALLOW_WANDB

KEY = "0123456789abcdef0123456789abcdef01234567"
SHOWN = (KEY.encode(), base64.b64encode(f"api:{KEY}".encode()))
REPORTED = TrainOptions(wandb=True)


def files_with_the_key(*folders: Path) -> Iterator[Path]:
    """Every file that holds the key, but for the fake trainer's account of its own environment."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.suffix != ".surroundings":
                content = path.read_bytes()
                if any(shown in content for shown in SHOWN):
                    yield path


def command_lines_with_the_key() -> list[list[str]]:
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if any(KEY in word for word in line)]


async def test_a_job_reports_with_its_submitters_key_which_stays_nowhere(
    lab: Lab, capfd: pytest.CaptureFixture[str]
) -> None:
    notices: list[str] = []
    trained = asyncio.Event()

    def see(event: Event) -> None:
        if isinstance(event.body, Notice):
            notices.append(event.body.text)
        elif isinstance(event.body, EpochEnded):
            trained.set()

    with wandb_server() as server:
        await lab.start_worker("endless", environment={ALLOW_WANDB: "yes", "WANDB_BASE_URL": server.url})
        section = {"project": "flies", "entity": "lab", "api_key": KEY[::-1]}
        async with lab.join() as worker:
            job = await worker.submit(await lab.package(wandb_config=section), options=REPORTED, wandb_key=KEY)
            log: list[str] = []
            watching = asyncio.ensure_future(job.watch(see, on_log=log.append))
            async with asyncio.timeout(60):
                await trained.wait()
            assert command_lines_with_the_key() == []
            assert list(files_with_the_key(lab.jobs, lab.folder / "worker-home", home())) == []
            await job.stop()
            assert await watching is JobState.DONE
    assert server.keys == {KEY}
    assert any(path.endswith("/file_stream") for path in server.paths)
    assert f"W&B run: {server.url}/lab/flies/runs/abc123" in notices
    assert any("wandb_config is read as" in text for text in notices)
    assert any("is not used" in text for text in notices)
    assert list(files_with_the_key(lab.folder, home())) == []
    # the key in the user's own file is the user's; it is in nothing that was made of it
    assert not [path for path in lab.jobs.rglob("work/**/*.yaml") if KEY[::-1] in path.read_text()]
    assert KEY not in "".join([*log, *capfd.readouterr()])


async def test_a_job_may_report_only_where_the_operator_lets_it_and_with_a_key(lab: Lab) -> None:
    await lab.start_worker()
    async with lab.join() as worker:
        package = await lab.package()
        with pytest.raises(ConfigError, match="without a key: set WANDB_API_KEY"):
            await worker.submit(package, options=REPORTED)
        with pytest.raises(ConfigError, match="does not let jobs report"):
            await worker.submit(package, options=REPORTED, wandb_key=KEY)
    assert lab.starts() == []
    assert not lab.jobs.exists() or not list(lab.jobs.iterdir())
