"""Times that are short enough for tests, and long enough for a machine that is busy with others."""

from sleap_rtc.config.timeouts import Timeouts

TIMEOUTS = Timeouts(keepalive=0.2, dead=1.5, reconnect_first=0.05, reconnect_most=0.5, bye=0.5)
