"""Both peers behind NAT, with only the service and the relay to be reached: a package goes through and trains."""

import pytest

from tests.netns.labs import MODEL, PACKAGE, Lab, ended

pytestmark = [pytest.mark.netns, pytest.mark.xdist_group("netns")]


@pytest.mark.parametrize("worker", ["libwebrtc", "aiortc"])
@pytest.mark.parametrize("client", ["libwebrtc", "aiortc"])
def test_a_package_goes_through_the_relay_and_trains(lab: Lab, client: str, worker: str) -> None:
    name = f"office-{worker}"
    starts, sent = lab.started(name), lab.internet.home_router.sent()
    brought = lab.internet.office_router.sent()
    said = ended(lab.train(lab.internet.home, client, name))
    assert said.code == 0, said.err
    assert lab.started(name) == starts + 1
    assert said.of("finished")[0]["folders"]
    assert said.path["way"] == "relay"
    assert lab.internet.home_router.sent() - sent > PACKAGE
    assert lab.internet.office_router.sent() - brought > MODEL
