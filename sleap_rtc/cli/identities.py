"""What ``sleap-rtc whoami`` finds out: who one is at which service, and on which devices."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sleap_rtc.cli.logging_out import device_name
from sleap_rtc.cli.times import format_date, format_time
from sleap_rtc.config.credentials import Credentials, Login
from sleap_rtc.errors import AuthenticationError, SleapRTCError
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import LoginInfo, ServiceAPI


@dataclass(frozen=True)
class Identity:
    """Who is logged in at a service.

    Attributes:
        state: ``good``, ``ended``, or ``unknown`` where the service cannot be asked.
        problem: why it is not good; empty if it is.
    """

    server: str
    user: str
    name: str
    state: str
    problem: str = ""

    def as_json(self) -> dict[str, object]:
        """What a script gets."""
        return asdict(self)


async def ask_everywhere() -> list[Identity]:
    """Ask every service that this machine is logged in to, all at once."""
    known = await asyncio.to_thread(Credentials().logins)
    return list(await asyncio.gather(*(_ask(server, known[server]) for server in sorted(known))))


async def _ask(server: str, login: Login) -> Identity:
    try:
        me = await ServiceAPI(server, Account(server)).me()
    except AuthenticationError as error:
        return Identity(server, login.user_id, login.name, "ended", error.sentence)
    except SleapRTCError as error:
        return Identity(server, login.user_id, login.name, "unknown", error.sentence)
    return Identity(server, me.user_id, me.name, "good")


def identity_rows(found: Sequence[Identity]) -> list[tuple[str, str, str]]:
    """The rows of a table of services."""
    return [(each.server, each.name, each.problem or each.state) for each in found]


def device_rows(logins: Sequence[LoginInfo]) -> list[tuple[str, ...]]:
    """The rows of a table of devices; a star stands before this one."""
    return [
        (
            "*" if each.current else "",
            device_name(each),
            each.kind,
            each.address,
            format_date(each.created_at),
            format_time(each.last_used_at),
            format_date(each.expires_at),
            each.login_id,
        )
        for each in logins
    ]
