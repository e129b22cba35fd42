"""What the recommended relay grants and refuses, to whoever can reach it."""

import json
import sys
import time
from typing import Any

import pytest

from signaling_server.signaling.turn import password
from tests.netns.labs import Lab
from tests.netns.relay import SECRET
from tests.netns.topology import RELAY, RELAY_6, SERVICE

pytestmark = [pytest.mark.netns, pytest.mark.xdist_group("netns")]

UNAUTHORIZED, FORBIDDEN = 401, 403
PUBLIC = ("203.0.113.21", "198.51.100.7", RELAY, SERVICE)
PUBLIC_6 = ("2600::1", RELAY_6)
WITHIN = (
    "10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.7.2", "127.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.1",
    "192.0.0.8", "198.18.0.1", "224.0.0.251", "255.255.255.255",
)  # fmt: skip
"""Of networks behind a relay, of the machine itself, and of nobody: of each range in the manual's configuration."""
WITHIN_6 = (
    "::1", "::a00:1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2001::1", "2002:a00:1::1", "fc00::1", "fdff::1", "fe80::1",
    "ff02::1",
)  # fmt: skip
"""The same of IPv6, with the addresses that lead to those above in other forms."""


def asked(lab: Lab, *attempts: dict[str, Any]) -> list[dict[str, Any]]:
    """What the relay answers to somebody at home."""
    words = (sys.executable, "-m", "tests.netns.asking_relay", RELAY, "3478")
    answers: list[dict[str, Any]] = json.loads(lab.internet.home.run(*words, said=json.dumps(attempts)))
    return answers


def attempt(*peers: str, secret: str = SECRET, ends_in: int = 60) -> dict[str, Any]:
    """Come with credentials as the service would make them."""
    username = f"{int(time.time()) + ends_in}:u_aaaaaaaa.p_bbbbbbbb"
    return {"username": username, "credential": password(secret.encode(), username), "peers": peers}


def test_credentials_that_ended_or_were_made_elsewhere_open_nothing(lab: Lab) -> None:
    lasting = attempt()
    lengthened = lasting | {"username": lasting["username"].replace(":", "0:", 1)}
    nobody = lasting | {"username": "ada", "credential": "ada"}
    good, *bad = asked(lab, lasting, attempt(ends_in=-1), attempt(secret="f" * 32), lengthened, nobody)
    assert good["allocated"] == 0
    assert [each["allocated"] for each in bad] == [UNAUTHORIZED] * 4


def test_what_was_lent_may_be_used_when_the_credentials_have_ended(lab: Lab) -> None:
    # a link may last for days
    for ends_in in (2, 4, 8, 16):
        (answer,) = asked(lab, attempt(PUBLIC[0], ends_in=ends_in) | {"late": True})
        if answer["allocated"] == 0:  # else a busy machine came too late
            break
    assert answer == {"allocated": 0, "peers": {PUBLIC[0]: 0}}


@pytest.mark.parametrize(("public", "within"), [(PUBLIC, WITHIN), (PUBLIC_6, WITHIN_6)], ids=["IPv4", "IPv6"])
def test_it_sends_nothing_into_networks_that_are_nobody_elses(
    lab: Lab, public: tuple[str, ...], within: tuple[str, ...]
) -> None:
    (answer,) = asked(lab, attempt(*public, *within))
    assert answer["allocated"] == 0
    assert answer["peers"] == dict.fromkeys(public, 0) | dict.fromkeys(within, FORBIDDEN)
