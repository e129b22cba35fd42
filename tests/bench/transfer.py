"""How fast a package gets from the client command to the worker's disk, beside other ways of moving a file.

``python -m tests.bench.transfer [--quick] [--json] [--only ROW,…] [--size MiB]`` measures on this machine, one after
the other, and compares within the run:

- ``loopback_vs_aiortc``, ``_raw``, ``_scp``, ``_wormhole``: our bytes a second over theirs, one file from disk to
  disk, the sender's command typed included; ``peak_mb`` is the memory of our larger end meanwhile;
- ``lossy_vs_single``: ours over one raw libwebrtc channel, round trip 20 ms, 0.1 % loss;
- ``narrow_link_share``: how much of 100 Mbit/s with a queue of 256 KiB and a round trip of 20 ms is used;
- ``resend_same``, ``resend_one_label``, ``resend_more_frames``: what the worker receives over its lanes when a labelled
  package is uploaded again, lists included, as a share of the package: as it was, with one label moved, with 20 % more
  frames;
- ``control_p99_s``: seconds from when a small request is due, one every 50 ms, to its answer, during an upload at full
  speed.

Only rows of the same size are divided by each other: starting and connecting weighs the same in both. A figure whose
tool is missing is null. See `baselines` for what the comparisons need.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.baselines import measure
from tests.bench.ours import Lab, ours, running_lab
from tests.bench.packages import VERSIONS, random_package
from tests.bench.processes import MIB, BenchError, Moved, end_when_interrupted, make_file, python
from tests.bench.proxy_control import running_proxy
from tests.bench.wire import Network

KEYS = (
    "loopback_vs_aiortc", "loopback_vs_raw", "loopback_vs_scp", "loopback_vs_wormhole", "peak_mb", "lossy_vs_single",
    "narrow_link_share", "resend_same", "resend_one_label", "resend_more_frames", "control_p99_s",
)  # fmt: skip
LOSSY = Network(delay=0.01, loss=0.001)
NARROW = Network(delay=0.01, rate=100e6, queue=256 * 1024)
PACKAGES_WITHIN = 300.0
Figures = dict[str, float | None]


@dataclass(frozen=True)
class Sizes:
    """How much each row moves, in MiB, and the frames of the labelled video; rows that others contain are left out."""

    loopback: int = 1024
    aiortc: int = 1024
    lossy: int = 512
    narrow: int = 256
    control: int = 1024
    frames: int = 480

    def at_most(self, size: int) -> "Sizes":
        """The same, no row above `size` MiB; the labelled package stays as it is."""
        capped = {name: min(size, value) for name, value in vars(self).items() if name != "frames"}
        return Sizes(**capped | {"frames": self.frames})


QUICK = Sizes(loopback=512, aiortc=128, lossy=192, narrow=256, control=512)


class Bench:
    """One run: rows are measured, printed as they come, and kept for the figures.

    Args:
        lab: the service and its workers.
        sizes: how much each row moves.
        engine: the engine of our rows.
        wormhole: the venv of magic-wormhole.
    """

    def __init__(self, lab: Lab, sizes: Sizes, engine: str, wormhole: Path | None) -> None:
        self._lab = lab
        self._sizes = sizes
        self._engine = engine
        self._wormhole = wormhole
        self._moved: dict[str, Moved] = {}
        self.figures: Figures = dict.fromkeys(KEYS)
        self.notes: dict[str, str] = {}

    @property
    def rows(self) -> dict[str, Callable[[], None]]:
        """What there is to measure; the rows that are compared stand beside each other."""
        sizes = self._sizes
        rows = {
            "ours": lambda: self._ours("ours", sizes.loopback),
            "raw": lambda: self._other("raw", "raw", sizes.loopback),
            "scp": lambda: self._other("scp", "scp", sizes.loopback),
            "wormhole": lambda: self._other("wormhole", "wormhole", sizes.loopback),
            "ours-small": lambda: self._ours("ours-small", sizes.aiortc),
            "aiortc": lambda: self._other("aiortc", "aiortc", sizes.aiortc),
            "lossy": lambda: self._ours("lossy", sizes.lossy, LOSSY),
            "lossy-raw": lambda: self._other("lossy-raw", "raw", sizes.lossy, LOSSY),
            "narrow": lambda: self._ours("narrow", sizes.narrow, NARROW),
            "resend": self._resend,
            "control": self._control,
        }
        if sizes.aiortc == sizes.loopback:
            del rows["ours-small"]
        return {name: self._guarded(name, row) for name, row in rows.items()}

    def compare(self) -> None:
        """Fill in the figures that are ratios of rows."""
        for way in ("aiortc", "raw", "scp", "wormhole"):
            self._divide(f"loopback_vs_{way}", ("ours", "ours-small"), way)
        self._divide("lossy_vs_single", ("lossy",), "lossy-raw")
        if mine := self._moved.get("ours"):
            self.figures["peak_mb"] = round(mine.peak / 1e6, 1)
        if (mine := self._moved.get("narrow")) and NARROW.rate:
            self.figures["narrow_link_share"] = round(mine.rate * 8 / NARROW.rate, 3)

    def _divide(self, key: str, ours: tuple[str, ...], other: str) -> None:
        """The rate of that of our rows over another's that moved as much; no figure if none did."""
        if (theirs := self._moved.get(other)) is None:
            return
        for mine in (self._moved[name] for name in ours if name in self._moved):
            if _mib(mine) == _mib(theirs):
                self.figures[key] = round(mine.rate / theirs.rate, 3)
                self.notes[key] = f"{_mib(theirs)} MiB each"

    def _guarded(self, name: str, row: Callable[[], None]) -> Callable[[], None]:
        def measured() -> None:
            try:
                row()
            except (BenchError, subprocess.SubprocessError) as error:
                _print_row(name, f"no figure: {error}"[:80])

        return measured

    def _ours(self, name: str, size: int, network: Network | None = None) -> None:
        if network is None:
            self._keep(name, ours(self._lab, size, self._engine))
            return
        with running_proxy(network) as proxy:
            self._keep(name, ours(self._lab, size, self._engine, proxy))

    def _other(self, name: str, way: str, size: int, network: Network | None = None) -> None:
        with _folder() as folder:
            source = make_file(folder / "file", size * MIB)
            if network is None:
                self._keep(name, measure(way, source, wormhole=self._wormhole))
                return
            with running_proxy(network) as proxy:
                self._keep(name, measure(way, source, proxy=proxy))

    def _keep(self, name: str, moved: Moved) -> None:
        self._moved[name] = moved
        gigabytes = moved.size / 1e9
        _print_row(
            name,
            f"{moved.size / MIB:8.0f}{moved.seconds:10.2f}{moved.rate / 1e6:9.1f}"
            f"{moved.sender_cpu / gigabytes:12.2f}{moved.receiver_cpu / gigabytes:10.2f}{moved.peak / 1e6:9.0f}",
        )

    def _resend(self) -> None:
        with _folder() as folder, self._lab.worker(self._engine) as worker:
            command = python("tests.bench.packages", folder, self._sizes.frames)
            subprocess.run(command, check=True, timeout=PACKAGES_WITHIN, stderr=subprocess.DEVNULL)
            base, one_label, more_frames = VERSIONS
            for name, version in (
                ("first time", base),
                ("same", base),
                ("one_label", one_label),
                ("more_frames", more_frames),
            ):
                upload = worker.upload(folder / version)
                share = upload.received / upload.total
                if f"resend_{name}" in self.figures:
                    self.figures[f"resend_{name}"] = round(share, 6)
                size, seconds = upload.total / MIB, upload.moved.seconds
                text = f"{size:8.0f}{seconds:10.2f}   {upload.received:,} bytes received, {100 * share:.3f} %"
                _print_row(f"resend: {name.replace('_', ' ')}", text)

    def _control(self) -> None:
        size = self._sizes.control
        with _folder() as folder, self._lab.worker(self._engine) as worker:
            small, big = random_package(folder / "small", MIB), random_package(folder / "big", size * MIB)
            seconds, waits = worker.control_waits(small, big)
        p99 = sorted(waits)[math.ceil(0.99 * len(waits)) - 1]
        self.figures["control_p99_s"] = round(p99, 4)
        middle = sorted(waits)[len(waits) // 2]
        answers = f"{len(waits)} answers, s: median {middle:.3f}, p99 {p99:.3f}, worst {max(waits):.3f}"
        _print_row("control", f"{size:8.0f}{seconds:10.2f}{size * MIB / seconds / 1e6:9.1f}   {answers}")


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="sleap-rtc-bench-") as name:
        yield Path(name)


