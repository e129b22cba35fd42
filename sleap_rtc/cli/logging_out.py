"""What ``sleap-rtc logout`` does: here, everywhere, or at one other machine."""

from sleap_rtc.cli.output import warn
from sleap_rtc.config.credentials import Credentials
from sleap_rtc.errors import AuthenticationError, NotFoundError, SleapRTCError, UsageError
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import LoginInfo, ServiceAPI


async def log_out(server: str, *, everywhere: bool) -> str:
    """End the login of this machine, and with `everywhere` all others of the user.

    Args:
        server: the service.
        everywhere: whether to end the others as well; then a service out of reach is an error.

    Returns:
        What was done, as a sentence.

    Raises:
        SleapRTCError: with `everywhere`, if the service could not be told.
    """
    credentials = Credentials()
    known = credentials.login(server)
    if known is None:
        return f"Nobody is logged in to {server}."
    api = ServiceAPI(server, Account(server))
    if everywhere:
        await api.end_logins()
        credentials.forget_login(server)
        return f"{known.name} is logged out of {server} everywhere."
    try:
        await api.logout()
    except AuthenticationError:
        pass  # it has ended already
    except SleapRTCError as error:
        warn(f"{error.sentence} The login is removed from this machine; the service still knows it until it expires.")
    credentials.forget_login(server)
    return f"{known.name} is logged out of {server}."


async def end_device(server: str, text: str) -> str:
    """End the login of another machine.

    Args:
        server: the service.
        text: the id of the login, or its beginning.

    Returns:
        What was done, as a sentence.

    Raises:
        NotFoundError: if the user has no such login.
        UsageError: if several begin like that.
        AuthenticationError: if nobody is logged in here.
    """
    api = ServiceAPI(server, Account(server))
    meant = _meant(await api.logins(), text.strip())
    await api.end_login(meant.login_id)
    if meant.current:
        Credentials().forget_login(server)
    return f"The login of {device_name(meant)} is ended; its connections are closed."


def _meant(logins: list[LoginInfo], text: str) -> LoginInfo:
    found = [each for each in logins if text and each.login_id.startswith(text)]
    if len(found) > 1:
        raise UsageError(f"Several of your logins begin with '{text}'. Give more of the id.")
    if not found:
        raise NotFoundError(f"You have no login '{text}'. Your logins: sleap-rtc whoami --devices")
    return found[0]


def device_name(login: LoginInfo) -> str:
    """What a list calls a login's device."""
    return login.device or ("a browser" if login.kind == "browser" else "a machine without a name")
