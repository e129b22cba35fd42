"""A job as its page shows it: live, stopped, cancelled, seen again later, and to others."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import log_in
from tests.browser.conftest import Visit
from tests.browser.job_views import INVITE, JOIN, PATIENT, be_quick, submitted
from tests.browser.labs import PageLab, page_lab

IMAGE = "<img src=x onerror=alert(1)>"
MANY: dict[str, Any] = {"max_epochs": 1_000_000}


@pytest.fixture(scope="module")
def endless(browser: Browser, site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageLab]:
    """Ada's room, with a worker whose trainer only ends when it is told to."""
    ada = log_in(browser, site, "ada")
    with page_lab(ada, tmp_path_factory.mktemp("lab")) as made:
        made.start_worker("endless", **PATIENT)
        yield made
    ada.context.close()
    assert not ada.unexpected()


def until_epoch(page: Page, least: int) -> int:
    """Wait until the curves are read at an epoch, or a later one; which one."""
    reached = "(least) => Number(document.querySelector('.readout strong')?.textContent.match(/\\d+/)?.[0]) >= least"
    page.wait_for_function(reached, arg=least)
    return int(page.locator(".readout strong").inner_text().split()[1])


def assert_all_epochs(page: Page) -> None:
    """Each epoch has its row in the table of values, the newest one first."""
    page.get_by_text("Values as a table").click()
    expect(page.locator(".values tbody tr").first).to_be_visible()
    epochs = [int(text) for text in page.locator(".values tbody th").all_inner_texts()]
    assert epochs == list(range(len(epochs), 0, -1))