def _mib(moved: Moved) -> int:
    # rounded: a package of ours has a configuration of a kilobyte beside its labels
    return round(moved.size / MIB)


def _print_row(label: str, text: str) -> None:
    sys.stdout.write(f"{label:20}{text}\n")
    sys.stdout.flush()


def _print_head() -> None:
    _print_row("", f"{'MiB':>8}{'seconds':>10}{'MB/s':>9}{'CPU s/GB: sender':>18}{'receiver':>10}{'peak MB':>9}")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller files; within ten minutes")
    parser.add_argument("--json", action="store_true", help="one object with the figures as the last line")
    parser.add_argument("--only", metavar="ROW,…", help="measure these rows, as the table names them")
    parser.add_argument("--size", type=int, metavar="MiB", help="move no more than this in any row")
    parser.add_argument("--engine", default="auto", choices=["auto", "libwebrtc", "aiortc"])
    parser.add_argument("--wormhole", type=Path, metavar="VENV", help="where magic-wormhole and its servers are")
    return parser.parse_args()


def main() -> None:
    """Measure, print the table, and compare."""
    options = _read_options()
    end_when_interrupted()
    sizes = QUICK if options.quick else Sizes()
    if options.size is not None:
        sizes = sizes.at_most(options.size)
    with running_lab() as lab:
        bench = Bench(lab, sizes, options.engine, options.wormhole)
        wanted = options.only.split(",") if options.only else list(bench.rows)
        if unknown := set(wanted) - set(bench.rows):
            sys.exit(f"There is no row {', '.join(sorted(unknown))}; there are {', '.join(bench.rows)}.")
        _print_head()
        for name in wanted:
            bench.rows[name]()
    bench.compare()
    for key in KEYS:
        value = bench.figures[key]
        if value is not None:
            _print_row(key, f"{value:>8g}   {bench.notes.get(key, '')}".rstrip())
    if options.json:
        sys.stdout.write(json.dumps(bench.figures) + "\n")


if __name__ == "__main__":
    main()
