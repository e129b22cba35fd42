"""What keeps jobs apart is believed only where it has been seen to."""

import shutil
from pathlib import Path

import pytest

from sleap_rtc.errors import ConfigError
from sleap_rtc.jobs.sandbox.choosing import choose
from tests.sandboxes import sandbox_for


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Make a bubblewrap that does what a script says."""
    program = folder / "bin" / "bwrap"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


def _weakened(options: tuple[str, ...]) -> str:
    """A bubblewrap that does one thing more than it is told, just before the program that it starts."""
    extra = " ".join(f"'{option}'" for option in options)
    return f"""
    for word; do
        shift
        [ "$word$seen" = -- ] && seen=yes && set -- "$@" {extra} || set -- "$@" "$word"
    done
    exec {shutil.which("bwrap")} "$@"
    """


def test_without_bubblewrap_there_is_none_and_a_worker_that_insists_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = choose("auto", tmp_path / "jobs")
    assert (found.level, found.settings) == ("none", None)
    assert found.reason.startswith("bubblewrap is not installed")
    with pytest.raises(ConfigError, match=r"bubblewrap is not installed.* sleap-rtc worker --sandbox auto") as refused:
        choose("bwrap", tmp_path / "jobs")
    assert refused.value.exit_code == 2


def test_one_that_does_not_work_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, monkeypatch, "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    assert "setting up uid map: Permission denied. " in choose("auto", tmp_path / "jobs").reason


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--",), ""),
        (("--share-net", "--"), "could reach the network"),
        (("--ro-bind", "{home}", "{home}", "--"), "could read what it must not"),
        (("--bind", "{spare}", "/dev", "--"), "could write where it must not"),
        (("--", "sh", "-c", 'sleep 60 & exec "$@"', "sh"), "saw the processes of others"),
        (("--setenv", "SLEAP_RTC_CANARY", "x", "--"), "saw the worker's environment"),
        (("--cap-add", "CAP_DAC_OVERRIDE", "--"), "had capabilities"),
    ],
    ids=["as it is", "network", "home", "writing", "processes", "environment", "capabilities"],
)
def test_one_that_lets_a_single_thing_through_is_none(
    options: tuple[str, ...], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox_for(tmp_path / "unused")
    home, spare = tmp_path / "home", tmp_path / "spare"
    for folder in (home, spare):
        folder.mkdir()
    (home / "key").write_text("secret")
    monkeypatch.setenv("HOME", str(home))
    _install(tmp_path, monkeypatch, _weakened(tuple(each.format(home=home, spare=spare) for each in options)))
    found = choose("auto", tmp_path / "jobs")
    assert (found.level, complaint in found.reason) == ("none" if complaint else "bwrap", True), found.reason


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    found = choose("none", tmp_path / "jobs")
    assert (found.level, found.settings) == ("none", None)
    assert "switched off" in found.reason
