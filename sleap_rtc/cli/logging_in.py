"""What ``sleap-rtc login`` does: a code to type in a browser, or a name where that is the one way in."""

import getpass
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from sleap_rtc.cli.asking import can_ask, read_line
from sleap_rtc.cli.formats import count
from sleap_rtc.cli.output import note, waiting
from sleap_rtc.config.clock import utc_ms
from sleap_rtc.config.credentials import Credentials
from sleap_rtc.errors import ForbiddenError, ProtocolError, SleapRTCError, UsageError
from sleap_rtc.signaling.account import Account, login_of
from sleap_rtc.signaling.address import service_address
from sleap_rtc.signaling.api import AccessGrant, DeviceLogin, ServiceAPI

MACHINE = 128
"""The longest name of a machine that a service shows."""
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
_FROM_AFAR = ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT")


@dataclass(frozen=True)
class LoginRequest:
    """What the user asks for.

    Attributes:
        server: the service.
        name: under which name, for a login by name alone; None for the way that the service offers.
        open_browser: whether to open a browser where there is one to be seen.
    """

    server: str
    name: str | None
    open_browser: bool = True


async def log_in(request: LoginRequest) -> AccessGrant:
    """Log in, and keep the login for the service.

    Raises:
        AuthenticationError: if the login was refused, or nobody typed the code in time.
        ForbiddenError: if the service has no way to log in.
        UsageError: if the service is reached without encryption, or wants a name that is not given.
        UnreachableError: if the service cannot be reached.
    """
    api = ServiceAPI(request.server)
    # made now, so that a damaged file is found before the user has typed anything
    credentials = Credentials()
    before = credentials.login(request.server)
    name = request.name
    if name is None:
        methods = await api.login_methods()
        if methods.none:
            raise ForbiddenError(
                f"Nobody can log in to {request.server}: its operator has set no way to. Session strings work without."
            )
        if methods.by_name_only:
            name = await _ask_name(request.server)
    asked_at = utc_ms()
    if name is not None:
        grant = await api.login_dev(name, this_machine())
    else:
        grant = await _by_code(api, request)
        asked_at = utc_ms()
    credentials.keep_login(request.server, login_of(grant, asked_at))
    if before is not None and before.user_id == grant.user_id and before.login_id:
        with suppress(SleapRTCError):  # it may have ended long ago
            await ServiceAPI(request.server, Account(request.server)).end_login(before.login_id)
    return grant


async def _by_code(api: ServiceAPI, request: LoginRequest) -> AccessGrant:
    begun = await api.begin_login(this_machine())
    _check_page(begun)
    note("Open this page in any browser, on this machine or another one, and type the code:")
    note()
    note(f"  {begun.verification_uri}")
    note(f"  {begun.user_code}")
    note()
    if request.open_browser and browser_is_seen(os.environ):
        _open(begun.verification_uri)
    with waiting(f"Waiting for you there; the code is good for {count(max(1, begun.expires_in // 60), 'minute')}"):
        return await api.wait_to_be_let_in(begun)


def _check_page(begun: DeviceLogin) -> None:
    # the service chose it: a browser opens what it is given, and people type their passwords there
    try:
        private = service_address(begun.verification_uri).private
    except UsageError:
        private = False
    if not private:
        raise ProtocolError(
            "The service names a page for logging in that is no https address, so it is not shown. "
            "Its operator sets it as public_url."
        )


def browser_is_seen(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether a browser that this command opens appears before the user's eyes.

    Args:
        environ: the environment.
        platform: `sys.platform`.
    """
    if any(environ.get(name) for name in _FROM_AFAR) or not can_ask():
        return False
    return platform in ("win32", "darwin") or any(environ.get(name) for name in _DISPLAYS)


def _open(url: str) -> None:
    # some browsers keep who opened them waiting until they are closed
    threading.Thread(target=_try_to_open, args=(url,), daemon=True, name="browser").start()


def _try_to_open(url: str) -> None:
    with suppress(webbrowser.Error, OSError):  # the address is on the screen
        webbrowser.open(url)


async def _ask_name(server: str) -> str:
    default = _user_name()
    if not can_ask():
        if default is None:
            raise UsageError("This machine does not say who you are. Add --name.")
        return default
    note(f"Your name at {server}{f' (Enter takes {default})' if default else ''}:")
    typed = await read_line()
    name = (typed or "").strip() or default
    if typed is None or not name:
        raise UsageError("No name was given. Type the command again, or add --name.")
    return name


def this_machine() -> str:
    """What this machine is called, for lists of logins."""
    return socket.gethostname()[:MACHINE]


def _user_name() -> str | None:
    try:
        return getpass.getuser() or None
    except (KeyError, OSError, ImportError):  # a container whose user has no name
        return None
