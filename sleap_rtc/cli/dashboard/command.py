"""``sleap-rtc dashboard``."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import json_option, relay_option, server_option, settings_for
from sleap_rtc.errors import DependencyError

if TYPE_CHECKING:
    from sleap_rtc.cli.dashboard.guard import Address


@click.command(
    epilog="""\b
Examples:
  sleap-rtc dashboard
  sleap-rtc dashboard --server https://rtc.lab.example
  sleap-rtc dashboard --no-browser --port 8765
"""
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port of this machine to listen on; 0 takes a free one.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@server_option
@relay_option
@json_option
def dashboard(port: int, no_browser: bool, server: str | None, ice_policy: str | None, as_json: bool) -> None:
    """Show the dashboard on this machine, in a browser.

    It is the page that the service shows, but it comes from this machine, uses
    the login of this machine, and knows the secrets of its rooms: in the
    browser, rooms with a secret are used in this way only. Nobody else can
    open it. Ctrl-C ends it.
    """
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise DependencyError('The parts that serve a page are not installed. Run: pip install "sleap-rtc[server]"')
    from sleap_rtc.cli.dashboard.running import serve
    from sleap_rtc.cli.running import run_async

    def announce(address: "Address") -> None:
        _say_where(address.url, as_json=as_json)
        if not no_browser and not _open(address.new_door()):
            _say_how_from_afar(address.port)

    run_async(serve(settings_for(server=server, ice_policy=ice_policy), port, announce))


def _say_where(url: str, *, as_json: bool) -> None:
    from sleap_rtc.cli.output import emit_json, note, say

    if as_json:
        emit_json({"url": url})
        return
    say(f"The dashboard is at {url}")
    note("The address opens it with your login: keep it to yourself. Ctrl-C ends the dashboard.")


def _say_how_from_afar(port: int) -> None:
    from sleap_rtc.cli.output import note

    note(
        "There is no screen here to show it on. If you came by ssh, type this where you came from, then open it there:"
    )
    note(f"  ssh -N -L {port}:127.0.0.1:{port} HOST")


def _open(url: str) -> bool:
    import os
    import sys
    import threading
    import webbrowser

    # without a screen, browsers of the terminal would be started, which cannot show a page that is a program
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform not in ("win32", "darwin") and not any(map(os.environ.get, screens)):
        return False
    # some return when their browser has ended, which needs this program meanwhile
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
    return True
