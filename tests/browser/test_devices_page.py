"""Where one is logged in, and what becomes of a page whose login has ended."""

import re

import httpx2
from playwright.sync_api import expect

from tests.browser.asking import ask, make_room
from tests.browser.conftest import Visit
from tests.browser.test_room_page import REFUSED


def test_a_login_that_is_ended_elsewhere_leads_to_the_login_page_and_back_to_the_same_place(visit: Visit) -> None:
    here, there = visit("dora"), visit("dora")
    room = make_room(here, "Fly lab")
    there.expect(REFUSED)
    there.go("rooms", room.id, "members")
    expect(there.page.get_by_role("row", name="dora (you)")).to_be_visible()

    page = here.go("devices")
    rows = page.get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="this one")).to_contain_text("127.0.0.1")
    page.get_by_role("button", name=re.compile("^Sign out Chrome")).click()
    page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    expect(rows).to_have_count(2)
    expect(page.get_by_role("button", name="Sign out everywhere else")).to_be_hidden()

    there.page.get_by_label("Any name").fill("dora")
    there.page.get_by_role("button", name="Log in without a password").click()
    expect(there.page.get_by_role("row", name="dora (you)")).to_be_visible()
    assert there.page.url.endswith(f"#/rooms/{room.id}/members")


def test_one_signs_out_of_everything_else_and_then_here(visit: Visit, site: str) -> None:
    here, _ = visit("finn"), visit("finn").page.goto("about:blank")
    # no page may do this
    with httpx2.Client(base_url=site, trust_env=False) as terminal:
        terminal.post("/api/v1/auth/dev", json={"name": "finn", "device": "a stolen laptop"}).raise_for_status()
    page = here.go("devices")
    expect(page.get_by_role("row", name="a stolen laptop")).to_contain_text("by name alone")
    page.get_by_role("button", name="Sign out everywhere else").click()
    page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed in only here now.")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)

    here.expect(REFUSED)
    page.get_by_text("finn", exact=True).click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto("/dashboard/")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert page.evaluate("() => sessionStorage.length") == 0


def test_a_command_line_is_let_in_from_the_menu(visit: Visit) -> None:
    ada = visit("ada")
    begun = ask(ada, "POST", "auth/device", {"device": "ada's laptop"})
    ada.go("devices").get_by_role("link", name="Type the code").click()
    ada.page.get_by_label("Code").fill(begun["user_code"])
    ada.page.get_by_role("button", name="Continue").click()
    expect(ada.page.get_by_text("ada's laptop")).to_be_visible()


def test_a_network_that_is_cut_is_said_and_what_was_shown_stays(visit: Visit) -> None:
    ada = visit("gina")
    ada.expect("net::ERR_INTERNET_DISCONNECTED")
    make_room(ada, "Fly lab")
    page = ada.go("rooms")
    expect(page.get_by_role("link", name="Fly lab")).to_be_visible()
    ada.context.set_offline(True)
    page.get_by_role("link", name="Tokens").click()
    expect(page.locator("#trouble")).to_contain_text("The service cannot be reached.")
    expect(page.get_by_role("main")).to_contain_text("Loading tokens")
    page.get_by_role("link", name="Setup").click()
    expect(page.get_by_role("heading", name="Set up in five steps")).to_be_visible()
    expect(page.locator("#trouble")).to_contain_text("this page tries again by itself")
    page.get_by_role("link", name="Rooms", exact=True).first.click()
    ada.context.set_offline(False)
    expect(page.get_by_role("link", name="Fly lab")).to_be_visible()
    expect(page.locator("#trouble")).to_be_hidden()
