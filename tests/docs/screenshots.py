"""Makes the pictures of the dashboard in the pages: ``python -m tests.docs.screenshots --write``.

A real service, real workers whose trainer only pretends, and Chromium. Without ``--write`` the pictures are made and
thrown away, which shows that they can be made.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from sleap_rtc.protocol.signaling import GpuInfo, WorkerInfo
from tests.bench.pages import running_site
from tests.browser.asking import MadeRoom, ask, make_room
from tests.browser.chromium import log_in, program, running_chromium
from tests.browser.job_views import drop, submitted, write_folder
from tests.browser.labs import PageLab, page_lab
from tests.browser.machines import machine
from tests.docs.pages import DOCS
from tests.jobs.conftest import LABELS
from tests.roles.worker_process import GPU, HOST, NAME

IMAGES = DOCS / "images"
WIDTH, HEIGHT, TALLEST = 1200, 760, 1_450
COLOURS = 96
MOST_BYTES = 120_000
ROOM = "Fly courtship"
EPOCH = 60
"""The epoch from which a training's curves are worth a picture."""

READS_EPOCH = """(least) =>
    Number(document.querySelector(".readout strong")?.textContent.match(/\\d+/)?.[0]) >= least"""
KEEPS_MODELS = """async ([room, number]) => {
    const { get } = await import("/dashboard/static/api.js");
    while ((await get(`rooms/${room}/models`)).models.length < number) await new Promise((go) => setTimeout(go, 200));
}"""
RENAME = "async ([room, name]) => (await import('/dashboard/static/api.js')).patch(`rooms/${room}`, {name})"


@dataclass
class Studio:
    """What pictures are taken of.

    Attributes:
        lab: a room with a worker.
        folder: a package, as somebody unpacked it, lies here.
    """

    lab: PageLab
    folder: Path

    @property
    def page(self) -> Page:
        return self.lab.page

    def go(self, *parts: str) -> Page:
        """Open a view, and wait until all of it is there."""
        page = self.lab.visitor.go(*parts)
        expect(page.locator(".loading")).to_have_count(0)
        return page


def rooms(studio: Studio) -> None:
    """The rooms that somebody belongs to."""
    expect(studio.go("rooms").get_by_role("row", name=ROOM)).to_contain_text("3")


def workers(studio: Studio) -> None:
    """The workers of a room, and how to deploy another one."""
    expect(studio.go("rooms", studio.lab.room, "workers").get_by_role("row", name="attic")).to_be_visible()


def new_job(studio: Studio) -> None:
    """What a worker would train of a package."""
    page = studio.go("rooms", studio.lab.room, "jobs", "new")
    drop(page, studio.folder)
    page.get_by_role("radio").nth(1).check()
    page.get_by_role("radio", name="lab-gpu-1").check()
    page.get_by_role("button", name="Send and check").click()
    page.get_by_label("Epochs, at most").fill("200")
    page.get_by_label("Name of the model in this room").fill("courtship")
    page.get_by_label("Name of the model in this room").press("Tab")
    expect(page.get_by_role("row", name="centroid").get_by_role("cell", name="200")).to_be_visible()
    page.locator(".drop").scroll_into_view_if_needed()


def job(studio: Studio) -> None:
    """A training that runs, with its curves."""
    made = submitted(studio.lab, name="courtship, day 3", max_epochs=400)
    page = studio.go("rooms", studio.lab.room, "jobs", made)
    page.wait_for_function(READS_EPOCH, arg=EPOCH, timeout=120_000)
    expect(page.get_by_text("Live from lab-gpu-1.")).to_be_visible()


def models(studio: Studio) -> None:
    """Two versions of a model side by side."""
    page = studio.go("rooms", studio.lab.room, "models", "courtship")
    for version in (1, 2):
        page.get_by_label(f"Compare courtship@{version}").check()
    expect(page.get_by_role("region", name="Side by side")).to_be_visible()


