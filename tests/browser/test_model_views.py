"""A room's models in the page: names, versions side by side, aliases, lineage, and a download."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.chromium import log_in
from tests.browser.conftest import Visit
from tests.browser.job_views import INVITE, JOIN, PATIENT, submitted, until_models
from tests.browser.labs import PageLab, page_lab


@pytest.fixture(scope="module")
def lab(browser: Browser, site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageLab]:
    """Ada's room, in which ``fly`` has two versions, one trained from the other, and a model has no name."""
    ada = log_in(browser, site, "ada")
    with page_lab(ada, tmp_path_factory.mktemp("lab")) as made:
        made.start_worker(**PATIENT)
        submitted(made, ended=True, options={"register_as": "fly"}, max_epochs=4)
        first = until_models(made, 1)[0]
        parent = {"digest": first["digest"], "name": "fly", "version": 1}
        submitted(made, ended=True, options={"register_as": "fly", "start_from": parent}, max_epochs=5)
        submitted(made, ended=True, max_epochs=2)
        until_models(made, 3)
        yield made
    ada.context.close()
    assert not ada.unexpected()


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name))


def test_versions_are_seen_side_by_side_with_where_they_come_from(visit: Visit, lab: PageLab) -> None:
    page = visit("ada").go("rooms", lab.room, "models")
    expect(row(page, "fly")).to_contain_text("2 versions")
    page.get_by_role("link", name="fly").click()
    expect(row(page, "fly@2")).to_contain_text("0.2")
    expect(page.get_by_text("Tick two or more versions")).to_be_visible()
    page.get_by_label("Compare fly@1").check()
    page.get_by_label("Compare fly@2").check()
    table = page.get_by_role("region", name="Side by side")
    expect(table.get_by_role("columnheader")).to_have_text(["fly@1", "fly@2"])
    expect(table.get_by_role("row", name="Loss")).to_contain_text("0.2 (best)")
    expect(table.get_by_role("row", name="Change")).to_contain_text("-20.0 %")
    expect(table.get_by_role("row", name="Types")).to_contain_text("single_instance")
    lineage = page.get_by_role("list", name="Lineage of fly@2").get_by_role("listitem")
    expect(lineage).to_have_count(2)
    expect(lineage.last).to_contain_text("fly@1 · loss 0.25 · by ada")
    expect(page.get_by_text(f"sleap-rtc models pull fly@2 --room {lab.room}")).to_be_visible()

    table.get_by_role("row", name="Job").get_by_role("link").first.click()
    expect(page.get_by_role("button", name="Download results")).to_be_visible()


def test_an_alias_is_moved_and_taken_away(visit: Visit, lab: PageLab) -> None:
    page = visit("ada").go("rooms", lab.room, "models", "fly")
    for version in (1, 2):
        page.get_by_role("button", name="Move an alias").click()
        page.get_by_role("combobox", name="Alias").fill("production")
        page.get_by_label("Points to").select_option(f"fly@{version}")
        page.get_by_role("button", name="Move it").click()
        expect(row(page, f"fly@{version}")).to_contain_text("production")
    expect(row(page, "fly@1")).not_to_contain_text("production")
    page.get_by_role("button", name="Remove the alias production").click()
    page.get_by_role("button", name="Remove the alias", exact=True).click()
    expect(page.get_by_text("production")).to_have_count(0)


def test_a_version_is_downloaded_as_one_zip(visit: Visit, lab: PageLab) -> None:
    page = visit("ada").go("rooms", lab.room, "models", "fly")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download fly@1").click()
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert archive.testzip() is None
    assert {"single/best.ckpt", "model.json"} <= set(archive.namelist())


def test_a_model_without_a_name_gets_one_and_is_deleted(visit: Visit, lab: PageLab) -> None:
    page = visit("ada").go("rooms", lab.room, "models")
    page.get_by_role("button", name="Give single a name").click()
    page.get_by_label("Name", exact=True).fill("not a name")
    page.get_by_role("button", name="Give it this name").click()
    expect(page.get_by_role("dialog", name="Give it a name")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("mouse")
    page.get_by_role("button", name="Give it this name").click()
    expect(page.get_by_text("It is mouse@1 now.")).to_be_visible()
    page.get_by_role("link", name="mouse").click()
    page.get_by_role("button", name="Delete mouse@1").click()
    dialog = page.get_by_role("dialog", name="Delete mouse@1?")
    expect(dialog).to_contain_text("the workers of this room remove its files")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    expect(row(page, "fly")).to_be_visible()
    expect(page.get_by_text("mouse")).to_have_count(0)


def test_a_member_deletes_nothing_that_others_made_and_needs_a_worker_to_download(visit: Visit, lab: PageLab) -> None:
    bob = visit("bob")
    bob.page.evaluate(JOIN, lab.page.evaluate(INVITE, lab.room)["code"])
    page = bob.go("rooms", lab.room, "models", "fly")
    expect(page.get_by_role("button", name="Download fly@2")).to_be_enabled()
    expect(page.get_by_role("button", name="Delete fly@2")).to_have_count(0)
    lab.kill_worker()
    expect(page.get_by_role("button", name="Download fly@2")).to_be_disabled()
    expect(row(page, "fly@2")).to_contain_text("0 of 1")
