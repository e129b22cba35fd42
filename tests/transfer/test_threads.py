"""Work in threads, and whoever is cancelled while it runs."""

import asyncio
import threading

import pytest

from sleap_rtc.config.finishing import to_the_end
from sleap_rtc.transfer.threads import Stopped, held, in_thread, stoppable


async def test_what_is_made_for_somebody_who_is_cancelled_is_released() -> None:
    go = threading.Event()
    released: list[str] = []

    def make() -> str:
        assert go.wait(10)
        return "thing"

    async def use() -> None:
        async with held(make, released.append):
            raise AssertionError("it was cancelled before")

    using = asyncio.ensure_future(use())
    await asyncio.sleep(0.01)
    using.cancel()
    await asyncio.sleep(0.01)
    using.cancel()  # again, while it waits for the thread
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert released == ["thing"]


async def test_releasing_is_not_interrupted() -> None:
    go, entered, released = threading.Event(), asyncio.Event(), []

    def release(thing: str) -> None:
        assert go.wait(10)
        released.append(thing)

    async def use() -> None:
        async with held(lambda: "thing", release):
            entered.set()
            await asyncio.Event().wait()

    using = asyncio.ensure_future(use())
    await entered.wait()
    for _ in range(3):
        using.cancel()
        await asyncio.sleep(0.01)
    assert not using.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert released == ["thing"]


async def test_an_error_in_making_is_the_callers() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with held(fail, print):
            raise AssertionError


async def test_results_and_errors_come_back() -> None:
    assert await to_the_end(in_thread(lambda: 5)) == 5
    with pytest.raises(ValueError, match="invalid literal"):
        await in_thread(int, "x")


async def test_much_that_takes_long_holds_up_nothing_else_and_what_nobody_wants_never_begins() -> None:
    begun = 0
    counting = threading.Lock()
    four = threading.Event()

    def work(stopped: threading.Event) -> None:
        nonlocal begun
        with counting:
            begun += 1
            if begun == 4:
                four.set()
        assert stopped.wait(60)
        raise Stopped

    working = [asyncio.create_task(stoppable(work)) for _ in range(30)]
    assert await in_thread(four.wait, 60)
    assert await asyncio.to_thread(lambda: "as always") == await in_thread(lambda: "as always")
    for each in reversed(working):
        each.cancel()
    assert all(
        isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*working, return_exceptions=True)
    )
    assert begun == 4


async def test_what_is_done_in_time_is_the_callers() -> None:
    assert await stoppable(lambda stopped: stopped.is_set()) is False
    with pytest.raises(ValueError, match="no"):
        await stoppable(lambda stopped: (_ for _ in ()).throw(ValueError("no")))
