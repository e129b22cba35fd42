"""Which way is taken, and what is said where there is none."""

import pytest

from tests.netns.labs import MODEL, PACKAGE, Lab, ended
from tests.netns.topology import ALL_BUT_THE_WEB, UDP

pytestmark = [pytest.mark.netns, pytest.mark.xdist_group("netns")]


@pytest.mark.parametrize("engine", ["libwebrtc", "aiortc"])
def test_where_udp_is_blocked_at_the_worker_it_reaches_the_relay_over_tcp(lab: Lab, engine: str) -> None:
    sent = lab.internet.office_router.sent()
    with lab.internet.office_router.blocking(UDP):
        said = ended(lab.train(lab.internet.home, engine, f"office-{engine}"))
    assert said.code == 0, said.err
    assert said.path["way"] == "relay"
    assert lab.internet.office_router.sent() - sent > MODEL


@pytest.mark.parametrize("engine", ["libwebrtc", "aiortc"])
def test_where_only_the_web_is_let_through_the_client_reaches_the_relay_at_its_port(lab: Lab, engine: str) -> None:
    with lab.internet.home_router.blocking(ALL_BUT_THE_WEB):
        said = ended(lab.train(lab.internet.home, engine, f"office-{engine}"))
    assert said.code == 0, said.err
    assert (said.path["local"], said.path["carrier"]) == ("relay", "tcp")


@pytest.mark.parametrize("engine", ["libwebrtc", "aiortc"])
def test_a_direct_way_is_taken_though_there_is_a_relay(lab: Lab, engine: str) -> None:
    sent = lab.internet.office_router.sent()
    said = ended(lab.train(lab.internet.lab, engine, f"office-{engine}"))
    assert said.code == 0, said.err
    assert said.path["way"] == "host"
    assert lab.internet.office_router.sent() - sent < PACKAGE / 4
