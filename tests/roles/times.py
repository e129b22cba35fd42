"""Times that are short enough for tests, and long enough for a machine that is busy with others."""

import os

from sleap_rtc.config.timeouts import Timeouts

PATIENT = "SLEAP_RTC_TEST_PATIENT"
"""Set where a slow engine may be silent for longer, on a busy machine: that is no cut, and a cut is to be counted."""
TIMEOUTS = Timeouts(
    keepalive=0.2,
    dead=6.0 if PATIENT in os.environ else 1.5,
    reconnect_first=0.05,
    reconnect_most=0.5,
    bye=0.5,
    report=0.1,
)
