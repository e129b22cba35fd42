"""A job is started in the page: a package dropped, a worker picked, settings changed."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.yaml_data import read_yaml
from tests.browser.chromium import log_in
from tests.browser.conftest import Visit
from tests.browser.job_views import PATIENT, be_quick, drop, write_folder
from tests.browser.labs import PageLab, page_lab
from tests.e2e.programs import end
from tests.jobs.conftest import LABELS
from tests.roles.faults import DIE_RECEIVED, METER, Counters

MB = 1024 * 1024


@pytest.fixture(scope="module")
def lab(browser: Browser, site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageLab]:
    """Ada's room, with a worker whose trainer takes no time."""
    ada = log_in(browser, site, "ada")
    with page_lab(ada, tmp_path_factory.mktemp("lab")) as made:
        made.start_worker(**PATIENT)
        yield made
    ada.context.close()
    assert not ada.unexpected()


def new_job(visit: Visit, lab: PageLab) -> Page:
    visitor = visit("ada")
    page = visitor.go("rooms", lab.room, "jobs")
    page.get_by_role("link", name="New job").click()
    expect(page.get_by_role("heading", name="New job")).to_be_visible()
    return page


def job_in(page: Page, lab: PageLab) -> JobFolder:
    """The job that the page went on to, once it is over."""
    expect(page.get_by_role("button", name="Download results")).to_be_visible()
    return JobFolder(lab.jobs / page.url.rpartition("/")[2])


def test_a_dropped_folder_is_checked_changed_and_trained(visit: Visit, lab: PageLab, tmp_path: Path) -> None:
    page = new_job(visit, lab)
    expect(page.get_by_text("Pick a package and a worker first.")).to_be_visible()
    drop(page, write_folder(tmp_path / "flies <b>day 3", "centroid", "centered_instance"))
    expect(page.get_by_text("flies <b>day 3 · 3 files")).to_be_visible()
    expect(page.get_by_text("the only one that is online")).to_be_visible()
    page.get_by_role("button", name="Send and check").click()

    row = page.get_by_role("row", name="centroid")
    expect(row).to_contain_text("unet")
    expect(page.get_by_text("2 models to train")).to_be_visible()
    assert page.get_by_label("Epochs, at most").get_attribute("placeholder") == "2"
    for label, value in (
        ("Epochs, at most", "3"),
        ("Batch size", "6"),
        ("Learning rate", "0.005"),
        ("Input scale", "0.5"),
    ):
        page.get_by_label(label).fill(value)
    page.get_by_label("Steps per epoch, at least").fill("7")
    page.get_by_label("Steps per epoch, at least").press("Tab")
    for cell in ("3", "6", "0.005", "0.5"):
        expect(row.get_by_role("cell", name=cell, exact=True)).to_be_visible()
    # what was picked is still there for whoever looked at something else meanwhile
    page.get_by_role("link", name="Workers").click()
    page.go_back()
    expect(page.get_by_label("Learning rate")).to_have_value("0.005")
    page.get_by_role("button", name="Start training").click()

    expect(page.get_by_role("heading", name="flies <b>day 3")).to_be_visible()
    job = job_in(page, lab)
    for run in ("centroid", "centered_instance"):
        config = read_yaml((job.path / "work" / "models" / run / "training_config.yaml").read_bytes())
        trainer = config["trainer_config"]
        assert trainer["max_epochs"] == 3
        assert trainer["min_train_steps_per_epoch"] == 7
        assert trainer["optimizer"]["lr"] == 0.005
        assert trainer["train_data_loader"]["batch_size"] == trainer["val_data_loader"]["batch_size"] == 6
        assert config["data_config"]["preprocessing"]["scale"] == 0.5
    assert not list(job.path.rglob(".DS_Store"))


def test_a_zip_is_trained_and_gets_its_name(visit: Visit, lab: PageLab, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder")
    archive = tmp_path / "labels.slp.training_job.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*.*"):
            file.write(path, path.relative_to(folder))
    page = new_job(visit, lab)
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Choose a zip").click()
    chosen.value.set_files(archive)
    page.get_by_role("button", name="Send and check").click()
    page.get_by_label("Name of the model in this room").fill("zipped-fly")
    page.get_by_label("Name of the model in this room").press("Tab")
    page.get_by_role("button", name="Start training").click()
    job_in(page, lab)
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("row", name="zipped-fly")).to_contain_text("zipped-fly@1")


