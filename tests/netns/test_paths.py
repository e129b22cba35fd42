"""Which way is taken, and what is said where there is none."""

import pytest

from tests.netns.labs import PACKAGE, Lab, ended

pytestmark = [pytest.mark.netns, pytest.mark.xdist_group("netns")]


@pytest.mark.parametrize("client", ["libwebrtc", "aiortc"])
def test_where_udp_is_blocked_the_relay_is_reached_over_tcp(lab: Lab, client: str) -> None:
    sent = lab.internet.home_router.sent()
    with lab.internet.home_router.blocking_udp():
        said = ended(lab.train(lab.internet.home, client, "office-libwebrtc"))
    assert said.code == 0, said.err
    assert lab.internet.home_router.sent() - sent > PACKAGE


@pytest.mark.parametrize("engine", ["libwebrtc", "aiortc"])
def test_a_direct_way_is_taken_though_there_is_a_relay(lab: Lab, engine: str) -> None:
    sent = lab.internet.office_router.sent()
    said = ended(lab.train(lab.internet.lab, engine, f"office-{engine}"))
    assert said.code == 0, said.err
    assert lab.internet.office_router.sent() - sent < PACKAGE / 4
