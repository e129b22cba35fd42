"""This machine's clock. Whether something has expired is the service's to say; here it serves texts and journals."""

import time


def utc_ms() -> int:
    """The time, in UTC milliseconds."""
    return time.time_ns() // 1_000_000
