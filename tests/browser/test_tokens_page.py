"""Worker tokens: made, shown once, listed, replaced, revoked."""

import re

from playwright.sync_api import Locator, Page, expect

from sleap_rtc.protocol.tokens import check_token
from tests.browser.asking import make_room
from tests.browser.conftest import Visit


def create(page: Page, name: str) -> tuple[Locator, str]:
    """Create a token in the page; the dialog that shows it, and its text."""
    page.get_by_role("button", name="Create a token").click()
    dialog = page.get_by_role("dialog", name="Create a worker token")
    expect(dialog.get_by_label("Expires after")).to_have_value("7")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name="Create").click()
    shown = page.get_by_role("dialog", name=f"The token {name}")
    token = shown.locator("pre").first.inner_text()
    assert check_token(token) == "worker"
    return shown, token


def test_a_token_is_shown_once_with_the_lines_that_start_a_worker(visit: Visit, site: str) -> None:
    ada = visit("ada")
    room = make_room(ada)
    page = ada.go("rooms", room.id, "tokens")
    expect(page.get_by_text("There is no token yet.")).to_be_visible()
    shown, token = create(page, "lab-gpu-1")
    assert shown.locator("pre").all_inner_texts() == [
        token,
        f"SLEAP_RTC_API_KEY={token} sleap-rtc worker --server {site}",
        f"sleap-rtc worker --api-key {token} --server {site}",
    ]
    expect(shown).to_contain_text("in 7 days")
    shown.get_by_role("button", name="Done").click()
    row = page.get_by_role("row", name="lab-gpu-1")
    expect(row).to_contain_text("active")
    expect(row).to_contain_text("by ada")
    expect(page.get_by_text(token)).to_have_count(0)
    # in this tab it is known still, and nowhere else
    ada.go("rooms", room.id, "workers")
    expect(page.get_by_text(f"SLEAP_RTC_API_KEY={token}").first).to_be_visible()
    page.reload()
    expect(page.get_by_text("SLEAP_RTC_API_KEY=YOUR_TOKEN").first).to_be_visible()
    assert page.evaluate("() => localStorage.length + sessionStorage.length") == 0


def test_tokens_of_all_rooms_are_in_one_list_and_are_replaced_and_revoked_there(visit: Visit) -> None:
    eve = visit("eve")
    page = eve.go("tokens")
    expect(page.get_by_role("heading", name="Your tokens (0)")).to_be_visible()
    flies, mice = make_room(eve, "flies"), make_room(eve, "mice")
    for name in ("gpu-1", "gpu-2"):
        flies.token(name)
    old = mice.token("gpu-3")
    page.reload()
    expect(page.get_by_role("heading", name="Your tokens (3)")).to_be_visible()
    expect(page.get_by_role("row", name="gpu-3").get_by_role("link", name="mice")).to_be_visible()

    page.get_by_role("button", name="Rotate gpu-3").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    made = page.get_by_role("dialog", name="The new token gpu-3")
    assert made.locator("pre").first.inner_text() != old
    expect(made).to_contain_text("The old one ends in 1 day.")
    made.get_by_role("button", name="Done").click()
    expect(page.get_by_role("row", name="gpu-3")).to_have_count(2)
    expect(page.get_by_role("row", name="gpu-3").filter(has_text="replaced")).to_have_count(1)

    page.get_by_role("button", name="Revoke gpu-1").click()
    page.get_by_role("dialog", name="Revoke gpu-1?").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("row", name="gpu-1")).to_contain_text("revoked")
    expect(page.get_by_role("button", name=re.compile("gpu-1"))).to_have_count(0)
    page.get_by_label("Which tokens").select_option("Only active ones")
    expect(page.get_by_role("row", name="gpu-1")).to_have_count(0)
