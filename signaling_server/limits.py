"""Counting what strangers do: the clock is an argument.

`Window` is what the service counts in; `WindowLimiter` serves one process. One in Redis counts for several.
"""

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol, Self

from signaling_server.lifetimes import HOUR_MS, MINUTE_MS
from signaling_server.settings import Settings
from sleap_rtc.errors import AuthenticationError, BusyError, NotFoundError, SleapRTCError

# what one customer has to choose from: single addresses would be no limit
_IPV6_LOW_BITS = 64


def limit_key(address: str) -> str:
    """By what the limits for one address count `address`: IPv6 by its /64, IPv4 within IPv6 as IPv4."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:  # a socket file, or unknown
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> _IPV6_LOW_BITS << _IPV6_LOW_BITS)}/{_IPV6_LOW_BITS}"


class TokenBucket:
    """Lets a burst through at once and then a steady rate.

    Args:
        rate: messages a second in the long run.
        burst: messages at once before that.
        now: the time it begins, in seconds.
    """

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = float(burst)
        self._then = now

    def take(self, now: float) -> float:
        """Count one message and return the seconds to wait before it is served."""
        self._level = min(self._burst, self._level + (now - self._then) * self._rate)
        self._then = now
        self._level -= 1
        return max(0.0, -self._level / self._rate)


class Window(Protocol):
    """Allows each key so many events within a window."""

    async def allow(self, key: str, now_ms: int) -> bool:
        """Count an event of `key` and tell whether it is within the limit."""

    async def give_back(self, key: str) -> None:
        """Take back the latest event of `key`: it does not count after all."""


class WindowLimiter:
    """The window of a service that is one process.

    Args:
        limit: events allowed within the window.
        window_ms: the window, in milliseconds.
        keys: keys remembered; at the bound the one quiet for longest is forgotten.
    """

    def __init__(self, limit: int, window_ms: int, keys: int) -> None:
        self._limit = limit
        self._window = window_ms
        self._keys = keys
        self._events: OrderedDict[str, deque[int]] = OrderedDict()

    async def allow(self, key: str, now_ms: int) -> bool:
        """See `Window.allow`."""
        events = self._events.setdefault(key, deque(maxlen=self._limit))
        self._events.move_to_end(key)
        if len(self._events) > self._keys:
            self._events.popitem(last=False)
        while events and events[0] <= now_ms - self._window:
            events.popleft()
        if len(events) == self._limit:
            return False
        events.append(now_ms)
        return True

    async def give_back(self, key: str) -> None:
        """See `Window.give_back`."""
        events = self._events.get(key)
        if events:
            events.pop()


class GuessLimiter:
    """Locks out who types wrong codes or passwords: a user sooner, an address later. What is right does not count.

    Args:
        by_user: wrong ones of one user, within ten minutes.
        by_address: wrong ones from one address, within an hour.
        what: what is typed, for the sentence.
        wrong: the error that says that it was wrong.
    """

    def __init__(
        self,
        by_user: Window,
        by_address: Window,
        what: str = "codes",
        wrong: type[SleapRTCError] = NotFoundError,
    ) -> None:
        self._by_user = by_user
        self._by_address = by_address
        self._what = what
        self._wrong = wrong

    @asynccontextmanager
    async def guess(self, user_id: str, address: str, now_ms: int) -> AsyncIterator[None]:
        """Let the body look a code up; it counts as wrong if the body raises the error that says so.

        It is counted before the body runs, so that many guesses at once are no way round.

        Args:
            user_id: who typed it.
            address: where from.
            now_ms: the time.

        Raises:
            BusyError: if there were too many wrong ones; the body does not run.
        """
        place = limit_key(address)
        if not await self._by_address.allow(place, now_ms):
            raise BusyError(f"Too many wrong {self._what} were typed at this address. Try again in an hour.")
        if not await self._by_user.allow(user_id, now_ms):
            await self._by_address.give_back(place)
            raise BusyError(f"Too many wrong {self._what} were typed. Try again in ten minutes.")
        wrong = False
        try:
            yield
        except self._wrong:
            wrong = True
            raise
        finally:
            if not wrong:
                await self._by_user.give_back(user_id)
                await self._by_address.give_back(place)


Shared = Callable[[str, int, int, Window], Window]
"""Makes a window of several processes: its name, its limit, its milliseconds, and what counts while it cannot."""


@dataclass(frozen=True)
class Limiters:
    """What a service counts within a time.

    Attributes:
        rooms: anonymous rooms by address.
        devices: device logins begun by address.
        visits: logins begun with a provider by address.
        codes: wrong codes, of devices and of invites, by user and address.
        passwords: wrong passwords by account and address.
    """

    rooms: Window
    devices: Window
    visits: Window
    codes: GuessLimiter
    passwords: GuessLimiter

    @classmethod
    def of(cls, settings: Settings, shared: Shared | None = None) -> Self:
        """Those of a service with these settings.

        Args:
            settings: how many of each.
            shared: makes a window that several processes count in; None: each counts for itself.
        """
        limits = settings.limits

        def counted(name: str, number: int, within_ms: int = HOUR_MS) -> Window:
            alone = WindowLimiter(number, within_ms, limits.addresses)
            return alone if shared is None else shared(name, number, within_ms, alone)

        return cls(
            rooms=counted("rooms", settings.anonymous_rooms_per_hour),
            devices=counted("devices", settings.device_codes_per_hour),
            visits=counted("visits", limits.provider_visits_per_address),
            codes=GuessLimiter(
                counted("codes-user", limits.wrong_codes_per_user, 10 * MINUTE_MS),
                counted("codes-address", limits.wrong_codes_per_address),
            ),
            passwords=GuessLimiter(
                counted("passwords-user", limits.wrong_passwords_per_account, 10 * MINUTE_MS),
                counted("passwords-address", limits.wrong_passwords_per_address),
                what="passwords",
                wrong=AuthenticationError,
            ),
        )
