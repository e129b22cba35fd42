"""What a lying service, a worker without proof, and a proven one that misbehaves can do to a page: nothing."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.browser.conftest import Visit

LIAR = Path(__file__).with_name("liar.js").read_text()
PEER = 'const peer = await import("/dashboard/static/peer/worker.js");'


def lied_to(page: Page, script: str) -> Any:
    """What becomes of a page to which a service and a worker lie."""
    return page.evaluate(f"async () => {{ {PEER} {LIAR} {script} }}")


def test_a_page_refuses_whoever_cannot_prove_who_they_are(visit: Visit) -> None:
    results = lied_to(visit("ada").page, "return refusals(peer);")
    for name, result in results.items():
        assert result["code"] == result["expected"], name
        assert set(result["said"]) <= {"proof.client", "error"}, name
        assert result["links"] <= 1, name
    assert results["a refusal"]["sentence"] == "Not now."


def test_a_worker_that_misbehaves_costs_the_page_no_more_than_its_link(visit: Visit) -> None:
    results = lied_to(visit("ada").page, "return misbehaviours(peer);")
    for name, result in results.items():
        if result["what"] == "request":
            assert (result["code"], result["state"]) == (result["expected"], "ready"), name
        else:
            assert result["state"] in (("closed",) if result["what"] == "closed" else ("lost", "ready")), name
            assert result["reason"], name
    assert results["a goodbye for ever"]["reason"] == "Not you."
    assert results["a lane of its own"]["value"][0]["owner"] == "protocol"
    (listed,) = results["a list without end"]["value"]
    assert listed["name"] == "fly<img src=x>"
    assert results["an honest download"]["value"]["name"] == "e_vil_.zip"
    assert results["an honest download"]["value"]["bytes"] == sha256(bytes(65536)).hexdigest()
