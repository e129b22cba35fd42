"""What holds in the views of jobs and models, too: names are text, nothing is in the way, a phone shows all of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessible import grave_findings
from tests.browser.chromium import Visitor, log_in
from tests.browser.conftest import Visit
from tests.browser.job_views import PATIENT, drop, submitted, until_models, write_folder
from tests.browser.labs import PageLab, page_lab
from tests.roles.worker_process import NAME

IMAGE = "<img src=x onerror=alert(1)>"
ARABIC = "مختبر الذباب"
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def lab(browser: Browser, site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageLab]:
    """Ada's room; its worker, and what its jobs are called, is as bad as can be."""
    ada = log_in(browser, site, "ada")
    with page_lab(ada, tmp_path_factory.mktemp("lab")) as made:
        made.start_worker(**PATIENT, **{NAME: IMAGE})
        for name, model in ((IMAGE, "fly"), (ARABIC, "fly"), ("W" * 256, None)):
            submitted(made, name=name, ended=True, options={"register_as": model}, max_epochs=len(name))
        until_models(made, 3)
        yield made
    ada.context.close()
    assert not ada.unexpected()


def views(visitor: Visitor, lab: PageLab, folder: Path) -> Iterator[tuple[str, Page]]:
    """Every view, shown whole."""
    page = visitor.go("rooms", lab.room, "jobs")
    links = page.get_by_role("cell", name=IMAGE)
    expect(links).to_have_count(3)
    yield "jobs", page
    jobs = [path.name for path in sorted(lab.jobs.glob("j_*"))]
    for number, job in enumerate(jobs):
        visitor.go("rooms", lab.room, "jobs", job)
        expect(page.get_by_role("button", name="Download results")).to_be_visible()
        expect(page.get_by_role("img").locator("path.line")).to_have_count(2)
        page.get_by_text("Values as a table").click()
        yield f"job {number}", page
    visitor.go("rooms", lab.room, "jobs", "new")
    expect(page.get_by_text("the only one that is online")).to_be_visible()
    yield "new job", page
    drop(page, write_folder(folder / ARABIC))
    page.get_by_role("button", name="Send and check").click()
    expect(page.get_by_role("button", name="Start training")).to_be_visible()
    yield "checked job", page
    visitor.go("rooms", lab.room, "models")
    expect(page.get_by_role("link", name="fly")).to_be_visible()
    yield "models", page
    page.get_by_role("link", name="fly").click()
    page.get_by_label("Compare fly@1").check()
    page.get_by_label("Compare fly@2").check()
    expect(page.get_by_role("region", name="Side by side")).to_be_visible()
    yield "model", page


def test_names_of_others_are_text_in_every_view(visit: Visit, lab: PageLab, tmp_path: Path) -> None:
    seen = {}
    for name, page in views(visit("ada"), lab, tmp_path):
        assert page.locator("img, main script, iframe").count() == 0
        seen[name] = page.get_by_role("main").inner_text()
        outside = page.get_by_text(ARABIC, exact=True).evaluate_all("all => all.filter(each => !each.closest('bdi'))")
        assert outside == [], name
    for name in ("jobs", "job 0", "job 1", "new job", "checked job"):
        assert IMAGE in seen[name], name
    assert ARABIC in seen["job 1"]
    assert ARABIC in seen["checked job"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_in_the_way_of_anybody(
    visit: Visit, lab: PageLab, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    ada = visit("ada", color_scheme=scheme)
    found = {name: grave_findings(page) for name, page in views(ada, lab, tmp_path)}
    ada.page.get_by_role("button", name="Move an alias").click()
    found["a dialog"] = grave_findings(ada.page)
    assert {name: each for name, each in found.items() if each} == {}


def test_a_phone_shows_every_view_without_scrolling_sideways(visit: Visit, lab: PageLab, tmp_path: Path) -> None:
    for name, page in views(visit("ada", viewport=PHONE), lab, tmp_path):
        width = page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= PHONE["width"], name
