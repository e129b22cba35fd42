"""``sleap-rtc dashboard`` in a real browser: the same page from this machine, for a service somewhere else."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from sleap_rtc.config.known_workers import KnownWorkers
from tests.browser.accessible import grave_findings
from tests.browser.chromium import Visitor, visitors
from tests.browser.conftest import Visit
from tests.browser.job_views import submitted
from tests.browser.labs import POST, PageLab, page_lab
from tests.browser.loopback import Machine, dashboard_on, open_page
from tests.e2e.programs import end
from tests.roles.worker_process import SECRET, TOKEN
from tests.service.peers import Key

USER = "lena"
JOB_SOURCE = Path("signaling_server/dashboard/static/job_source.js")
KNOWN = "const local = await import(new URL('static/local.js', document.baseURI));"
Look = Callable[..., Visitor]


@pytest.fixture(scope="module")
def machine(site: str, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine that is logged in."""
    made = Machine(tmp_path_factory.mktemp("machine"), site)
    made.type("login", "--name", USER)
    return made


@pytest.fixture(scope="module")
def address(machine: Machine) -> Iterator[str]:
    with dashboard_on(machine) as url:
        yield url


@pytest.fixture
def look(browser: Browser, address: str) -> Iterator[Look]:
    """Opens the page in a browser of its own; nothing may go wrong there that the test does not expect."""
    with visitors() as opened:

        def open_it(**options: object) -> Visitor:
            opened.append(open_page(browser, address, USER, **options))
            return opened[-1]

        yield open_it


def test_the_page_from_this_machine_shows_the_rooms_of_its_login(look: Look, site: str, machine: Machine) -> None:
    visitor = look()
    page = visitor.go("rooms")
    expect(page.get_by_role("banner").get_by_text("on this machine")).to_be_visible()
    page.get_by_role("button", name="Create a room").click()
    dialog = page.get_by_role("dialog", name="Create a room")
    dialog.get_by_label("Name").fill("from here")
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="from here", level=1)).to_be_visible()
    assert "from here" in machine.type("room", "list")

    page.get_by_role("banner").get_by_text(USER).click()
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
    expect(page.get_by_role("link", name="Let a device in")).to_have_attribute("href", f"{site}/device")
    assert not visitor.context.cookies()


def refuse_briefly(visitor: Visitor) -> None:
    """Let this visitor's tabs try a worker again that refused them a moment ago, sooner than a person's would."""

    def answer(route: Route) -> None:
        text, found = re.subn(r"(\bREFUSED_MS = )[\d_]+", r"\g<1>500", JOB_SOURCE.read_text())
        assert found == 1
        route.fulfill(body=text, content_type="text/javascript; charset=utf-8")

    visitor.context.route("**/static/job_source.js", answer)
    visitor.page.reload()