def test_what_cannot_be_trained_is_said_before_it_is_sent(visit: Visit, lab: PageLab, tmp_path: Path) -> None:
    page = new_job(visit, lab)
    for name, sentence in (("a.txt", ""), ("labels.slp", "no training config"), ("run.yaml", "no labels")):
        (tmp_path / name).write_bytes(b"nothing")
        with page.expect_file_chooser() as chosen:
            page.get_by_role("button", name="Choose a zip").click()
        chosen.value.set_files(tmp_path / name)
        if sentence:
            expect(page.get_by_role("alert")).to_contain_text(sentence)
            expect(page.get_by_role("button", name="Send and check")).to_be_disabled()
    (tmp_path / "empty").mkdir()
    drop(page, tmp_path / "empty")
    expect(page.get_by_role("alert")).to_contain_text("There is no file in it.")


def test_a_refusal_of_the_worker_is_its_sentence(visit: Visit, lab: PageLab, tmp_path: Path) -> None:
    page = new_job(visit, lab)
    folder = write_folder(tmp_path / "package")
    config = folder / "configs" / "single_instance.yaml"
    config.write_text(config.read_text() + "surprise: 1\n")
    drop(page, folder)
    page.get_by_role("button", name="Send and check").click()
    expect(page.get_by_role("alert")).to_contain_text("sleap-nn has no section 'surprise'")
    expect(page.get_by_role("button", name="Start training")).to_be_hidden()
    before = set(lab.jobs.glob("j_*"))

    drop(page, write_folder(tmp_path / "other"))
    page.get_by_role("button", name="Send and check").click()
    page.get_by_label("GPUs", exact=True).fill("63")
    page.get_by_label("GPUs", exact=True).press("Tab")
    expect(page.get_by_role("alert")).to_contain_text("63")
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    assert set(lab.jobs.glob("j_*")) == before


def test_a_page_that_is_loaded_again_while_it_sends_goes_on(visit: Visit, tmp_path: Path) -> None:
    ada = visit("ada")
    be_quick(ada)
    folder = write_folder(tmp_path / "package", labels=LABELS + bytes(range(256)) * (64 * 1024))
    with page_lab(ada, tmp_path) as lab:
        meter = tmp_path / "meter"
        lab.start_worker(**PATIENT, **{METER: str(meter)})
        page = ada.page
        # reads of the package, once it is hashed, stop after 8 MiB until the page is loaded again
        page.add_init_script(
            """
            let left = Infinity;
            const read = Blob.prototype.arrayBuffer;
            Blob.prototype.arrayBuffer = async function () {
              if ((left -= this.size) < 0) await new Promise(() => {});
              return read.call(this);
            };
            globalThis.readNoMoreThan = (bytes) => { left = bytes; };
            """
        )
        ada.go("rooms", lab.room, "jobs", "new")
        page.reload()
        drop(page, folder)
        expect(page.get_by_role("button", name="Send and check")).to_be_enabled()
        page.evaluate(f"readNoMoreThan({8 * MB})")
        page.get_by_role("button", name="Send and check").click()
        expect(page.get_by_text("of 16.8 MB")).to_be_visible()
        asked: list[str] = []

        def agree(dialog: Dialog) -> None:
            asked.append(dialog.type)
            dialog.accept()

        page.on("dialog", agree)
        page.reload()
        assert asked == ["beforeunload"]
        sent = Counters(meter).received

        expect(page.get_by_text("A package was on its way when this page was left.")).to_be_visible()
        drop(page, folder)
        expect(page.get_by_text("it has this package, or a part of it")).to_be_visible()
        page.get_by_role("button", name="Send and check").click()
        page.get_by_role("button", name="Start training").click()
        job_in(page, lab)
        assert sent >= 1 * MB
        assert Counters(meter).received < 16.8e6 + 4 * MB


def test_a_worker_that_dies_while_a_package_arrives_is_sent_the_rest(visit: Visit, tmp_path: Path) -> None:
    ada = visit("ada")
    be_quick(ada)
    folder = write_folder(tmp_path / "package", labels=LABELS + bytes(range(256)) * (64 * 1024))
    with page_lab(ada, tmp_path) as lab:
        meter = tmp_path / "meter"
        lab.start_worker(**PATIENT, **{METER: str(meter), DIE_RECEIVED: str(6 * MB)})
        page = ada.go("rooms", lab.room, "jobs", "new")
        drop(page, folder)
        page.get_by_role("button", name="Send and check").click()
        assert lab.worker
        end(lab.worker)
        expect(page.get_by_text("Reconnecting to the worker …")).to_be_visible()
        lab.start_worker(**PATIENT, **{METER: str(meter)})
        page.get_by_role("button", name="Start training").click()
        job_in(page, lab)
        assert Counters(meter).received < 16.8e6 + 4 * MB
