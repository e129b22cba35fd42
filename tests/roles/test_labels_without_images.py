"""Labels that only name their videos, from the command to the worker's folder of the job."""

import json

import pytest

from sleap_rtc.client.labels_messages import LabelsFile
from sleap_rtc.jobs.yaml_data import write_yaml
from tests.jobs.conftest import training_config
from tests.roles.conftest import Lab
from tests.roles.typing_client import Typing

pytestmark = pytest.mark.xdist_group("labels")


@pytest.fixture
def user(lab: Lab) -> Typing:
    """A user whose package is a project of SLEAP and a config."""
    from tests.client.labels_on_videos import make_labels

    typing = Typing(lab, "auto")
    package = typing.folder / "package"
    make_labels(package / "labels.slp", typing.folder / "videos" / "a.mp4")
    (package / "single_instance.yaml").write_text(write_yaml(training_config(run_name="single_instance")))
    return typing


async def test_frames_are_embedded_and_the_command_typed_again_finds_its_job(lab: Lab, user: Typing) -> None:
    from sleap_rtc.client.labels_reading import look_at

    await lab.start_worker("endless")
    first = await user.run("--detach")
    assert first.code == 0, first.errors
    assert "labels.slp: sent with the images of 6 labelled frames." in first.errors
    job = first.events[-1]["job"]
    sent = look_at(LabelsFile(path=str(lab.jobs / job / "inputs" / "labels.slp"), beside="/"))
    assert [(video.embedded, video.frames) for video in sent.videos] == [(True, 7)]
    again = await user.run("--detach")
    assert again.events[-1]["job"] == job
    # the project itself is as it was
    (own,) = look_at(LabelsFile(path=str(user.folder / "package" / "labels.slp"), beside="/")).videos
    assert own.needed


async def test_videos_are_sent_and_the_trainer_is_told_where_they_are(lab: Lab, user: Typing) -> None:
    await lab.start_worker()
    done = await user.run("--send-videos")
    assert done.code == 0, done.errors
    (folder,) = lab.jobs.glob("j_*")
    sent = folder / "inputs" / "videos" / "a.mp4"
    assert sent.read_bytes() == (user.folder / "videos" / "a.mp4").read_bytes()
    told = json.loads(lab.ledger.with_suffix(".arguments").read_text())
    assert told == ["--video-path-map", str(user.folder / "videos" / "a.mp4"), str(sent)]


async def test_a_place_outside_the_mounts_is_refused_and_nothing_is_remembered(lab: Lab, user: Typing) -> None:
    await lab.start_worker()
    video = user.folder / "videos" / "a.mp4"
    refused = await user.run("--video-path-map", str(video), str(video))
    assert refused.code == 2
    assert "is under no mount of this worker" in refused.errors
    assert "--embed-frames to send its labelled frames" in refused.errors
    assert list(lab.jobs.glob("j_*")) == []
    assert not (user.folder / "home" / "video_maps.json").exists()
