"""What is said of the way that a connection takes."""

import pytest

from sleap_rtc.transport.paths import NetworkPath, Told

RELAY = "candidate:1 1 udp 100 203.0.113.10 50000 typ relay raddr 203.0.113.23 rport 4000"
HOST = "candidate:2 1 udp 200 2001:db8:0::7 5000 typ host"
NAMED = "candidate:3 1 udp 200 0b0c0d0e-0000-4000-8000-000000000000.local 6000 typ host"


@pytest.mark.parametrize(
    ("host", "port", "kind"),
    [
        ("203.0.113.10", 50000, "relay"),
        ("2001:db8::7", 5000, "host"),
        # nobody told of these: another port of the relay may be a router's, but a private address is a machine's
        ("198.51.100.7", 50001, "prflx"),
        ("192.168.7.2", 6000, "host"),
    ],
)
def test_an_address_that_was_seen_before_it_was_told_is_what_was_told(host: str, port: int, kind: str) -> None:
    told = Told()
    for candidate in (RELAY, HOST, NAMED):
        told.note(candidate)
    assert told.type_of("prflx", host, port) == kind
    assert told.type_of("srflx", host, port) == "srflx"
    assert told.type_of("prflx", None, None) == told.type_of("prflx", None, 1) == "host"
    assert told.type_of("prflx", None, 50000) == "relay"


def test_a_path_is_a_relays_if_either_end_is_behind_one() -> None:
    assert NetworkPath.of("host", "host", None).way == "host"
    assert NetworkPath.of("host", "prflx", None).way == "reflexive"
    assert NetworkPath.of("srflx", "relay", None).way == "relay"
