"""The page for who begins: every command in it can be typed, with one's own room and token."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from playwright.sync_api import expect

from sleap_rtc.config.settings import load_settings
from tests.browser.asking import make_room
from tests.browser.conftest import Visit
from tests.browser.test_tokens_page import create
from tests.docs import command_lines

SECTIONS = [
    "Create a room",
    "Generate a room secret optional",
    "Create a worker token",
    "Start a worker on the machine with the GPU",
    "Submit a training job",
    "The configuration file",
    "Commands at a glance",
    "What is sleap-rtc?",
    "Rooms",
    "Owner and member",
    "Worker tokens",
    "Room secrets",
    "Three ways to connect",
    "Where to go from here",
]


def test_who_has_nothing_makes_a_room_and_a_token_there(
    visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str
) -> None:
    zoe = visit("zoe")
    page = zoe.go("setup")
    expect(page.get_by_role("heading", level=2)).to_have_text(SECTIONS)
    expect(page.get_by_text("sleap-rtc train --room YOUR_ROOM --auto-select").first).to_be_visible()

    page.get_by_role("button", name="Create a room").click()
    dialog = page.get_by_role("dialog", name="Create a room")
    dialog.get_by_label("Name").fill("Zoe's lab")
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_text("You have one: Zoe's lab.")).to_be_visible()
    shown, token = create(page, "lab-gpu-1")
    shown.get_by_role("button", name="Done").click()
    expect(page.get_by_text("You have just made one.")).to_be_visible()

    typed = page.locator("main code").all_inner_texts()
    commands = [shlex.split(text) for text in typed if text.startswith("sleap-rtc ")]
    assert len(commands) > 20
    for words in commands:
        # in prose a command may be named without its options
        assert command_lines.problem(words[1:], complete=len(words) > 3) is None, words
    assert f"SLEAP_RTC_API_KEY={token} sleap-rtc worker --server {site}" in typed
    assert not any("YOUR_ROOM" in text or "YOUR_TOKEN" in text for text in typed[:-1] if "room" in text)

    (file,) = (text for text in typed if text.startswith("# Default room"))
    (tmp_path / "sleap-rtc.toml").write_text(file)
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    room = re.search(r"--room (r_\w+)", "\n".join(typed))
    assert room
    assert tomllib.loads(file)["default_room"] == room[1] == settings.default_room
    assert (settings.server, settings.worker.name, settings.client.auto_select) == (site, "lab-gpu-1", True)


def test_the_room_in_the_commands_can_be_chosen(visit: Visit) -> None:
    ada, bob = visit("ada"), visit("bea")
    mine, others = make_room(bob, "mine"), make_room(ada, "others'")
    others.let_in(bob)
    page = bob.go("setup")
    expect(page.get_by_text(f"sleap-rtc train --room {mine.id} --auto-select").first).to_be_visible()
    page.get_by_label("Your room in the commands below").focus()
    page.get_by_label("Your room in the commands below").select_option("others'")
    expect(page.get_by_text(f"sleap-rtc train --room {others.id} --auto-select").first).to_be_visible()
    expect(page.get_by_text("You are a member of this room: ask its owner for a token.")).to_be_visible()
    expect(page.get_by_role("button", name="Create a token")).to_have_count(0)
    expect(page.get_by_label("Your room in the commands below")).to_be_focused()


@pytest.mark.parametrize("width", [390, 820, 1280])
def test_the_tables_of_commands_are_seen_whole(visit: Visit, width: int) -> None:
    dee = visit("dee", viewport={"width": width, "height": 800})
    make_room(dee)
    page = dee.go("setup")
    for label in ("Commands", "Ways to connect"):
        table = page.get_by_role("table", name=label, exact=True)
        expect(table).to_be_visible()
        assert table.evaluate("""(table) => [table, ...table.querySelectorAll("code")].every((each) => {
            const [inner, outer] = [each.getBoundingClientRect(), table.closest("section").getBoundingClientRect()];
            return inner.left >= outer.left && inner.right <= outer.right;
        })""")
    expect(page.get_by_role("cell", name="scripts, and whenever any GPU will do")).to_be_visible()
