"""What becomes of a link when its way is cut."""

import pytest

from tests.netns.labs import ROOM, Lab, Listening

pytestmark = [pytest.mark.netns, pytest.mark.xdist_group("netns")]


def test_a_link_goes_on_after_its_relay_was_gone(lab: Lab) -> None:
    lab.start_worker(lab.internet.office, "office-endless", "libwebrtc", "endless")
    lab.wait("office-endless")
    training = lab.train(lab.internet.home, "libwebrtc", "office-endless", program="tests.roles.client_process")
    said = Listening(training)
    job = said.until("job")["job"]["job"]
    said.until("progress", lambda event: event["type"] == "epoch_ended")
    lab.relay.stop()
    said.until("link_lost")
    lab.relay.start()
    said.until("link_restored")
    said.until("progress", lambda event: event["type"] == "epoch_ended")
    with lab.type(lab.internet.home, "jobs", "stop", job, "--room", ROOM, "--worker", "office-endless") as stop:
        assert stop.wait(60) == 0
    heard = said.to_its_end()
    assert heard.code == 0, heard.err
    assert heard.of("finished")
    assert [event["seq"] for event in heard.of("progress")] == list(range(1, len(heard.of("progress")) + 1))
