"""Rooms, as somebody sees them who uses no terminal."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit


def test_the_first_room_is_created_in_the_page(visit: Visit) -> None:
    page = visit("ada").page
    expect(page.get_by_role("heading", name="Your rooms (0)")).to_be_visible()
    expect(page.get_by_text("You belong to no room yet.")).to_be_visible()

    page.get_by_role("button", name="Create a room").click()
    dialog = page.get_by_role("dialog", name="Create a room")
    dialog.get_by_label("Name").fill("<img src=x onerror=alert(1)>")
    dialog.get_by_label("Expires after").select_option("Never expires")
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="<img src=x onerror=alert(1)>")).to_be_visible()

    page.get_by_role("link", name="Rooms", exact=True).first.click()
    row = page.get_by_role("row", name="<img src=x onerror=alert(1)>")
    expect(row).to_contain_text("owner")
    expect(row).to_contain_text("never")
