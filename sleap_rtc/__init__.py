"""Train and run SLEAP models on any GPU you may use, peer to peer over WebRTC.

The names below are the public Python API; each is imported when it is first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sleap_rtc.client.client import Client, join_session
    from sleap_rtc.client.package import Package, open_package
    from sleap_rtc.client.remote import RemoteWorker
    from sleap_rtc.client.remote_job import RemoteJob

__version__ = "0.1.0"
__all__ = ["Client", "Package", "RemoteJob", "RemoteWorker", "__version__", "join_session", "open_package"]

_HOMES = {
    "Client": "sleap_rtc.client.client",
    "join_session": "sleap_rtc.client.client",
    "Package": "sleap_rtc.client.package",
    "open_package": "sleap_rtc.client.package",
    "RemoteJob": "sleap_rtc.client.remote_job",
    "RemoteWorker": "sleap_rtc.client.remote",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'sleap_rtc' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