PICTURES = {"rooms": rooms, "workers": workers, "models": models, "new-job": new_job, "job": job}


def picture(page: Page) -> bytes:
    """What the page shows, as a PNG of few colours.

    Raises:
        SystemExit: if it is larger than a page should carry.
    """
    # a field with a blinking cursor looks different each time
    page.evaluate("document.activeElement.blur()")
    page.evaluate("Promise.all(document.getAnimations().map((each) => each.finished))")
    height = min(page.evaluate("document.body.scrollHeight"), TALLEST)
    page.set_viewport_size({"width": WIDTH, "height": max(height, 420)})
    whole = Image.open(io.BytesIO(page.screenshot(animations="disabled", caret="hide"))).convert("RGB")
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    written = io.BytesIO()
    whole.quantize(COLOURS).save(written, "PNG", optimize=True)
    if len(written.getvalue()) > MOST_BYTES:
        raise SystemExit(f"The picture has {len(written.getvalue())} bytes, more than {MOST_BYTES}: show less in it.")
    return written.getvalue()


@contextmanager
def studio(browser: Browser, site: str, folder: Path) -> Iterator[Studio]:
    """A lab like any other: rooms, members, workers, and a model that became better."""
    maya = log_in(browser, site, "Maya", viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
    with ExitStack() as stack:
        lab = stack.enter_context(page_lab(maya, folder / "lab"))
        maya.page.evaluate(RENAME, [lab.room, ROOM])
        let_in(browser, site, MadeRoom(maya, lab.room, ROOM))
        lab.start_worker("learns", **{NAME: "lab-gpu-1", HOST: "gpu1.lab.example", GPU: "NVIDIA RTX A6000:49140"})
        for seed, info in enumerate(others(), 2):
            token = MadeRoom(maya, lab.room, ROOM).token(info.name)
            stack.enter_context(machine(site, token, info, seed))
        for epochs in (8, 30):
            submitted(lab, name="courtship", ended=True, options={"register_as": "courtship"}, max_epochs=epochs)
        maya.page.evaluate(KEEPS_MODELS, [lab.room, 2])
        heads = ("centroid", "centered_instance")
        package = write_folder(folder / "courtship, day 3", *heads, labels=LABELS + bytes(range(256)) * 160_000)
        yield Studio(lab, package)


def let_in(browser: Browser, site: str, room: MadeRoom) -> None:
    """More members, and more rooms: one of somebody else's, one that ends soon."""
    for name in ("Jonas", "Priya"):
        member = log_in(browser, site, name)
        room.let_in(member)
        if name == "Priya":
            make_room(member, "Mouse open field", 90).let_in(room.owner)
        member.context.close()
    make_room(room.owner, "Summer course", 1)
    ask(room.owner, "POST", f"rooms/{room.id}/invites", {})


def others() -> list[WorkerInfo]:
    """The workers beside the one that trains."""
    a100 = GpuInfo(name="NVIDIA A100", memory_mb=81_920)
    common = {"version": "0.1.0", "sleap_nn": "0.3.5", "engine": "libwebrtc"}
    return [
        WorkerInfo(
            name="cluster", hostname="node4.lab.example", gpus=[a100, a100], slots=2, busy=2, queued=3, **common
        ),
        WorkerInfo(name="attic", hostname="attic.lab.example", **common),
    ]


def main() -> None:
    """Take the pictures, and with ``--write`` keep them."""
    write = "--write" in sys.argv[1:]
    path = program()
    if path is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    with TemporaryDirectory() as name, running_site(Path(name)) as site, running_chromium(path) as browser:
        (Path(name) / "lab").mkdir()
        with studio(browser, site, Path(name)) as made:
            for title, arrange in PICTURES.items():
                arrange(made)
                content = picture(made.page)
                if write:
                    IMAGES.mkdir(exist_ok=True)
                    (IMAGES / f"{title}.png").write_bytes(content)
                sys.stdout.write(f"{title}.png: {len(content)} bytes\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
