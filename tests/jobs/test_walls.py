"""What the namespaces of a sandbox leave open by themselves, tried from inside by programs of our own."""

import ctypes
import errno
import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.jobs.environment import runner_environment
from sleap_rtc.jobs.sandbox import bwrap, calls
from sleap_rtc.jobs.sandbox.settings import SandboxSettings
from sleap_rtc.jobs.sandbox.view import HOME
from tests.sandboxes import sandbox_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is a program of Linux")
KEYRING = -3
"""The keys of the session (keyctl(2))."""
_ADD_KEY, _KEYCTL = {"aarch64": (217, 219)}.get(os.uname().machine, (248, 250)) if sys.platform == "linux" else (0, 0)


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    for name in ("inputs", "work", "control"):
        (tmp_path / "jobs" / "j_11111111" / name).mkdir(parents=True)
    return tmp_path / "jobs"


@pytest.fixture
def sandbox(jobs: Path) -> SandboxSettings:
    return sandbox_for(jobs)


def found_inside(sandbox: SandboxSettings, code: str) -> Any:
    """What `code` puts into ``found``, run where a job is, once it has been shown its job."""
    ready = "import json, os, sys\nprint('ready', flush=True)\nsys.stdin.readline()\nfound = None\n"
    program = f"{ready}{code}\nprint(json.dumps(found))"
    started = bwrap.start(sandbox, [sys.executable, "-c", program], runner_environment("mark", Path(HOME)))
    with started.process as process:
        # before, the sandbox may still be in the making
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        started.admit("j_11111111")
        said, errors = process.communicate(b"go\n", timeout=30)
    assert process.returncode == 0, errors.decode()
    return json.loads(said)


def test_nothing_of_the_kernel_can_be_set_from_inside_not_even_by_root(sandbox: SandboxSettings) -> None:
    code = """
import stat
found = []
for folder, folders, files in os.walk("/proc"):
    if folder == "/proc":
        folders[:] = [name for name in folders if not name.isdecimal()]
    for path in (os.path.join(folder, name) for name in files):
        try:
            if stat.S_ISREG(os.lstat(path).st_mode):
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                found.append(path)
        except OSError:
            pass
"""
    # who may watch how busy the machine is changes nothing by it
    assert [path for path in found_inside(sandbox, code) if not path.startswith("/proc/pressure/")] == []


@pytest.fixture
def session_key() -> Iterator[int]:
    """A key as logins and Kerberos leave them, in a session of this process's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_KEYCTL, 1, None) < 0:
        pytest.skip("this machine keeps no keys")
    yield libc.syscall(_ADD_KEY, b"user", b"ticket", b"SECRET", 6, KEYRING)
    libc.syscall(_KEYCTL, 1, None)


READ_KEY = "import ctypes\nread = ctypes.create_string_buffer(99)\nctypes.CDLL(None).syscall({}, 11, {}, read, 99)\n"


def test_the_keys_of_the_session_cannot_be_read_from_inside(sandbox: SandboxSettings, session_key: int) -> None:
    reading = READ_KEY.format(_KEYCTL, session_key)
    own: dict[str, Any] = {}
    exec(reading, own)
    assert own["read"].value == b"SECRET"
    assert found_inside(sandbox, f"{reading}found = read.value.decode()") == ""


def test_nothing_inside_has_namespaces_of_its_own_whatever_version_of_bubblewrap(
    sandbox: SandboxSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bwrap, "_no_nested", lambda program: ())
    code = """
import ctypes, subprocess
found = ctypes.CDLL(None).unshare(0x10000000)
assert subprocess.run(["true"]).returncode == 0
"""
    assert found_inside(sandbox, code) == -1


def test_certificates_are_seen_inside_and_the_keys_that_lie_beside_them_are_not(sandbox: SandboxSettings) -> None:
    code = """
found = [os.path.join(top, name) for top in ("/etc/ssl", "/etc/pki", "/etc/pki/tls") if os.path.isdir(top)
         for name in os.listdir(top)]
