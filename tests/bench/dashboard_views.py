"""How long the dashboard's long lists take, from the click that opens them to the row that is seen.

``python -m tests.bench.dashboard_views [--quick] [--json]`` runs a service and Chromium, makes rooms, worker tokens and
workers that are online, and opens each list from another view, several times. Prints the medians in seconds:

- ``rooms_200_s``: 200 rooms of one user;
- ``tokens_500_s``: 500 worker tokens, in five of these rooms;
- ``workers_50_s``: 50 workers that are online in one room, each with a GPU.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page

from sleap_rtc.protocol.signaling import GpuInfo, WorkerInfo
from tests.bench.processes import BenchError, python, spawned, word_with
from tests.browser import chromium
from tests.browser.chromium import Visitor, log_in
from tests.browser.machines import machine

ROOMS, TOKENS, WORKERS = 200, 500, 50
PER_ROOM = 100
LIMITS = {"rooms_per_user": ROOMS + 1, "tokens_per_room": PER_ROOM + 1, "sockets_per_address": WORKERS + 10}

# a page that asks sixteen things at once gets them made soonest
_MAKE = """async (bodies) => {
    const made = [];
    const ask = async () => {
        for (let next = bodies.pop(); next; next = bodies.pop()) {
            const init = {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(next[1])};
            const answer = await fetch(`/api/v1/${next[0]}`, init);
            if (!answer.ok) throw new Error(await answer.text());
            made.push(await answer.json());
        }
    };
    await Promise.all(Array.from({length: 16}, ask));
    return made;
}"""
# the second frame begins when the first one, which has the rows in it, was drawn
_OPEN = """([where, rows]) => new Promise((resolve) => {
    const began = performance.now();
    const look = () => {
        if (document.querySelectorAll("main tbody tr").length < rows) return requestAnimationFrame(look);
        requestAnimationFrame(() => requestAnimationFrame(() => resolve((performance.now() - began) / 1000)));
    };
    location.hash = where;
    look();
})"""


@contextmanager
def crowded() -> Iterator[tuple[Visitor, str]]:
    """Somebody in front of a dashboard that has much to show, and the room with the workers."""
    path = chromium.program()
    if path is None:
        raise BenchError("Chromium is not installed: apt-get install chromium")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        command = python("sleap_rtc", "server", "run", "--dev", "--port", 0, "--database", folder / "service.db")
        limits = {f"SLEAP_RTC_SERVER_LIMITS__{name.upper()}": str(value) for name, value in LIMITS.items()}
        service = stack.enter_context(spawned(command, cwd=folder, environment=limits, log=folder / "log.txt"))
        base = word_with(service, "http://")
        visitor = log_in(stack.enter_context(chromium.running_chromium(path)), base, "ada")
        rooms = visitor.page.evaluate(_MAKE, [["rooms", {"name": f"lab {number}"}] for number in range(ROOMS)])
        ids = [room["room_id"] for room in rooms][: TOKENS // PER_ROOM]
        wanted = [[f"rooms/{room}/tokens", {"name": f"gpu {number}"}] for number in range(PER_ROOM) for room in ids]
        tokens = visitor.page.evaluate(_MAKE, [wanted.pop()])
        visitor.page.evaluate(_MAKE, wanted)
        for number in range(WORKERS):
            gpu = GpuInfo(name="NVIDIA H200", memory_mb=143_771)
            info = WorkerInfo(name=f"gpu {number}", version="0.1.0", gpus=[gpu], sleap_nn="0.3.5")
            stack.enter_context(machine(base, tokens[0]["token"], info, seed=number + 1))
        yield visitor, ids[-1]


def opened(page: Page, where: str, rows: int, times: int) -> float:
    """The median of the seconds it takes to show `rows` of a list, coming from a view that has none."""
    seconds: list[float] = []
    for _ in range(times):
        page.evaluate("() => { location.hash = '#/join'; }")
        page.get_by_label("Invite code").wait_for()
        seconds.append(page.evaluate(_OPEN, [where, rows]))
    return statistics.median(seconds)


def main() -> None:
    """Measure, and print a table, or one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="open each list three times instead of ten")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    times = 3 if options.quick else 10
    with crowded() as (visitor, room):
        figures = {
            "rooms_200_s": opened(visitor.page, "#/rooms", ROOMS, times),
            "tokens_500_s": opened(visitor.page, "#/tokens", TOKENS, times),
            "workers_50_s": opened(visitor.page, f"#/rooms/{room}/workers", WORKERS, times),
        }
        visitor.context.close()
    sys.stdout.write(f"{'list':<16}seconds, median of {times}\n")
    for name, seconds in figures.items():
        sys.stdout.write(f"{name:<16}{seconds:.3f}\n")
    if options.json:
        sys.stdout.write(json.dumps({name: round(seconds, 4) for name, seconds in figures.items()}) + "\n")


if __name__ == "__main__":
    main()
