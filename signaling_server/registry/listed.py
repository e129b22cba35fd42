"""What all lists of this slice share: how a page says where the next one begins."""

from sleap_rtc.errors import UsageError

LONGEST_TIME = 16
"""Digits of a time, in UTC milliseconds."""


def place_of(created_at: int, key: str) -> str:
    """Where a list goes on after the row of this time and key."""
    return f"{created_at}:{key}"


def read_place(text: str) -> tuple[int, str]:
    """What `place_of` wrote.

    Raises:
        UsageError: if that is no place in a list.
    """
    created, colon, key = text.partition(":")
    good = colon and created.isascii() and created.isdigit() and len(created) <= LONGEST_TIME
    if not good or not text.isprintable():
        raise UsageError("A list goes on where its last page said: take 'next' of that answer as 'before'.")
    return int(created), key
