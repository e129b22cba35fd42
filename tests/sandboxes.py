"""Sandboxes for tests: the machine's own, or a reason to skip."""

import functools
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from sleap_rtc.jobs.sandbox.choosing import Isolation, choose
from sleap_rtc.jobs.sandbox.settings import SandboxSettings

REQUIRED = "SLEAP_RTC_TEST_SANDBOX"
"""Set where a machine without a sandbox is a failure and no reason to skip."""


@functools.cache
def isolation_here() -> Isolation:
    with tempfile.TemporaryDirectory() as folder:
        return choose("auto", Path(folder, "jobs"))


def sandbox_for(jobs: Path, *, readable: tuple[Path, ...] = (), writable: tuple[Path, ...] = ()) -> SandboxSettings:
    """What a worker would keep the jobs of `jobs` in, with more to read and write than it would give."""
    found = sandbox_if_any(jobs, readable=readable, writable=writable)
    if found is None:
        pytest.skip(f"no sandbox on this machine: {isolation_here().reason}")
    return found


def sandbox_if_any(
    jobs: Path, *, readable: tuple[Path, ...] = (), writable: tuple[Path, ...] = ()
) -> SandboxSettings | None:
    """The same; None where there is none and that is no failure, for what is tested without it all the same."""
    found = isolation_here()
    if found.settings is None:
        if os.environ.get(REQUIRED):
            pytest.fail(f"no sandbox on this machine: {found.reason}")
        return None
    jobs.mkdir(parents=True, exist_ok=True)
    return replace(
        found.settings,
        jobs=str(jobs.resolve()),
        readable=tuple(map(str, readable)),
        writable=tuple(map(str, writable)),
    )