"""
    seen = found_inside(sandbox, code)
    shown = {"certs", "cert.pem", "openssl.cnf", "tls", "ca-trust"}
    assert {Path(path).name for path in seen} <= shown
    assert all(path in seen for path in ("/etc/ssl/certs", "/etc/pki/ca-trust") if Path(path).exists())


def test_no_process_inside_shows_where_things_lie_outside_nor_holds_a_file_of_ours(sandbox: SandboxSettings) -> None:
    code = """
found = []
for pid in filter(str.isdecimal, os.listdir("/proc")):
    found.append(open(f"/proc/{pid}/cmdline").read())
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except FileNotFoundError:
            pass
"""
    found = found_inside(sandbox, code)
    assert not [text for text in found if "memfd" in text or text.startswith(sandbox.jobs) or "--tmpfs" in text]


def test_nothing_that_runs_with_its_owners_rights_is_left_in_a_mount(jobs: Path, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    code = f"""
found = []
os.umask(0)
for name, make in {{
    "chmod": lambda path: os.chmod(path, 0o4755),
    "fchmod": lambda path: os.chmod(os.open(path, os.O_RDONLY), 0o2755),
    "fchmodat": lambda path: os.chmod(path, 0o4755, dir_fd=os.open("/", os.O_RDONLY)),
    "open": lambda path: os.open(path + "2", os.O_CREAT | os.O_WRONLY, 0o4755),
    "mknod": lambda path: os.mknod(path + "3", 0o104755),
}}.items():
    path = f"{mount}/{{name}}"
    open(path, "w").close()
    os.chmod(path, 0o755)
    try:
        make(path)
        found.append(name)
    except PermissionError:
        pass
"""
    assert found_inside(sandbox_for(jobs, writable=(mount,)), code) == []
    assert {path.stat().st_mode & 0o7777 for path in mount.iterdir()} == {0o755}
    assert len(list(mount.iterdir())) == 5


@pytest.mark.parametrize(("machine", "mark"), [("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)])
def test_calls_are_refused_by_their_numbers_and_no_other(
    machine: str, mark: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    known = calls._KNOWN[machine]
    refused = {number for number in range(600) if answered(mark, number) == "no such call"}
    assert refused == set(known.unknown)
    assert {answered(mark, number) for number in set(range(600)) - refused} == {"allowed"}
    for number, place in known.modes.items():
        assert answered(mark, number, {place: 0o755}) == "allowed"
        assert {answered(mark, number, {place: mode}) for mode in (0o4755, 0o2755)} == {"forbidden"}
    for number, place in known.splits.items():
        assert answered(mark, number, {place: 0x3D0F00}) == "allowed"
        assert answered(mark, number, {place: 0x10000000}) == "forbidden"
    for number, place in known.opens.items():
        assert answered(mark, number, {place - 1: os.O_CREAT, place: 0o4644}) == "forbidden"
        assert answered(mark, number, {place - 1: os.O_CREAT, place: 0o644}) == "allowed"
        # of an open that makes nothing, what stands there is no mode
        assert answered(mark, number, {place - 1: os.O_RDONLY, place: 0o7777}) == "allowed"


def test_calls_are_refused_as_32_bit_programs_make_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert (answered(0xC000003E, 0x40000000 | 250), answered(0x40000003, 288)) == ("no such call", "no such call")


def answered(architecture: int, number: int, arguments: dict[int, int] | None = None) -> str:
    """What the filter makes of a call, run as the kernel runs it."""
    program = calls.refused_calls()
    assert program is not None
    lines = list(struct.iter_unpack("=HBBI", program))
    given = {0: number, 4: architecture} | {16 + 8 * place: value for place, value in (arguments or {}).items()}
    at, value = 0, 0
    while True:
        code, yes, no, constant = lines[at]
        at += 1
        if code == 0x06:
            return {0x7FFF0000: "allowed", 0x50000 | errno.ENOSYS: "no such call"}.get(constant, "forbidden")
        if code == 0x20:
            value = given.get(constant, 0)
        else:
            holds = {0x15: value == constant, 0x35: value >= constant, 0x45: bool(value & constant)}[code]
            at += yes if holds else no
