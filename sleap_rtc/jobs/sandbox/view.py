"""What can be seen from inside a sandbox, as arguments for bubblewrap.

Nothing is there unless it is listed here: the system's programs and libraries, this Python with its packages, a few
files of ``/etc`` that hold no secret, the mounts, GPUs where there are any. A folder hides what is above it, so
everything is put in place in the order of its depth.
"""

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from .devices import gpu_files
from .settings import SandboxSettings

STAGE = "/run/sleap-rtc"
"""Where the folder of jobs waits until it is known which job this is for: below, read-only and writable."""
HOME = "/tmp/runner"  # noqa: S108 - of the sandbox's own file system, which nobody else sees
"""Home and working directory before there is a job."""
OWN = (STAGE, HOME, "/proc/self", "/dev/null", "/etc/passwd")
"""What every sandbox has of its own, at least one in each of its folders."""

_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store",
    "/sys/bus", "/sys/class", "/sys/devices", "/sys/module",
)  # fmt: skip
# not what is around them: the machine's private keys lie beside, and root reads them without a capability
_CERTIFICATES = (
    "ssl/certs", "ssl/cert.pem", "ssl/openssl.cnf", "pki/tls/certs", "pki/tls/cert.pem", "pki/tls/openssl.cnf",
    "pki/ca-trust",
)  # fmt: skip
_ETC = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "nsswitch.conf", "passwd", "group",
    "hosts", "host.conf", "protocols", "services", *_CERTIFICATES, "ca-certificates", "crypto-policies", "fonts",
    "OpenCL", "vulkan", "nvidia", "nvidia-container-runtime",
)  # fmt: skip
_NETWORK = ("/etc/resolv.conf", "/run/systemd/resolve")
_LIBRARIES = ("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "PYTHONPATH")
_PACKAGES = ("sleap_rtc", "sleap_nn", "sleap_io")
_SMALL, _SHARED = 64 * 1024**2, 0.5
"""Bytes of ``/tmp``, and of what hides a private folder; and what share of the machine's memory data loading processes
may pass between them."""

Placed = tuple[str, list[str]]


def view(settings: SandboxSettings, *, network: bool = False) -> list[str]:
    """The arguments that build what is seen from inside before a job is known.

    Args:
        settings: what the sandbox is made of.
        network: whether the job may reach the network.
    """
    return _arguments([*_readable(settings, network=network), *_own(), *_stage(settings), *_devices()])


def view_of(folder: str, settings: SandboxSettings) -> list[str]:
    """The arguments for a program that gets no job: it sees a folder, and nothing at all can be written.

    Args:
        folder: what is seen where the folder of jobs is outside, as it is at each moment.
        settings: what the sandbox is made of.
    """
    settings = replace(settings, readable=(*settings.readable, *settings.writable), writable=())
    placed = [*_readable(settings, network=False), *_own(), (settings.jobs, ["--ro-bind", folder, settings.jobs])]
    kept_in_memory = [path for path, words in placed if "--tmpfs" in words]
    return _arguments(placed) + [word for path in kept_in_memory for word in ("--remount-ro", path)]


def _arguments(placed: list[Placed]) -> list[str]:
    # a stable sort: of what lies at one place, the later one is seen
    placed.sort(key=lambda entry: len(Path(entry[0]).parts))
    return [word for _, words in placed for word in words] + ["--remount-ro", "/dev", "--remount-ro", "/"]


def conflict(settings: SandboxSettings) -> str | None:
    """Why a sandbox would show what is private, as the end of a sentence; None if it does not."""
    for path in settings.private:
        if path in shown(settings):
            return f"the Python environment or a mount is '{path}' itself, where keys are kept"
    return None


def shown(settings: SandboxSettings) -> list[str]:
    """What of this machine is seen from inside, whole folders by their names."""
    return [*_SYSTEM, *_python(), *settings.readable, *settings.writable]


def _readable(settings: SandboxSettings, *, network: bool) -> Iterator[Placed]:
    for path in _SYSTEM:
        if Path(path).is_symlink():
            yield path, ["--symlink", str(Path(path).readlink()), path]
        elif Path(path).exists():
            yield path, ["--ro-bind", path, path]
    for path in (*(f"/etc/{name}" for name in _ETC), *(_NETWORK if network else ())):
        yield path, ["--ro-bind-try", path, path]
    for path in settings.private:
        if any(Path(path).is_relative_to(above) for above in shown(settings)):
            yield path, ["--size", str(_SMALL), "--tmpfs", path]
    for path in _python():
        yield path, ["--ro-bind", path, path]
    for path in settings.readable:
        yield path, ["--ro-bind", path, path]
    for path in settings.writable:
        yield path, ["--bind", path, path]


def _own() -> Iterator[Placed]:
    shared = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * _SHARED)
    yield "/proc", ["--proc", "/proc"]
    for path in _settings_of_the_kernel():
        yield path, ["--ro-bind", path, path]
    yield "/dev", ["--dev", "/dev"]
    yield "/dev/shm", ["--size", str(shared), "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108
    yield "/tmp", ["--size", str(_SMALL), "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108
    yield HOME, ["--dir", HOME]


def _settings_of_the_kernel() -> Iterator[str]:
    """What in ``/proc`` is no process, and root could write to even without a capability: it sets the whole machine."""
    if os.geteuid() != 0:
        return
    for path in sorted(Path("/proc").iterdir()):
        if path.name.isdecimal() or path.is_symlink():
            continue
        if path.is_dir() or path.stat().st_mode & 0o222:
            yield str(path)


def _stage(settings: SandboxSettings) -> Iterator[Placed]:
    yield settings.jobs, ["--size", str(_SMALL), "--tmpfs", settings.jobs]
    yield f"{STAGE}/read", ["--ro-bind", settings.jobs, f"{STAGE}/read"]
    yield f"{STAGE}/write", ["--bind", settings.jobs, f"{STAGE}/write"]


def _devices() -> Iterator[Placed]:
    for path in gpu_files():
        yield path, ["--dev-bind", path, path]


def _python() -> list[str]:
    """This interpreter's installation and packages, under each of the names by which they are found."""
    named = [sys.prefix, sys.base_prefix, sys.exec_prefix, *_hops(Path(sys.executable))]
    for package in _PACKAGES:
        # one that is installed to be edited lies outside of the environment
        found = importlib.util.find_spec(package)
        named += list(found.submodule_search_locations or ()) if found else []
    for variable in _LIBRARIES:
        named += os.environ.get(variable, "").split(os.pathsep)
    return list(_distinct(path for path in named if path.startswith("/") and Path(path).exists()))


def _hops(path: Path) -> Iterator[str]:
    """The links that lead to a file, one after another, and the file."""
    for _ in range(16):
        yield str(path)
        if not path.is_symlink():
            return
        path = Path(os.path.normpath(path.parent / path.readlink()))


def _distinct(paths: Iterable[str]) -> Iterator[str]:
    """Each path and what it really is, but for those that are seen already because a folder above them is."""
    real = dict.fromkeys(each for path in paths for each in (path.rstrip("/"), str(Path(path).resolve())))
    folders = [path for path in real if Path(path).is_dir()]
    system = [path for path in _SYSTEM if Path(path).is_dir() and not Path(path).is_symlink()]
    for path in real:
        if path and not any(path != above and Path(path).is_relative_to(above) for above in (*folders, *system)):
            yield path
