"""A page that uses relays alone, because whoever has started ``sleap-rtc dashboard`` wants it so."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.bench.pages import running_site
from tests.browser.chromium import log_in, visitors
from tests.browser.labs import page_lab
from tests.browser.loopback import Machine, dashboard_on, open_page
from tests.coturn import coturn

ROUTES = """
    const local = await import(new URL("static/local.js", document.baseURI));
    const made = [];
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...settings) { super(...settings); made.push(this); }
    };
    const room = new peer.Room(args[0], {times, ...local.peerSettings()});
    try {
      const worker = await room.connect(args[1]);
      await worker.jobs();
      const all = (await Promise.all(made.map((each) => each.getStats()))).flatMap((stats) => [...stats.values()]);
      const kinds = all.filter(({type}) => type === "local-candidate").map(({candidateType}) => candidateType);
      await worker.close();
      return [...new Set(kinds)];
    } catch (error) {
      return error.message;
    } finally {
      room.close();
    }
"""


@pytest.mark.parametrize("relayed", [True, False], ids=["a relay", "no relay"])
def test_links_of_the_page_take_no_other_way(
    relayed: bool, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "relay").mkdir()
    (tmp_path / "site").mkdir()
    (tmp_path / "machine").mkdir()
    with coturn(tmp_path / "relay") as relay:
        if relayed:
            monkeypatch.setenv("SLEAP_RTC_SERVER_TURN_URLS", json.dumps([relay.url("udp"), relay.url("tcp")]))
            monkeypatch.setenv("SLEAP_RTC_SERVER_TURN_SECRET", relay.secret)
        with running_site(tmp_path / "site") as site, visitors() as opened:
            ada = log_in(browser, site, "ada")
            opened.append(ada)
            machine = Machine(tmp_path / "machine", site)
            machine.type("login", "--name", "ada")
            with page_lab(ada, tmp_path / "lab") as lab, dashboard_on(machine, "--relay-only") as address:
                lab.start_worker()
                lab.visitor = open_page(browser, address, "ada")
                opened.append(lab.visitor)
                lab.visitor.go("rooms", lab.room)
                lab.page.get_by_role("heading", name="lab", level=1).wait_for()
                found = lab.run(ROUTES)
    if relayed:
        assert found == ["relay"]
    else:
        assert "names none to you" in found
