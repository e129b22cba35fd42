"""What becomes of a link, and of a command, where the way is cut or never was."""

import pytest

from tests.netns.labs import ROOM, Lab, Listening, ended

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


def test_where_there_is_no_way_a_command_says_so_and_what_to_do(lab: Lab) -> None:
    # nobody vouches for those who come by a session string, so that the service names them no relay
    lab.start_worker(lab.internet.office, "office-alone", "libwebrtc", in_room=False)
    line = lab.wait("office-alone")
    package = lab.package()
    words = ("client", "-s", line, "-p", str(package), "-o", str(lab.models(package)), "--json", "--transport")
    commands = [lab.type(lab.internet.home, *words, engine) for engine in ("libwebrtc", "aiortc")]
    for said in map(ended, commands):
        assert said.code == 4, said.err
        assert not said.of("job")
        assert "TURN" in said.err
    assert lab.started("office-alone") == 0
