"""What a worker says about itself."""

import socket
from collections.abc import Sequence
from importlib import metadata

from sleap_rtc.jobs.gpus import Gpu
from sleap_rtc.protocol.signaling import GpuInfo, WorkerInfo


def sleap_nn_version() -> str | None:
    """The installed sleap-nn's version, read from its metadata: importing it would take seconds. None without one."""
    try:
        return metadata.version("sleap-nn")
    except metadata.PackageNotFoundError:
        return None


def describe(name: str, gpus: Sequence[Gpu], *, slots: int, busy: int, queued: int, engine: str) -> WorkerInfo:
    """Put together what other peers are told."""
    return WorkerInfo(
        name=name,
        hostname=socket.gethostname()[:128],
        version=metadata.version("sleap-rtc"),
        gpus=[GpuInfo(name=gpu.name, memory_mb=gpu.memory_mb, uuid=gpu.uuid) for gpu in gpus],
        slots=slots,
        busy=busy,
        queued=queued,
        sleap_nn=sleap_nn_version(),
        engine=engine,
    )
