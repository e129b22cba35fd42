"""A researcher without a terminal, with the real sleap-nn: a package dropped in the page comes home as a model."""

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from sleap_rtc.jobs.yaml_data import read_yaml
from tests.browser import chromium
from tests.browser.job_views import drop
from tests.e2e.rooms import Lab

pytestmark = [pytest.mark.real, pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.xdist_group("e2e")]


def test_a_package_dropped_in_the_page_trains_and_its_model_loads(lab: Lab, tmp_path: Path) -> None:
    path = chromium.program()
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with chromium.running_chromium(path) as browser:
        ada = chromium.log_in(browser, lab.server, "ada")
        page = ada.page
        page.set_default_timeout(300_000)
        page.get_by_role("link", name="lab").click()
        page.get_by_role("link", name="Jobs").click()
        page.get_by_role("link", name="New job").click()
        drop(page, lab.dataset.package)
        page.get_by_role("button", name="Send and check").click()
        row = page.get_by_role("row", name="demo_single_instance")
        row.wait_for()
        expect(row).to_contain_text("single_instance")
        page.get_by_label("Epochs, at most").fill("2")
        page.get_by_label("Epochs, at most").press("Tab")
        page.get_by_role("button", name="Start training").click()

        page.get_by_text("epoch 2 of 2").wait_for()
        lines = page.get_by_role("img", name="Curves of demo_single_instance").locator("path.line")
        expect(lines).to_have_count(2)
        fetch = page.get_by_role("button", name="Download results")
        fetch.wait_for()
        with page.expect_download() as download:
            fetch.click()
        archive = tmp_path / download.value.suggested_filename
        download.value.save_as(archive)
        assert not ada.unexpected()
    models = tmp_path / "models"
    zipfile.ZipFile(archive).extractall(models)
    (model,) = models.iterdir()
    assert read_yaml((model / "training_config.yaml").read_bytes())["trainer_config"]["max_epochs"] == 2
    track = ("track", "--room", "lab", "--auto-select", "--data", str(lab.dataset.video), "--frames", "0,1")
    lab.good("ada", *track, "--model", str(model), "-o", "from-the-page.slp")
    import sleap_io as sio

    assert len(sio.load_slp((lab.folder / "ada/from-the-page.slp").as_posix(), open_videos=False).videos) == 1
