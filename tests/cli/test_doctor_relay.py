"""``doctor`` and relays: what it says of a real one that works, and of one that does not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sleap_rtc.cli.doctor.check import Finding, Scene, Status
from sleap_rtc.cli.doctor.relay import check_turn, check_worker
from sleap_rtc.cli.ls import worker_request
from sleap_rtc.config.limits import TransferLimits
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.config.settings import Settings
from sleap_rtc.protocol.sdp import IceServer
from tests.cli.room_lab import RoomLab, room_lab
from tests.cli.test_status_doctor import scene
from tests.coturn import Coturn, coturn

RELAYED = TransferLimits(relay_only=True)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    with coturn(tmp_path_factory.mktemp("coturn")) as running:
        yield running


async def found_with(monkeypatch: pytest.MonkeyPatch, *servers: IceServer, at: Scene | None = None) -> Finding:
    """What is said where the service names these servers."""

    async def given(_: Scene) -> tuple[list[IceServer], str]:
        return list(servers), ""

    monkeypatch.setattr("sleap_rtc.cli.doctor.relay.ice_servers", given)
    monkeypatch.setattr("sleap_rtc.cli.doctor.relay.WITHIN", 1.0)
    monkeypatch.setattr("sleap_rtc.cli.doctor.link.MESSAGES", 8)
    return await check_turn(at or scene())


@pytest.mark.parametrize("engine", ["libwebrtc", "aiortc"])
async def test_a_relay_that_works(relay: Coturn, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleap_rtc.cli.doctor.link.MESSAGES", 8)
    urls = [relay.url("udp"), relay.url("tcp")]
    async with room_lab(tmp_path, turn_urls=urls, turn_secret=relay.secret) as lab:
        found = await check_turn(scene(lab.service.url, engine=engine))
    assert found.status is Status.OK, found
    assert found.sentence.startswith("The service relays for this machine over UDP and TCP.")
    assert "with itself, relayed over" in found.sentence
    assert [found.details[url] for url in urls] == ["lent an address"] * 2
    assert found.details["bytes_per_second"]


async def test_refused_credentials(relay: Coturn, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = relay.server("udp", secret="another" * 8)
    found = await found_with(monkeypatch, wrong)
    assert found.status is Status.WARN
    assert "refused the credentials" in found.sentence
    assert "secret that it shares with the service may be another one" in found.sentence
    assert str(wrong.credential) not in str(found)
    alone = replace(scene(), settings=Settings(limits=RELAYED))
    assert (await found_with(monkeypatch, wrong, at=alone)).status is Status.FAIL


async def test_udp_that_gets_nowhere(relay: Coturn, monkeypatch: pytest.MonkeyPatch) -> None:
    server = relay.server("tcp")
    found = await found_with(monkeypatch, server.model_copy(update={"urls": ["turn:127.0.0.1:9", *server.urls]}))
    assert found.status is Status.WARN
    assert found.sentence.startswith(
        "UDP gets nowhere from here, or not to the relay: the service relays over TCP alone"
    )
    assert "relayed over TCP" in found.sentence


async def test_a_certificate_that_nobody_trusts(relay: Coturn, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await found_with(monkeypatch, relay.server("udp", "tls"))
    assert found.status is Status.WARN
    assert "over UDP, but turns:127.0.0.1" in found.sentence
    assert "certificate that is not trusted here (self-signed certificate)" in found.sentence


async def test_a_relay_that_is_not_there_or_is_none(relay: Coturn, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = IceServer(urls=["turn:127.0.0.1:9", "turn:127.0.0.1:9?transport=tcp"], username="1:u", credential="c")
    found = await found_with(monkeypatch, silent)
    assert found.status is Status.WARN
    assert "No TURN server of the service relays for this machine" in found.sentence
    assert "It may be down" in found.sentence
    found = await found_with(monkeypatch)
    assert "names no TURN server" in found.sentence
    found = await found_with(monkeypatch, at=replace(scene(), settings=Settings(limits=RELAYED)))
    assert found.status is Status.FAIL


async def test_who_is_not_logged_in_is_told_so() -> None:
    assert (await check_turn(scene())).status is Status.SKIP
    assert (await check_worker(scene())).status is Status.SKIP


async def way_to(lab: RoomLab, limits: TransferLimits) -> Finding:
    settings = Settings(server=lab.service.url, limits=limits)
    request = worker_request("gpu", lab.room.room_id, settings, SecretLookup.of_this_machine())
    return await check_worker(replace(scene(lab.service.url, request=request), settings=settings))


async def test_the_way_to_a_worker(relay: Coturn, tmp_path: Path) -> None:
    for carrier, said in (("udp", ", as only relays may be used here"), ("tcp", ", as only relays may be used here")):
        lab_with = room_lab(tmp_path / carrier, turn_urls=[relay.url(carrier)], turn_secret=relay.secret)
        (tmp_path / carrier).mkdir()
        async with lab_with as lab, lab.worker("gpu", 8):
            direct, relayed = await way_to(lab, TransferLimits()), await way_to(lab, RELAYED)
        assert direct.status is Status.OK
        assert direct.sentence.startswith("The link to gpu is direct")
        assert f"The link to gpu is relayed over {carrier.upper()}{said}" in relayed.sentence
        assert relayed.details["carrier"] == carrier
        assert relayed.status is (Status.OK if carrier == "udp" else Status.WARN)
