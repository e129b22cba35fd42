"""How tests use the views of jobs: packages on disk, dropped as a person drops them, and short waiting times."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route

from sleap_rtc.jobs.yaml_data import write_yaml
from tests.browser.chromium import Visitor
from tests.browser.labs import PageLab
from tests.jobs.conftest import LABELS, training_config
from tests.roles.worker_process import DEAD

TIMES = Path("signaling_server/dashboard/static/peer/times.js")
SHORT = {"ping": 300, "dead": 3_000, "first": 50, "most": 500, "poll": 300}
INVITE = "async (room) => (await import('/dashboard/static/api.js')).post(`rooms/${room}/invites`, {})"
JOIN = "async (code) => (await import('/dashboard/static/api.js')).post('invites/redeem', {code})"
PATIENT = {DEAD: "15"}
"""A worker that waits as long for a silent page as one of a lab does: a page pings every five seconds."""
SUBMIT = """
    const pkg = await peer.makePackage(dropped(args[2]), {name: args[4]});
    const met = await meet(args[0], args[1]);
    const job = peer.newJobId();
    await met.worker.submit(job, pkg, {kind: "train", ...args[3]});
    if (args[5]) await watched(met.worker, job).ended;
    await part(met);
    return job;
"""

MODELS = """async ([room, number]) => {
    const { get } = await import("/dashboard/static/api.js");
    for (;;) {
      const { models } = await get(`rooms/${room}/models`);
      if (models.length >= number) return models;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
}"""


def write_folder(folder: Path, *heads: str, labels: bytes = LABELS, **trainer: Any) -> Path:
    """A package as somebody unpacked it, with what a desktop leaves in it."""
    (folder / "configs").mkdir(parents=True)
    (folder / "labels.pkg.slp").write_bytes(labels)
    (folder / ".DS_Store").write_bytes(b"\0")
    for head in heads or ("single_instance",):
        (folder / "configs" / f"{head}.yaml").write_text(write_yaml(training_config(head, **trainer)))
    return folder


def hex_files(labels: bytes = LABELS, **trainer: Any) -> dict[str, str]:
    """A package as `PageLab.run` takes it."""
    config = write_yaml(training_config(**trainer)).encode()
    return {"labels.pkg.slp": labels.hex(), "single.yaml": config.hex()}


def submitted(
    lab: PageLab, *, name: str = "flies", ended: bool = False, options: Mapping[str, Any] | None = None, **trainer: Any
) -> str:
    """Submit a job in the lab's own tab.

    Args:
        lab: the room.
        name: what the package is called.
        ended: whether to wait until it is over.
        options: of the training.
        trainer: what its config says.
    """
    job: str = lab.run(SUBMIT, hex_files(**trainer), dict(options or {}), name, ended)
    return job


def until_models(lab: PageLab, number: int) -> list[dict[str, Any]]:
    """Wait until the service knows so many models, which the worker tells of within seconds."""
    found: list[dict[str, Any]] = lab.page.evaluate(MODELS, [lab.room, number])
    return found


def drop(page: Page, *paths: Path) -> None:
    """Drop files or folders on the page's place for them, as from a file manager."""
    area = page.locator(".drop").bounding_box()
    assert area
    session = page.context.new_cdp_session(page)
    at = {"x": area["x"] + area["width"] / 2, "y": area["y"] + 10}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data} | at)
    session.detach()


def be_quick(visitor: Visitor) -> None:
    """Let this visitor's tabs give a silent worker up sooner than a person's would."""

    def answer(route: Route) -> None:
        text = TIMES.read_text()
        for name, milliseconds in SHORT.items():
            text, found = re.subn(rf"(\b{name}: )[\d_]+", rf"\g<1>{milliseconds}", text)
            assert found == 1, name
        route.fulfill(body=text, content_type="text/javascript; charset=utf-8")

    visitor.context.route("**/static/peer/times.js", answer)
    visitor.page.reload()
