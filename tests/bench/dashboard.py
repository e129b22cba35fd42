"""How fast the dashboard's page sends a package, and how much memory its tab takes meanwhile.

``python -m tests.bench.dashboard [--quick] [--json] [--size MiB]`` drops one large labels file into a page of a real
service, in Chromium, and submits it to a real worker over loopback:

- ``hash_mb_s``: megabytes a second that the page reads and hashes before anything is sent;
- ``upload_mb_s``: megabytes a second from the submission to the worker's answer that the job is on its disk;
- ``upload_tab_peak_mb``: most memory that the tab's whole process holds at once while both go on; a tab that shows the
  dashboard and does nothing has some 130 MB of it.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.bench.pages import page_at_work
from tests.bench.processes import MIB, Meter, end_when_interrupted
from tests.browser.labs import PageLab, package_files
from tests.jobs.conftest import LABELS

KEYS = ("hash_mb_s", "upload_mb_s", "upload_tab_peak_mb")
FULL, QUICK = 3072, 512
DROP = """
    const input = Object.assign(document.createElement("input"), {type: "file", id: "dropped"});
    document.body.append(input);
"""
HASH = """
    const [big] = document.getElementById("dropped").files;
    const began = performance.now();
    globalThis.pkg = await peer.makePackage([...dropped(args[2]), {path: "labels.pkg.slp", file: big}]);
    return {seconds: (performance.now() - began) / 1000, size: pkg.size};
"""
SEND = """
    const {room, worker} = await meet(args[0], args[1], {times: {}});
    const began = performance.now();
    const job = peer.newJobId();
    await worker.submit(job, pkg, {kind: "train"});
    const seconds = (performance.now() - began) / 1000;
    await worker.command(job, "cancel");
    await worker.close();
    room.close();
    return {seconds, size: pkg.size};
"""
Figures = dict[str, float | None]


def tab_of(browser: Browser, page: Page) -> int:
    """The process of the tab: of all renderers the one that grows when its page is told to hold something."""
    session = browser.new_browser_cdp_session()
    found = [
        each["id"] for each in session.send("SystemInfo.getProcessInfo")["processInfo"] if each["type"] == "renderer"
    ]
    before = {pid: _resident(pid) for pid in found}
    page.evaluate("globalThis.held = new Uint8Array(32 * 1024 * 1024).fill(1)")
    grown = max(found, key=lambda pid: _resident(pid) - before[pid])
    page.evaluate("delete globalThis.held")
    page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
    return int(grown)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def upload(browser: Browser, lab: PageLab, folder: Path, size: int) -> Figures:
    """Drop a file of `size` bytes, and send it."""
    labels = folder / "labels.pkg.slp"
    with labels.open("wb") as file:
        file.write(LABELS)
        file.truncate(size)
    tab = tab_of(browser, lab.page)
    lab.run(DROP)
    lab.page.set_input_files("#dropped", labels)
    others = {path: digits for path, digits in package_files().items() if path != "labels.pkg.slp"}
    assert lab.worker
    with Meter(tab, children=False) as hashing:
        hashed = lab.run(HASH, others)
    with Meter(tab, children=False) as sending, Meter(lab.worker.pid) as receiving:
        sent = lab.run(SEND)
    gigabytes = sent["size"] / 1e9
    for label, meter in (("tab, hashing", hashing), ("tab, sending", sending), ("worker", receiving)):
        sys.stdout.write(f"{label:24}{meter.cpu / gigabytes:>10.1f} CPU s/GB, peak {meter.peak / 1e6:.0f} MB\n")
    return {
        "hash_mb_s": round(hashed["size"] / hashed["seconds"] / 1e6, 1),
        "upload_mb_s": round(sent["size"] / sent["seconds"] / 1e6, 1),
        "upload_tab_peak_mb": round(max(hashing.peak, sending.peak) / 1e6, 1),
    }


def measure(size: int, engine: str) -> Figures:
    """Everything from the service to the tab, for one upload."""
    with page_at_work(engine) as (browser, _, lab, folder):
        lab.start_worker(SLEAP_RTC_TEST_PATIENT="yes")
        return upload(browser, lab, folder, size)


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller file")
    parser.add_argument("--json", action="store_true", help="one object with the figures as the last line")
    parser.add_argument("--size", type=int, metavar="MiB", help="how large the file is")
    parser.add_argument("--engine", default="auto", choices=["auto", "libwebrtc", "aiortc"], help="of the worker")
    options = parser.parse_args()
    end_when_interrupted()
    size = options.size or (QUICK if options.quick else FULL)
    figures = measure(size * MIB, options.engine)
    for key in KEYS:
        sys.stdout.write(f"{key:24}{figures[key]:>10}   {size} MiB\n")
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
