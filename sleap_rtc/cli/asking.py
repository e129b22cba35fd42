"""Asking the user one thing while everything else goes on."""

import asyncio
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

import click

from sleap_rtc.cli.output import note
from sleap_rtc.cli.running import beside


def can_ask() -> bool:
    """Whether there is somebody at a terminal to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> None:
    """Ask before something that cannot be undone.

    Raises:
        UsageError: if there is no terminal to ask on.
        Abort: if the answer is no.
    """
    if not can_ask():
        raise click.UsageError("There is no terminal to ask on. Add --yes.")
    click.confirm(question, abort=True, err=True)


async def ask(question: str, answers: Mapping[str, str], *, default: str, interrupted: "asyncio.Queue[int]") -> str:
    """Ask on the terminal; a job that is being watched is watched on meanwhile.

    Args:
        question: what to ask.
        answers: what each letter means.
        default: the letter taken for an empty line, for another Ctrl-C, and where there is nobody to ask.
        interrupted: where Ctrl-C arrives.

    Returns:
        One of the letters.
    """
    if not can_ask():
        return default
    note(question)
    for letter, meaning in answers.items():
        note(f"  {letter}  {meaning}{' (Enter)' if letter == default else ''}")
    while True:
        async with beside(read_line()) as line, beside(interrupted.get()) as pressed:
            either: set[asyncio.Future[Any]] = {line, pressed}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            typed = (line.result() or "") if line.done() else ""
        letter = typed.strip().lower()[:1] or default
        if letter in answers:
            return letter
        note(f"Type one of {', '.join(answers)}.")


async def read_line() -> str | None:
    """Read a line from the terminal; None when the terminal is gone. Being cancelled leaves nothing waiting."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str | None] = loop.create_future()

    def deliver(text: str | None) -> None:
        if not line.done():
            line.set_result(text)

    def read() -> None:
        # not sys.stdin: its lock, held by a thread that waits for ever, would keep the interpreter from ending
        try:
            data = os.read(0, 1024)
        except OSError:
            data = b""
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, data.decode("utf-8", "replace") if data else None)

    threading.Thread(target=read, daemon=True, name="question").start()
    return await line
