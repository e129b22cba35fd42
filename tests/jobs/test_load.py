"""What processes and memory count for, who is ended for them, and what a runner holds itself to."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from sleap_rtc.jobs import bounds, load, machine_memory
from sleap_rtc.jobs.bounds import Bounds
from sleap_rtc.jobs.consumption import Consumption, Processes
from sleap_rtc.jobs.descendants import descendants
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.ladder import Action, Ladder
from sleap_rtc.jobs.load import LoadWatch, least_memory, most_memory
from sleap_rtc.jobs.processes import this_process
from sleap_rtc.jobs.runners import Runners
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.jobs import JobState

from .conftest import names_in
from .fakes import QUICK

MB = 1024 * 1024
MINE, OTHER = "j_22222222", "j_11111111"

FAMILY = f"""
import os, time
inherited = b"x" * {80 * MB}
for _ in range(4):
    if os.fork() == 0:
        time.sleep(60)
print("ready", flush=True)
time.sleep(60)
"""
ORPHANS = """
import os, subprocess
from sleap_rtc.jobs.descendants import descendants, reap_orphans
from sleap_rtc.jobs.processes import adopt_orphans
adopt_orphans()
kept = subprocess.Popen(["true"])
for _ in range(5):
    subprocess.run(["sh", "-c", "true & true &"])
while len(descendants(os.getpid())) > 0:
    pass
reap_orphans(kept.pid)
# whose own end is asked for, and may stand before others
assert kept.wait() == 0
reap_orphans(0)
print(len(descendants(os.getpid(), zombies=True)))
"""
HELD = """
import resource, sys
from pathlib import Path
from sleap_rtc.jobs.limits import hold_to
resource.setrlimit(resource.RLIMIT_NPROC, (5000, 5000))
hold_to({"file": 2**20, "tasks": 10**6})
print(resource.getrlimit(resource.RLIMIT_CORE)[1], Path("/proc/self/oom_score_adj").read_text().strip())
print(resource.getrlimit(resource.RLIMIT_NPROC)[1])
try:
    Path(sys.argv[1]).write_bytes(bytes(2**20 + 1))
except OSError as error:
    print(error)
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")


@contextmanager
def started(script: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A script that has said that it is ready; it and what it started are killed."""
    with subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            for pid in (*descendants(process.pid), process.pid):
                psutil.Process(pid).kill()


@linux
def test_pages_that_processes_have_from_their_parent_count_once() -> None:
    with started(FAMILY) as family:
        job = Processes(family.pid)
        assert job.look(100).processes == 4
        assert job.look(100).memory > 300 * MB
        # four fifths of it, for the parent is not among its own descendants
        assert 40 * MB < job.look_closely(100).memory < 100 * MB
        assert (job.look(2).processes, job.look_closely(2).processes) == (3, 3)


@linux
def test_what_ended_behind_our_back_takes_up_no_pid() -> None:
    done = subprocess.run([sys.executable, "-c", ORPHANS], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "0\n"


@linux
def test_a_runner_holds_itself_to_limits_and_loosens_none(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HELD, str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["0 500", "5000", "[Errno 27] File too large"]


def at_work(root: Path, job: str) -> JobFolder:
    folder = JobFolder(root / job)
    folder.control.mkdir(parents=True)
    folder.heartbeat(this_process())
    folder._state.write_text(f'{{"state": "{JobState.RUNNING}", "t": 0}}')
    return folder


def watch(folder: JobFolder, **most: Any) -> LoadWatch:
    return LoadWatch(folder, replace(QUICK, **most), this_process())


def test_where_memory_runs_out_the_job_that_holds_most_is_ended_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [at_work(root, job) for job in (MINE, OTHER)]
    monkeypatch.setattr(load, "available_memory", lambda: 100 * MB)
    assert [watch(job, min_memory=50 * MB)._look() for job in jobs] == [None, None]
    # they hold the same, for they are the same: the name decides
    ended, spared = (watch(job, min_memory=200 * MB)._look() for job in jobs)
    assert ended is not None
    assert "has 0.1 GB of memory left, and of the jobs that run it holds most" in ended
    assert spared is None


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (Consumption(processes=11), "it has started more than 10 processes"),
        (Consumption(processes=10, threads=101), "it has started more than 100 threads"),
        (Consumption(processes=10, threads=100, memory=1000), None),
    ],
)
def test_a_job_may_have_just_so_many_processes_and_threads(
    root: Path, monkeypatch: pytest.MonkeyPatch, found: Consumption, sentence: str | None
) -> None:
    monkeypatch.setattr(Processes, "look", lambda *_: found)
    said = watch(at_work(root, MINE), max_processes=10, max_threads=100)._look()
    assert (said or "").startswith(sentence or "")
    assert (said is None) is (sentence is None)


def test_memory_is_looked_at_closely_only_where_it_may_be_too_much_and_not_all_the_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(Processes, "look", lambda *_: Consumption(1, 1, 1000))

    def closely(_: Processes, most: int) -> Consumption:
        looks.append(most)
        return Consumption(processes=most, memory=500)

    monkeypatch.setattr(Processes, "look_closely", closely)
    assert watch(at_work(root, MINE), max_memory=1000)._look() is None
    assert not looks
    monkeypatch.setattr(load, "_BUSY_SHARE", 10**9)
    busy = watch(JobFolder(root / MINE), max_memory=999)
    assert [busy._look(), busy._look()] == [None, None]
    assert len(looks) == 1
    assert "it has taken 0.0 MB of memory" in (watch(JobFolder(root / MINE), max_memory=499)._look() or "")


def test_a_look_that_fails_is_not_the_last_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look(_: Processes, most: int) -> Consumption:
        looks.append(most)
        if len(looks) == 1:
            raise OSError("Too many open files")
        return Consumption(most + 1, 1, 0)

    monkeypatch.setattr(Processes, "look", look)
    watching = watch(at_work(root, MINE), max_processes=2, load_look=0)
    watching._keep_looking()
    assert "more than 2 processes" in (watching.exceeded or "")


def test_a_job_whose_time_is_over_is_asked_to_stop(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(monotonic=lambda: 1000.0)
    monkeypatch.setattr(bounds, "time", now)
    limits = Bounds(JobFolder(root / MINE), SupervisorSettings(max_hours=0.5), this_process())
    now.monotonic = lambda: 2800.0
    assert limits.excess is None
    now.monotonic = lambda: 2801.0
    assert limits.excess is not None
    assert limits.excess.way == "stop"
    assert limits.excess.why.startswith("it has run for more than 0.5 hours")


def test_who_is_to_be_killed_is_given_no_time_whatever_was_asked_before() -> None:
    ladder = Ladder(QUICK)
    assert ladder.step(0.0, "stop", training=True) is Action.STOP
    assert ladder.step(0.1, "kill", training=True) is Action.KILL
    assert ladder.step(0.2, "kill", training=True) is None


def test_a_container_has_the_memory_that_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "memory.max": "1000", "memory.current": "900", "memory.stat": "anon 600\ninactive_file 200\nactive_file 50\n"
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "memory.max").write_text("max")
    monkeypatch.setattr(machine_memory, "_groups", lambda: iter([tmp_path / "inner", tmp_path]))
    assert machine_memory.total_memory() == 1000
    assert machine_memory.available_memory() == 350
    assert (most_memory(), least_memory()) == (900, 256 * MB)


def test_a_home_that_a_killed_supervisor_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runners = Runners(replace(QUICK, runner=(sys.executable, "-S", "-c", "")))
    me = runners.supervisor
    for name in (f"{me.pid}-{int(me.started) - 1}-x", "4194305-1-x", "x-y-z"):
        (tmp_path / f"sleap-rtc-runner-{name}").mkdir()
    (tmp_path / "sleap-rtc-runner-4194305-2-x").symlink_to(tmp_path)
    with runners.start().process as first, runners.start().process as second:
        assert len([name for name in names_in(tmp_path) if f"-{me.pid}-" in name]) == 2
        assert [process.wait() for process in (first, second)] == [0, 0]
    runners.close()
    assert names_in(tmp_path) == ["sleap-rtc-runner-4194305-2-x"]
