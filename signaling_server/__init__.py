"""The signaling service: lets peers find each other, and never sees their data."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signaling_server.app import create_app
    from signaling_server.program import serve
    from signaling_server.server import running
    from signaling_server.settings import Settings
    from signaling_server.settings_reading import load_settings

__all__ = ["Settings", "create_app", "load_settings", "running", "serve"]

_HOMES = {
    "Settings": "settings",
    "create_app": "app",
    "load_settings": "settings_reading",
    "running": "server",
    "serve": "program",
}


def __getattr__(name: str) -> Any:
    # lazy, so that naming the package does not import FastAPI
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
