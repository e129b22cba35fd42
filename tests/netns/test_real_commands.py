"""What somebody types behind NAT: with the real sleap-nn at the other end, and where there is no way to it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.jobs.conftest import training_config, write_package
from tests.jobs.ending import end_jobs
from tests.netns.labs import ROOM, Lab, ended

pytestmark = [pytest.mark.netns, pytest.mark.xdist_group("netns")]


@pytest.fixture(scope="module")
def hopeless(lab: Lab) -> list["subprocess.Popen[str]"]:
    """Commands with a session string: nobody vouches for who comes by one, so that the service names them no relay.

    They look for a way while a model is trained.
    """
    lab.start_worker(lab.internet.office, "office-alone", "libwebrtc", in_room=False)
    line = lab.wait("office-alone")
    package = lab.package()
    words = ("client", "-s", line, "-p", str(package), "-o", str(lab.models(package)), "--json", "--transport")
    return [lab.type(lab.internet.home, *words, engine) for engine in ("libwebrtc", "aiortc")]


@contextmanager
def real_worker(lab: Lab, name: str) -> Iterator["subprocess.Popen[str]"]:
    """``sleap-rtc worker`` in the office, with the room's token in its environment."""
    environment = lab.environment(name) | {"SLEAP_RTC_API_KEY": lab.token}
    folder = lab.folder / name
    folder.mkdir()
    words = ("worker", "--name", name, "--slots", "1", "--jobs", str(folder / "jobs"))
    worker = lab.internet.office.start(
        sys.executable, "-m", "sleap_rtc", *words, environment=environment, log=folder / "log"
    )
    try:
        assert worker.stdout is not None
        assert any("Waiting" in line for line in worker.stdout), (folder / "log").read_text()
        yield worker
    finally:
        worker.kill()
        with worker:
            worker.wait(30)
        end_jobs(folder / "jobs")


@pytest.mark.real
@pytest.mark.usefixtures("hopeless")
def test_a_model_is_trained_and_comes_home(lab: Lab, real_labels: bytes) -> None:
    config = training_config(max_epochs=1, train_steps_per_epoch=2, min_train_steps_per_epoch=2)
    package = write_package(lab.folder / "real", {"single_instance": config}, real_labels)
    models = lab.models(package)
    with real_worker(lab, "office-real"):
        where = ("--room", ROOM, "--worker", "office-real", "--json")
        said = ended(lab.type(lab.internet.home, "train", *where, "-p", str(package), "-o", str(models)))
    assert said.code == 0, said.err
    assert (models / "single_instance" / "best.ckpt").stat().st_size > 0


def test_where_there_is_no_way_a_command_says_so_and_what_to_do(
    lab: Lab, hopeless: list["subprocess.Popen[str]"]
) -> None:
    for said in map(ended, hopeless):
        assert said.code == 4, said.err
        assert not said.of("job")
        assert "nothing direct passes between the two networks, and the service names you no relay" in said.err
        assert "Ask its operator for a TURN server" in said.err
    assert lab.started("office-alone") == 0