def test_curves_grow_while_a_job_trains_until_it_is_stopped(visit: Visit, endless: PageLab) -> None:
    job = submitted(endless, name=IMAGE, **MANY)
    page = visit("ada").go("rooms", endless.room, "jobs")
    page.get_by_role("row", name=job[:14]).get_by_role("link").click()
    expect(page.get_by_role("heading", name=IMAGE)).to_be_visible()
    # from then on a logarithmic axis passes 0.1, however many epochs there are
    until_epoch(page, max(until_epoch(page, 3) + 1, 20))
    expect(page.get_by_text("Live from test-gpu.")).to_be_visible()
    expect(page.get_by_text("of 1000000")).to_contain_text("left")

    curves = page.get_by_role("img", name="Curves of single")
    lines = curves.locator("path.line")
    expect(lines).to_have_count(2)
    page.get_by_role("checkbox", name="train/loss").uncheck()
    expect(lines).to_have_count(1)
    linear = lines.get_attribute("d")
    expect(curves.get_by_text("0.1", exact=True)).to_have_count(0)
    page.get_by_role("checkbox", name="Logarithmic").check()
    expect(curves.get_by_text("0.1", exact=True)).to_be_visible()
    assert lines.get_attribute("d") != linear

    page.get_by_role("button", name="Stop").click()
    dialog = page.get_by_role("dialog", name="Stop this job?")
    expect(dialog).to_contain_text("the best model so far is kept")
    dialog.get_by_role("button", name="Stop, and keep the best model").click()
    expect(page.get_by_text("stopped early")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()

    reader = page.get_by_role("slider")
    reader.press("Home")
    expect(page.locator(".readout")).to_contain_text("Epoch 1")
    expect(page.locator(".readout")).to_contain_text("val/loss 1")
    assert_all_epochs(page)
    expect(page.locator(".values tbody tr").last.get_by_role("cell")).to_have_text(["1"])

    with page.expect_download() as download:
        page.get_by_role("button", name="Download results").click()
    expect(page.get_by_text("Downloaded as")).to_be_visible()
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert archive.testzip() is None
    assert "single/best.ckpt" in archive.namelist()
    model = endless.jobs / job / "work" / "models" / "single" / "best.ckpt"
    assert archive.read("single/best.ckpt") == model.read_bytes()


def test_a_stopped_job_goes_on_from_where_it_was(visit: Visit, endless: PageLab) -> None:
    job = submitted(endless, **MANY)
    page = visit("ada").go("rooms", endless.room, "jobs", job)
    until_epoch(page, 2)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Stop, and keep the best model").click()
    expect(page.get_by_text("stopped early")).to_be_visible()
    before = until_epoch(page, 1)
    elsewhere = visit("ada").go("rooms", endless.room, "jobs", job)
    elsewhere.get_by_role("button", name="Resume").click()
    for each in (page, elsewhere):
        expect(each.get_by_text("attempt 2")).to_be_visible()
    until_epoch(page, before + 2)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel, and discard all").click()
    expect(page.get_by_text("cancelled").first).to_be_visible()
    expect(page.get_by_role("button", name="Download results")).to_be_hidden()
    assert_all_epochs(page)


def test_a_page_that_comes_back_shows_all_that_it_missed(visit: Visit, endless: PageLab) -> None:
    job = submitted(endless, **MANY)
    ada = visit("ada")
    page = ada.go("rooms", endless.room, "jobs", job)
    seen = until_epoch(page, 2)
    page.close()
    page = ada.context.new_page()
    ada.watch(page)
    page.goto(f"{ada.base}/dashboard/#/rooms/{endless.room}/jobs/{job}")
    until_epoch(page, seen + 2)
    assert_all_epochs(page)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel, and discard all").click()
    expect(page.get_by_text("cancelled").first).to_be_visible()


def test_others_see_how_a_job_stands_and_no_more(visit: Visit, endless: PageLab) -> None:
    ada, bob = visit("ada"), visit("bob")
    code = ada.page.evaluate(INVITE, endless.room)["code"]
    bob.page.evaluate(JOIN, code)
    job = submitted(endless, **MANY)
    page = bob.go("rooms", endless.room, "jobs")
    row = page.get_by_role("row", name=job[:14]).first
    expect(row).to_contain_text("ada")
    row.get_by_role("link").click()
    expect(page.get_by_text("This job is somebody else's")).to_be_visible()
    for name in ("Stop", "Cancel", "Resume", "Download results"):
        expect(page.get_by_role("button", name=name)).to_be_hidden()
    expect(page.get_by_role("img")).to_have_count(0)
    expect(page.get_by_role("region", name="Log")).to_have_count(0)

    page = ada.go("rooms", endless.room, "jobs", job)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel, and discard all").click()
    expect(page.get_by_text("cancelled").first).to_be_visible()
    page = bob.page
    expect(page.get_by_role("status").get_by_text("cancelled")).to_be_visible()


def test_the_list_is_narrowed_and_goes_on_page_by_page(visit: Visit, endless: PageLab) -> None:
    for _ in range(3):
        submitted(endless, **MANY)
    ada = visit("ada")
    page = ada.page
    page.route("**/jobs?*", lambda route: route.continue_(url=f"{route.request.url}&limit=2"))
    ada.go("rooms", endless.room, "jobs")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Older jobs").click()
    expect(rows).to_have_count(4)
    page.get_by_label("Which jobs").select_option("Running")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("running")
    page.get_by_label("Which jobs").select_option("Waiting")
    expect(rows).to_have_count(2)
    rows.last.get_by_role("link").click()
    expect(page.get_by_text("The job waits: next in the queue")).to_be_visible()


def test_a_link_that_is_lost_heals_and_nothing_is_missed(visit: Visit, tmp_path: Path) -> None:
    ada = visit("ada")
    be_quick(ada)
    with page_lab(ada, tmp_path) as lab:
        lab.start_worker("endless", **PATIENT)
        job = submitted(lab, **MANY)
        page = ada.go("rooms", lab.room, "jobs", job)
        seen = until_epoch(page, 2)
        lab.kill_worker()
        expect(page.get_by_text("Reconnecting to test-gpu")).to_be_visible()
        lab.start_worker("endless", **PATIENT)
        expect(page.get_by_text("Live from test-gpu.")).to_be_visible()
        until_epoch(page, seen + 2)
        assert_all_epochs(page)

        lab.kill_worker()
        page.reload()
        expect(page.get_by_text("cannot be reached just now")).to_be_visible()
        expect(page.get_by_text("As its worker told last")).to_be_visible()
        lab.start_worker("endless", **PATIENT)
        expect(page.get_by_text("Live from test-gpu.")).to_be_visible()


def test_what_a_trainer_writes_is_text_without_what_steers(visit: Visit, tmp_path: Path) -> None:
    ada = visit("ada")
    be_quick(ada)
    with page_lab(ada, tmp_path) as lab:
        lab.start_worker("chatty", **PATIENT)
        page = ada.go("rooms", lab.room, "jobs", submitted(lab, name=f"\u202e{IMAGE}", ended=True))
        log = page.get_by_role("region", name="Log")
        expect(log).to_contain_text("red and quiet")
        expect(page.get_by_role("heading", name=IMAGE)).to_be_visible()
        assert page.locator("img").count() == 0
        lab.kill_worker()
        lab.start_worker("exits", **PATIENT)
        page = ada.go("rooms", lab.room, "jobs", submitted(lab, ended=True))
        expect(page.get_by_role("alert").first).to_contain_text("sleap-nn")
        expect(page.get_by_role("region", name="Log")).to_contain_text("line 59")
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
