"""What becomes of a link, and of a command, where the way is cut or never was."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.netns.labs import ROOM, Lab, ended

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
    rest = ended(training)
    assert rest.code == 0, rest.err
    assert rest.of("finished")
    numbers = [event["seq"] for event in said.events + rest.events if event["event"] == "progress"]
    assert numbers == list(range(1, len(numbers) + 1))


class Listening:
    """What a command says while it runs, line by line."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.events: list[dict[str, Any]] = []

    def until(self, event: str, enough: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Read on until it says something."""
        for line in iter(self._process.stdout.readline, ""):
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event and enough(self.events[-1]):
                return self.events[-1]
        raise AssertionError(f"it ended without saying {event}: {self._process.stderr.read()}")
