"""Settings all tests share."""

import os

# asyncio's own checks are on in every test, in the processes that tests start as well
os.environ.setdefault("PYTHONASYNCIODEBUG", "1")

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own files."""
    monkeypatch.setenv("SLEAP_RTC_HOME", str(tmp_path_factory.mktemp("home")))