def generate(page: Page) -> str:
    """Make a secret in the page, and read it there."""
    page.get_by_role("button", name="secret").click()
    page.get_by_role("dialog").get_by_role("button", name="Generate").click()
    expect(page.get_by_role("heading", name="The new secret")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    return page.locator("code", has_text="slrs_").inner_text()


def test_a_room_with_a_secret_is_used_from_this_machine_alone(
    look: Look, visit: Visit, machine: Machine, tmp_path: Path
) -> None:
    with page_lab(visit(USER), tmp_path) as lab:
        here = look()
        page = here.go("rooms", lab.room, "secret")
        expect(page.get_by_text("no secret", exact=True)).to_be_visible()
        secret = generate(page)
        expect(page.get_by_text("has a secret", exact=True)).to_be_visible()
        assert "Its secret is kept on this machine" in machine.type("room", "info", lab.room)

        lab.start_worker(**{SECRET: secret})
        linked = met_from(replace(lab, visitor=here))
        assert linked == {"jobs": [], "state": "ready"}
        assert lab.worker_id in machine.type("worker", "trust")
        hosted = lab.run(
            """
            const room = new peer.Room(args[0], {times});
            const refusal = await refused(room.connect(args[1]));
            room.close();
            return refusal;
            """
        )
        assert (hosted["code"], "sleap-rtc dashboard" in hosted["sentence"]) == ("authentication", True)

        page.reload()
        assert "slrs_" not in page.content()
        newer = generate(page)
        assert newer != secret
        assert met_from(replace(lab, visitor=here)) == linked

        another = forge_known_worker(machine, lab.room)
        refusal = replace(lab, visitor=here).run(
            KNOWN
            + """
            const room = new peer.Room(args[0], {times, ...local.peerSettings()});
            const refusal = await refused(room.connect(args[1]));
            room.close();
            return refusal;
            """
        )
        assert (refusal["code"], f"its id was {another}" in refusal["sentence"]) == ("authentication", True)
        assert "sleap-rtc worker trust" in refusal["sentence"]
    here.expect("403")


def test_a_room_is_not_entered_under_the_name_of_one_that_has_a_secret(look: Look, machine: Machine) -> None:
    real, other = (
        json.loads(machine.type("room", "create", "--name", "the lab", "--json"))["room_id"] for _ in range(2)
    )
    here = look()
    generate(here.go("rooms", real, "secret"))
    page = here.go("rooms", other)
    expect(page.get_by_role("heading", name="the lab", level=1)).to_be_visible()
    refused = page.evaluate(f"async (room) => {{ {KNOWN} return local.secrets(room).catch(String); }}", other)
    assert f"By 'the lab' this machine knows the room {real}" in refused
    here.expect("403")


def test_a_job_is_shown_as_soon_as_its_worker_has_the_secret_as_well(
    look: Look, visit: Visit, machine: Machine, tmp_path: Path
) -> None:
    with page_lab(visit(USER), tmp_path) as lab:
        lab.start_worker()
        lab.visitor.go("rooms", lab.room, "workers")
        job = submitted(lab, ended=True)
        here = look()
        refuse_briefly(here)
        secret = generate(here.go("rooms", lab.room, "secret"))
        page = here.go("rooms", lab.room, "jobs", job)
        expect(page.get_by_text("was refused")).to_be_visible()
        expect(page.get_by_role("button", name="Download results")).to_be_hidden()

        lab.environment[TOKEN] = lab.page.evaluate(POST, [f"rooms/{lab.room}/tokens", {"name": "gpu-2"}])["token"]
        old = lab.worker
        lab.start_worker(**{SECRET: secret})  # takes the place of the one that runs: the page never sees it away
        expect(page.get_by_role("button", name="Download results")).to_be_visible()
        expect(page.get_by_text("was refused")).to_have_count(0)
        assert old is not None
        end(old)


def test_the_secret_of_a_room_is_made_by_keyboard_and_seen_by_anybody(look: Look, machine: Machine) -> None:
    room = json.loads(machine.type("room", "create", "--name", "by keyboard", "--json"))["room_id"]
    page = look(viewport={"width": 390, "height": 844}).go("rooms", room, "secret")
    page.get_by_role("button", name="Generate a secret").focus()
    page.keyboard.press("Enter")
    send = page.get_by_role("dialog").get_by_role("button", name="Generate")
    send.focus()
    nobody_is_kept_out(page)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The new secret")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    nobody_is_kept_out(page)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def nobody_is_kept_out(page: Page) -> None:
    colours: Literal["light", "dark"]
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        assert grave_findings(page) == []


def forge_known_worker(machine: Machine, room: str) -> str:
    """Let the machine have met another worker under that name; return its id."""
    known = KnownWorkers(machine.home / "known_workers")
    (met,) = known.forget(lambda each: each.room == room)
    other = replace(met, key=Key(9).public)
    known.change(lambda _: ((), [other]))
    return other.worker_id


def met_from(lab: PageLab) -> object:
    """Link to the worker with what the page knows of this machine, and ask for its jobs."""
    return lab.run(
        KNOWN
        + """
        const room = new peer.Room(args[0], {times, ...local.peerSettings()});
        const heard = [];
        room.onWorkers((workers) => heard.push(...workers.map((each) => each.worker_id)));
        await until(() => heard.includes(args[1]));
        const worker = await room.connect(args[1]);
        const {state} = worker;
        const jobs = await worker.jobs({all: true});
        await worker.close();
        room.close();
        return {jobs, state};
        """
    )


def test_a_login_that_ends_is_said_to_have_and_a_new_one_is_used(look: Look, machine: Machine) -> None:
    visitor = look()
    visitor.expect("401")
    page = visitor.go("rooms")
    expect(page.get_by_role("heading", name="Your rooms")).to_be_visible()
    machine.type("logout")
    words = f"Run: sleap-rtc login --server {machine.site}"
    page.reload()
    expect(page.get_by_text(words)).to_be_visible()
    machine.type("login", "--name", USER)
    expect(page.get_by_role("heading", name="Your rooms")).to_be_visible()
    expect(page.get_by_text(words)).to_have_count(0)

    machine.type("logout")
    page.get_by_role("link", name="Tokens").click()
    expect(page.get_by_text(words).first).to_be_visible()
    machine.type("login", "--name", USER)
    expect(page.get_by_text(words)).to_have_count(0)
    expect(page.get_by_role("heading", name="Your tokens")).to_be_visible()
