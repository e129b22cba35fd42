"""Rooms, as somebody sees them who uses no terminal."""

from playwright.sync_api import Page, expect

from tests.browser.asking import ask, make_room
from tests.browser.conftest import Visit


def test_the_first_room_is_created_in_the_page(visit: Visit) -> None:
    page = visit("newcomer").page
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


def test_among_many_rooms_one_is_found_by_its_name(visit: Visit) -> None:
    max_ = visit("max")
    for number in range(9):
        make_room(max_, f"lab {number}")
    page = max_.go("rooms")
    expect(page.get_by_role("heading", name="Your rooms (9)")).to_be_visible()
    page.get_by_label("Find a room").fill("LAB 7")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_label("Find a room").fill("zebra")
    expect(page.get_by_text("No room of yours is called so.")).to_be_visible()


def test_a_code_is_typed_as_people_type_it(visit: Visit) -> None:
    ada, ben = visit("ada"), visit("ben")
    room = make_room(ada, "Fly lab")
    code = ask(ada, "POST", f"rooms/{room.id}/invites", {})["code"]
    ben.expect("Failed to load resource")
    page = ben.page
    page.get_by_role("link", name="Join with a code").click()
    page.get_by_label("Invite code").fill("00000-00000")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("alert")).to_contain_text("This invite is not good")
    page.get_by_label("Invite code").fill(code.lower().replace("-", " "))
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("heading", name="Fly lab")).to_be_visible()


def test_a_room_is_made_with_the_keyboard_alone(visit: Visit) -> None:
    page = visit("kim").page
    expect(page.get_by_role("heading", name="Your rooms (0)")).to_be_visible()
    press(page, "Create a room")
    page.keyboard.type("Keyboard lab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Keyboard lab")).to_be_visible()
    press(page, "Tokens", after="Invites")
    expect(page.get_by_text("There is no token yet.")).to_be_visible()
    press(page, "Create a token")
    page.keyboard.type("gpu-1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="The token gpu-1")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("row", name="gpu-1")).to_be_visible()
    expect(page.get_by_role("button", name="Create a token")).to_be_focused()


def press(page: Page, name: str, *, after: str = "") -> None:
    """Go to something with the tabulator, and press it.

    Args:
        page: the page.
        name: what it says.
        after: what is to come before it, where two say the same.
    """
    passed = not after
    for _ in range(30):
        page.keyboard.press("Tab")
        focused = page.evaluate("() => document.activeElement.textContent.trim()")
        passed = passed or focused == after
        if passed and focused == name:
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"the tabulator does not lead to {name}")
