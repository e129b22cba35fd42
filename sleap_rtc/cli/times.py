"""Times as people read them. What the service says is in UTC milliseconds; None stands for never."""

from datetime import UTC, datetime

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


def format_time(milliseconds: int | None, never: str = "never") -> str:
    """Say a moment in this machine's time zone: ``2026-07-31 14:05``."""
    if milliseconds is None:
        return never
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):  # a time that no calendar has
        return "?"


def format_date(milliseconds: int | None) -> str:
    """Say a day: ``2026-07-31``."""
    return format_time(milliseconds).partition(" ")[0]


def format_expiry(milliseconds: int | None, now: int) -> str:
    """Say when something ends, as the end of a sentence: ``it expires 2026-07-31 14:05, in 7 days``."""
    if milliseconds is None:
        return "it never expires"
    left = milliseconds - now
    if left <= 0:
        return f"it expired {format_time(milliseconds)}"
    days, hours = round(left / DAY_MS), round(left / HOUR_MS)
    if hours >= 48:
        span = f"{days} days"
    elif hours >= 1:
        span = f"{hours} hours"
    else:
        span = "less than an hour"
    return f"it expires {format_time(milliseconds)}, in {span}"
