"""What is compiled before a sandbox imports it."""

import asyncio
import json
import py_compile
from pathlib import Path

import psutil
import pytest

from sleap_rtc.jobs.helper import Place
from sleap_rtc.jobs.sandbox import compiled
from tests.sandboxes import sandbox_for

PATIENCE = 30.0


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that nobody has compiled, and what is imported after it; both are what is to be compiled."""
    folder = tmp_path / "late_package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (tmp_path / "after_late.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(compiled, "_FIRST_IMPORTED", "late_package")
    monkeypatch.setattr(compiled, "_LAST_IMPORTED", "after_late")
    return folder


def importing(tmp_path: Path, words: str) -> str:
    """What takes note of its process, then does what is said."""
    note = tmp_path / "note"
    return f"import json, os, pathlib; pathlib.Path({str(note)!r}).write_text(json.dumps(os.getpid())); {words}"


async def noted(tmp_path: Path) -> int:
    """Its process, once it runs."""
    note = tmp_path / "note"
    async with asyncio.timeout(PATIENCE):
        while not note.exists() or not note.read_text():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)
    return int(json.loads(note.read_text()))


async def test_a_worker_that_ends_does_not_wait_until_sleap_nn_is_compiled(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_IMPORT", importing(tmp_path, "import time; time.sleep(600)"))
    (tmp_path / "jobs").mkdir()
    place = Place(tmp_path / "jobs" / ".preflight", ["false"], sandbox_for(tmp_path / "jobs"))
    starting = asyncio.create_task(place.start())
    pid = await noted(tmp_path)
    starting.cancel()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert not psutil.pid_exists(pid)


async def test_what_was_compiled_halfway_is_compiled_again(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    py_compile.compile(str(package / "__init__.py"))
    monkeypatch.setattr(compiled, "_IMPORT", importing(tmp_path, ""))
    await compiled.compiled()
    assert await noted(tmp_path)

    (tmp_path / "note").unlink()
    py_compile.compile(str(tmp_path / "after_late.py"))
    await compiled.compiled()
    compiled.compile_once()
    assert not (tmp_path / "note").exists()
