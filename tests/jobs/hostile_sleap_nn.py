"""A runner whose trainer attacks the machine it runs on, in the way that its run is named after; others train on.

Each attack ends by itself at a size that a machine in use can bear, and would be noticed much sooner.
"""

import argparse
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sleap_rtc.jobs.runner import serve

# a runner searches no folder of its own, and installed packages may have tests as well
sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.jobs.fake_sleap_nn import MB, FakeTrainer

MOST_FORKS = 10
"""Every process forks so many times, and so does each of those, less one: 1,024 in the end."""
MOST_MEMORY, MOST_DISK, LINE = 400 * MB, 100 * MB, 256 * MB
_BLOCK = b"x" * 64 * 1024


class HostileTrainer(FakeTrainer):
    def _misbehave(self, epoch: int) -> None:
        attack = getattr(self, f"_{self._run}".replace("-", "_"), None)
        if attack is not None and epoch == 0:
            attack()

    def _fork_bomb(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(MOST_FORKS):
            if os.fork() == 0:
                os.setsid()
        while True:
            time.sleep(60)

    def _memory_hog(self) -> None:
        self._hold = [b"x" * MB for _ in range(MOST_MEMORY // MB)]

    def _shared_memory_hog(self) -> None:
        """Hold pages that are nobody's own: half of them in a process that has no others."""
        for share in (2, 2):
            if os.fork() == 0:
                pages = mmap.mmap(-1, MOST_MEMORY // share)
                while pages.tell() < len(pages):
                    pages.write(_BLOCK)
                time.sleep(60)

    def _shm_filler(self) -> None:
        fill(Path("/dev/shm"), MOST_MEMORY)

    def _tmp_filler(self) -> None:
        fill(Path("/tmp"), MOST_DISK)

    def _disk_filler(self) -> None:
        fill(self._folder, MOST_DISK)

    def _flood(self) -> None:
        """Say more than anybody can take, in a line without an end, leave processes behind, and come to a good end."""
        for stream in (1, 2):
            for _ in range(LINE // 2 // len(_BLOCK)):
                write_all(stream, _BLOCK)
        # past the relay: what looks like progress, then a line that never ends
        (pipe,) = {number for number in pipes() if number > 2 and is_written_to(number)}
        told = {"type": "progress", "event": "epoch_end", "epoch": 1, "logs": {"val/loss": 0.5}}
        lines = (json.dumps(told).encode() + b"\n") * 500
        for block in (*[lines] * 4, *[b"[" * len(_BLOCK)] * 400):
            write_all(pipe, block)
        write_all(pipe, b"\n")
        self._lurking()
        self._stopped = True

    def _deaf(self) -> None:
        """Fill the pipe by which a stop would come, and be deaf to what is sent instead."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for number in pipes():
            if not is_written_to(number):
                other_end = os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK)
                try:
                    while os.write(other_end, _BLOCK):
                        self._told_of_it = True
                except BlockingIOError:
                    os.close(other_end)
        time.sleep(60)

    def _lurking(self) -> None:
        """Start processes that are hard to find or to end, each in another way, and train on."""
        self._daemonize()
        for way in (stopped, lambda: os.setpgid(0, 0)):
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                way()
                time.sleep(60)
                os._exit(0)
        # where there is no sandbox it may work
        subprocess.Popen(["unshare", "--user", "--pid", "--fork", "sleep", "60"], stderr=subprocess.DEVNULL)


def stopped() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def fill(folder: Path, most: int) -> None:
    for number in range(most // MB):
        (folder / f"filler-{number}").write_bytes(b"x" * MB)


def pipes() -> Iterator[int]:
    for entry in Path("/proc/self/fd").iterdir():
        if os.path.exists(entry) and str(entry.readlink()).startswith("pipe:"):  # noqa: PTH110
            yield int(entry.name)


def is_written_to(number: int) -> bool:
    flags = Path(f"/proc/self/fdinfo/{number}").read_text().split("flags:")[1].split()[0]
    return int(flags, 8) & os.O_ACCMODE == os.O_WRONLY


def write_all(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path, required=True)
    return serve(HostileTrainer("endless", parser.parse_args().ledger, 0.002, 0))


if __name__ == "__main__":
    sys.exit(main())
