"""The device files of GPUs that a sandbox is given, on a machine that only looks as if it had some."""

from pathlib import Path

import pytest

from sleap_rtc.jobs.sandbox.devices import gpu_files, make_gpu_files


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of device files, beside the driver's helper, which makes the one for unified memory."""
    folder, programs = tmp_path / "dev", tmp_path / "bin"
    for path in (folder, programs):
        path.mkdir()
    helper = programs / "nvidia-modprobe"
    helper.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "asked"}\ntouch {folder / "nvidia-uvm"}\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return folder


def test_the_file_that_the_first_cuda_program_would_have_made_is_made_before(dev: Path) -> None:
    for name in ("nvidia0", "nvidiactl", "null", "sda"):
        (dev / name).touch()
    make_gpu_files(dev)
    make_gpu_files(dev)
    assert [Path(path).name for path in gpu_files(dev)] == ["nvidia-uvm", "nvidia0", "nvidiactl"]
    assert (dev.parent / "asked").read_text() == "-u -c=0\n"


def test_a_machine_without_a_gpu_is_asked_for_none(dev: Path) -> None:
    make_gpu_files(dev)
    assert list(gpu_files(dev)) == []
    assert not (dev.parent / "asked").exists()
