"""One room, as its owner manages it and as its members see it."""

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.asking import make_room
from tests.browser.chromium import Visitor
from tests.browser.conftest import Visit

# the browser says so of every refusal
REFUSED = "Failed to load resource"
LINK = re.compile(r"http://127\.0\.0\.1:\d+/dashboard/#/join/slri_\w+")


def tab(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Room").get_by_role("link", name=name).click()


def test_an_owner_renames_extends_and_deletes_a_room(visit: Visit) -> None:
    ada = visit("ada")
    room = make_room(ada, "Fly lab", 1)
    page = ada.go("rooms", room.id)
    expect(page.get_by_text("This room expires in 1 day.")).to_be_visible()

    page.get_by_role("button", name="Extend").click()
    page.get_by_role("dialog").get_by_label("Let it live").select_option("90 days")
    page.get_by_role("dialog").get_by_role("button", name="Extend").click()
    expect(page.get_by_text("The room lives longer now.")).to_be_visible()
    expect(page.get_by_text("This room expires in 1 day.")).to_be_hidden()

    page.get_by_role("button", name="Rename").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Fly lab, second floor")
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", name="Fly lab, second floor")).to_be_visible()
    expect(page).to_have_title("Overview · Fly lab, second floor · sleap-rtc")
    expect(page.get_by_role("button", name="Rename")).to_be_focused()

    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete this room?")
    dialog.get_by_label("Name of the room").fill("Fly lab")
    dialog.get_by_role("button", name="Delete for ever").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Nothing was deleted")
    dialog.get_by_label("Name of the room").fill("fly lab, second floor".replace("f", "F", 1))
    dialog.get_by_role("button", name="Delete for ever").click()
    expect(page.get_by_role("heading", name=re.compile(r"Your rooms"))).to_be_visible()
    expect(page.get_by_role("link", name="Fly lab, second floor")).to_be_hidden()


def test_an_expired_room_says_so_and_is_brought_back(visit: Visit, site_database: Path) -> None:
    ada = visit("ada")
    room = make_room(ada, "Summer school")
    with closing(sqlite3.connect(site_database, timeout=30)) as database, database:
        database.execute("UPDATE rooms SET expires_at = created_at - 7200000 WHERE id = ?", (room.id,))
    ada.expect(REFUSED)
    page = ada.go("rooms", room.id, "workers")
    expect(page.get_by_text("This room expired 2 hours ago.")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("its owner can bring it back")
    tab(page, "Overview")
    page.get_by_role("button", name="Extend").click()
    page.get_by_role("dialog").get_by_role("button", name="Extend").click()
    expect(page.get_by_text("This room expired 2 hours ago.")).to_be_hidden()
    tab(page, "Workers")
    expect(page.get_by_text("No worker is online.")).to_be_visible()


def test_a_laptop_whose_clock_is_wrong_shows_the_services_times(visit: Visit) -> None:
    ada = visit("ada")
    room = make_room(ada, "in time", 7)
    page = ada.page
    page.goto("about:blank")
    page.clock.set_system_time(datetime.now(UTC) + timedelta(days=9))
    ada.go("rooms", room.id)
    expect(page.get_by_role("main")).to_contain_text("in 7 days")
    expect(page.get_by_text("This room expired")).to_have_count(0)


def test_what_the_service_refuses_is_said_in_the_dialog(visit: Visit) -> None:
    ada = visit("ada")
    room = make_room(ada, "long-lived", 30)
    page = ada.go("rooms", room.id)
    page.get_by_role("button", name="Extend").click()
    page.get_by_role("dialog").get_by_label("Let it live").select_option("1 day")
    ada.expect(REFUSED)
    page.get_by_role("dialog").get_by_role("button", name="Extend").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("lives")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_somebody_invited_joins_sees_the_room_and_is_removed(visit: Visit) -> None:
    ada, bob = visit("ada"), visit("boris")
    room = make_room(ada, "Fly lab")
    link = invite(ada, room.id)

    # a link opened by who is logged out leads through the login page, and shows the invite nowhere on the way
    bob.context.clear_cookies()
    page = bob.page
    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert "slri_" not in page.url
    page.get_by_label("Any name").fill("boris")
    page.get_by_role("button", name="Log in without a password").click()
    expect(page.get_by_text("You join as boris")).to_be_visible()
    assert "slri_" not in page.url
    assert page.evaluate("() => localStorage.length") == 0
    page.reload()
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("heading", name="Fly lab")).to_be_visible()
    assert page.evaluate("() => sessionStorage.length") == 0

    # a member sees the room and manages nothing
    tabs = page.get_by_role("navigation", name="Room").get_by_role("link")
    assert not {"Invites", "Tokens", "Log"} & set(tabs.all_inner_texts())
    for name in ("Rename", "Extend", "Hand over", "Delete"):
        expect(page.get_by_role("button", name=name)).to_be_hidden()
    tab(page, "Members")
    expect(page.get_by_role("row", name="boris (you)")).to_contain_text("member")
    expect(page.get_by_role("button", name="Remove")).to_be_hidden()
    bob.go("rooms", room.id, "tokens")
    expect(page.get_by_text("Only the owner of a room sees this.")).to_be_visible()

    bob.expect(REFUSED)
    remove(ada, "boris")
    expect(page.get_by_role("alert")).to_contain_text("You no longer belong to Fly lab")
    page.get_by_role("link", name="See your rooms").click()
    expect(page.get_by_role("heading", name="Your rooms (0)")).to_be_visible()


def invite(owner: Visitor, room: str) -> str:
    """Make an invite in the page, and return its link."""
    page = owner.go("rooms", room, "invites")
    expect(page.get_by_text("Nobody was invited yet.")).to_be_visible()
    page.get_by_role("button", name="Make an invite").click()
    dialog = page.get_by_role("dialog", name="Make an invite")
    dialog.get_by_label("For how many people").fill("2")
    dialog.get_by_role("button", name="Make it").click()
    made = page.get_by_role("dialog", name="A new invite")
    expect(made).to_contain_text("It lets 2 people in")
    expect(made.get_by_text(re.compile(r"sleap-rtc room join --code \w{5}-\w{5} --server http"))).to_be_visible()
    link = LINK.search(made.inner_text())
    assert link
    made.get_by_role("button", name="Done").click()
    expect(page.get_by_role("row", name=re.compile("open"))).to_contain_text("0 of 2")
    return link[0]


def remove(owner: Visitor, name: str) -> None:
    """Remove a member in the page; it says what that ended, and what is left to do."""
    tab(owner.page, "Members")
    owner.page.get_by_role("button", name=f"Remove {name}").click()
    owner.page.get_by_role("dialog", name=f"Remove {name}?").get_by_role("button", name="Remove").click()
    outcome = owner.page.get_by_role("dialog", name=f"{name} is removed")
    expect(outcome).to_contain_text("1 open invite ended with it.")
    expect(outcome).to_contain_text(re.compile(r"sleap-rtc room create-secret r_\w+ --end-old"))
    expect(owner.page.get_by_role("row", name=name)).to_have_count(0)
    # it leads on to what is left to do, and is out of the way there
    outcome.get_by_role("link", name="Make a new invite").click()
    expect(outcome).to_be_hidden()
    expect(owner.page.get_by_role("row", name=re.compile("revoked"))).to_contain_text("1 of 2")


def test_a_room_changes_hands_before_both_their_eyes(visit: Visit) -> None:
    ada, bob = visit("ada"), visit("bob")
    room = make_room(ada, "Mouse lab")
    room.let_in(bob)
    bob.go("rooms", room.id, "members")
    expect(bob.page.get_by_role("link", name="Tokens").nth(1)).to_be_hidden()

    page = ada.go("rooms", room.id)
    page.get_by_role("button", name="Hand over").click()
    dialog = page.get_by_role("dialog", name="Hand the room over")
    dialog.get_by_role("button", name="Hand over").click()
    expect(page.get_by_text("You are a member now.")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_be_hidden()
    expect(bob.page.get_by_role("button", name="Remove ada")).to_be_visible(timeout=15_000)

    page.get_by_role("button", name="Leave").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave").click()
    expect(page.get_by_text("You left the room.")).to_be_visible()
    tab(bob.page, "Log")
    for words in ("handed the room over to bob", "left", "joined"):
        expect(bob.page.get_by_role("row").filter(has_text=words).first).to_be_visible()


def test_a_long_log_is_read_page_by_page(visit: Visit, site_database: Path) -> None:
    ada = visit("ada")
    room = make_room(ada, "first")
    renamed = ("room_renamed", "u_ada", "ada", 1, "", room.id)
    with closing(sqlite3.connect(site_database, timeout=30)) as database, database:
        columns = "(action, actor, actor_name, at, detail, room_id, subject)"
        wanted = [(*renamed, f"name {number}") for number in range(60)]
        database.executemany(f"INSERT INTO room_events {columns} VALUES (?, ?, ?, ?, ?, ?, ?)", wanted)
    page = ada.go("rooms", room.id, "log")
    rows = page.get_by_role("row")
    expect(rows).to_have_count(51)
    page.get_by_role("button", name="Older").click()
    expect(rows).to_have_count(62)
    expect(page.get_by_role("row").filter(has_text="created the room")).to_be_visible()
    expect(page.get_by_role("button", name="Older")).to_be_hidden()


def test_no_room_is_said_alike_for_a_foreign_and_for_an_invented_one(visit: Visit) -> None:
    ada, bob = visit("ada"), visit("bob")
    foreign = make_room(ada).id
    bob.expect(REFUSED)
    for room in (foreign, "r_aaaaaaaaaaaaaaaaaaaaaaaaaa", "..%2F..%2Fme", "%E2%80%AE"):
        page = bob.go("rooms", room)
        expect(page.get_by_role("heading", name="This room is not there for you")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text("There is no such room, or you do not belong to it.")
