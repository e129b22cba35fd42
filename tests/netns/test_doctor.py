"""What ``sleap-rtc doctor`` makes of networks that it is in."""

import json
import subprocess
from typing import Any

import pytest

from tests.netns.labs import ROOM, TURN_URLS, Lab
from tests.netns.topology import UDP

pytestmark = [pytest.mark.netns, pytest.mark.xdist_group("netns")]

WORDS = ("doctor", "--room", ROOM, "--worker", "office-libwebrtc", "--json")


def checks(process: "subprocess.Popen[str]") -> dict[str, dict[str, Any]]:
    """What it found, by the names of its checks."""
    with process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    return {check["name"]: check for check in json.loads(out)["checks"]}


def test_it_says_which_way_a_link_goes_and_why(lab: Lab) -> None:
    with lab.internet.home_router.blocking(UDP):
        asked = [lab.type(space, *WORDS) for space in (lab.internet.home, lab.internet.lab)]
        behind, near = map(checks, asked)
    udp, tcp, tls = TURN_URLS
    assert near["turn"]["status"] == "ok", near["turn"]
    assert "relays for this machine over UDP, TCP and TLS" in near["turn"]["sentence"]
    assert near["worker"]["status"] == "ok", near["worker"]
    # a channel may open before the worker has said whose address it is that its packets come from
    assert near["worker"]["details"]["way"] in ("host", "reflexive")
    assert behind["turn"]["status"] == "warn"
    assert "UDP gets nowhere from here" in behind["turn"]["sentence"]
    assert behind["turn"]["details"][udp] != behind["turn"]["details"][tcp] == behind["turn"]["details"][tls]
    assert (behind["worker"]["details"]["local"], behind["worker"]["details"]["carrier"]) == ("relay", "tcp")
    assert "relayed over TCP: UDP gets nowhere from here" in behind["worker"]["sentence"]
