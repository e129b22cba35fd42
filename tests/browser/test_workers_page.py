"""The workers of a room, live, and how one is deployed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect

from sleap_rtc.protocol.signaling import GpuInfo, WorkerInfo
from tests.browser.asking import make_room
from tests.browser.conftest import Visit
from tests.browser.machines import machine
from tests.browser.test_tokens_page import create
from tests.e2e.programs import end, environment

ROOT = Path(__file__).parents[2]
BIG = GpuInfo(name="NVIDIA H200", memory_mb=143_771)
INFO = WorkerInfo(
    name="lab-gpu-1", hostname="gpu.lab", version="0.1.0", gpus=[BIG], slots=2, sleap_nn="0.3.5", engine="libwebrtc"
)


def test_workers_come_change_and_go_before_ones_eyes(visit: Visit, site: str) -> None:
    ada = visit("ada")
    room = make_room(ada)
    page = ada.go("rooms", room.id, "workers")
    expect(page.get_by_text("No worker is online.")).to_be_visible()
    with machine(site, room.token(), INFO) as worker:
        row = page.get_by_role("row", name="lab-gpu-1")
        for words in ("NVIDIA H200 · 140 GB", "gpu.lab", "free", "0 of 2 slots", "sleap-nn 0.3.5", "libwebrtc"):
            expect(row).to_contain_text(words)
        expect(page.get_by_role("heading", name="Workers online (1)")).to_be_visible()
        worker.update(INFO.model_copy(update={"busy": 2, "queued": 3}))
        expect(row).to_contain_text("2 of 2 slots")
        expect(row).to_contain_text("busy")
        expect(row).to_contain_text("3 jobs")
    expect(page.get_by_role("heading", name="Workers online (0)")).to_be_visible()


def test_the_line_that_is_shown_starts_a_worker(visit: Visit, tmp_path: Path) -> None:
    ada = visit("ada")
    room = make_room(ada)
    page = ada.go("rooms", room.id, "tokens")
    shown, _ = create(page, "typed-gpu")
    line = shown.locator("pre").nth(1).inner_text()
    shown.get_by_role("button", name="Done").click()
    ada.go("rooms", room.id, "workers")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            ["/bin/sh", "-c", f"export {line.replace(' ', '; exec ', 1)}"],
            env=environment(tmp_path / "home") | {"PATH": path},
            stdout=log,
            stderr=log,
            text=True,
        )
    try:
        expect(page.get_by_role("row", name="typed-gpu")).to_contain_text("free", timeout=60_000)
    finally:
        worker.terminate()
        end(worker)


def test_what_deploys_a_worker_is_what_the_manual_says(visit: Visit, site: str) -> None:
    ada = visit("ada")
    room = make_room(ada)
    page = ada.go("rooms", room.id, "workers")
    page.get_by_text("As a systemd service").click()
    page.get_by_text("In a container, with Docker").click()
    shown, token = create(page, "gpu")
    shown.get_by_role("button", name="Done").click()
    # the way that was open stays so, with the token in it
    texts = page.get_by_role("main").locator("pre").all_inner_texts()
    variables = f"SLEAP_RTC_SERVER={site}\nSLEAP_RTC_API_KEY={token}\n"
    assert sum(variables in text for text in texts) == 2
    assert (
        f"export SLEAP_RTC_SERVER={site}\nexport SLEAP_RTC_API_KEY={token}\n~/sleap-rtc/bin/sleap-rtc worker" in texts
    )

    manual = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    (unit,) = (text for text in texts if "[Unit]" in text)
    assert re.search(r"<<'EOF'\n(.*)\nEOF", unit, re.DOTALL)[1] in manual  # type: ignore[index]
    (run,) = (text for text in texts if text.startswith("docker run"))
    assert run in manual
    for text in (text for text in texts if text.startswith(("docker", "sudo systemctl"))):
        assert all(line in manual for line in text.splitlines())
    for text in texts:
        checked = subprocess.run(["/bin/sh", "-n"], input=text, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr
