"""What holds in every view: names are text, nothing is in the way of anybody, and a phone shows all of it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from sleap_rtc.protocol.signaling import GpuInfo, WorkerInfo
from tests.browser.accessible import grave_findings
from tests.browser.asking import MadeRoom, ask, make_room
from tests.browser.chromium import Visitor
from tests.browser.conftest import Visit
from tests.browser.machines import machine

IMAGE = "<img src=x onerror=alert(1)>"
ARABIC = "مختبر الذباب"
LONG = "W" * 64
OUTSIDE = "all => all.filter(each => !each.closest('bdi')).map(each => each.outerHTML)"
TABS = ("overview", "workers", "members", "invites", "tokens", "secret", "log")
VIEWS = ("rooms", "tokens", "devices", "join", "setup")
PHONE = {"width": 390, "height": 844}


def full(owner: Visitor, member: Visitor, database: Path) -> MadeRoom:
    """A room in which everything is there, and is called as badly as can be."""
    room = make_room(owner, IMAGE, 1)
    room.let_in(member)
    for name in (IMAGE, ARABIC, LONG):
        room.token(name)
    ask(owner, "POST", f"rooms/{room.id}/invites", {"uses": 3})
    # no way to log in on this service allows such a name, but others do
    with closing(sqlite3.connect(database, timeout=30)) as rows, rows:
        rows.execute("UPDATE users SET name = ? WHERE name = ?", (IMAGE, member.name))
    return room


def views(visitor: Visitor, room: MadeRoom) -> Iterator[tuple[str, Page]]:
    """Every view, shown whole."""
    for parts in [(view,) for view in VIEWS] + [("rooms", room.id, tab) for tab in TABS]:
        page = visitor.go(*parts)
        expect(page.get_by_role("heading").first).to_be_visible()
        expect(page.locator(".loading")).to_have_count(0)
        yield "/".join(parts[::2]), page


def test_names_of_others_are_text_in_every_view(visit: Visit, site: str, site_database: Path) -> None:
    ada, mallory = visit("ada"), visit("mallory")
    room = full(ada, mallory, site_database)
    info = WorkerInfo(
        name=IMAGE, hostname=LONG, version=IMAGE, gpus=[GpuInfo(name=IMAGE, memory_mb=1)], sleap_nn=IMAGE, engine=ARABIC
    )
    seen = {}
    with machine(site, room.token("gpu"), info):
        for name, page in views(ada, room):
            assert page.locator("img, main script, iframe").count() == 0
            # the page that a service serves asks for no secret
            assert page.locator("input[type=password]").count() == 0
            seen[name] = page.get_by_role("main").inner_text()
            outside = page.get_by_text(ARABIC, exact=True).evaluate_all(
                "all => all.filter(each => !each.closest('bdi'))"
            )
            assert outside == [], name
    for name in ("rooms", "tokens", "setup", *(f"rooms/{tab}" for tab in TABS)):
        assert IMAGE in seen[name], name
    assert LONG in seen["tokens"]
    ada.go("rooms", room.id, "members").get_by_role("button", name=f"Remove {IMAGE}").click()
    expect(ada.page.get_by_role("dialog")).to_contain_text(f"Remove {IMAGE}?")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_in_the_way_of_anybody(visit: Visit, site: str, scheme: Literal["light", "dark"]) -> None:
    ada = visit("ada", color_scheme=scheme)
    room = make_room(ada, f"{scheme} lab", 1)
    room.token("gpu-2")
    ask(ada, "POST", f"rooms/{room.id}/invites", {})
    found = {}
    with machine(site, room.token(), WorkerInfo(name="lab-gpu-1", version="0.1.0", queued=1)):
        for name, page in views(ada, room):
            found[name] = grave_findings(page)
        ada.go("rooms", room.id).get_by_role("button", name="Delete").click()
        found["a dialog"] = grave_findings(ada.page)
        ada.page.keyboard.press("Escape")
        ada.page.get_by_text("ada", exact=True).first.click()
        found["the menu"] = grave_findings(ada.page)
    assert {name: each for name, each in found.items() if each} == {}


def test_a_phone_shows_every_view_without_scrolling_sideways(visit: Visit, site: str, site_database: Path) -> None:
    ada, mallory = visit("ada", viewport=PHONE), visit("oscar")
    room = full(ada, mallory, site_database)
    with machine(site, room.token("gpu"), WorkerInfo(name=LONG, version=LONG, gpus=[GpuInfo(name=LONG, memory_mb=1)])):
        for name, page in views(ada, room):
            width = page.evaluate("() => document.documentElement.scrollWidth")
            assert width <= PHONE["width"], name
