"""What one process of the service counts since its start, by the names under which ``/metrics`` tells it."""

import os
import time
from collections import Counter
from pathlib import Path

OFFERS = "sleap_rtc_offers_routed_total"
RELAYED = "sleap_rtc_messages_relayed_total"
REFUSED = "sleap_rtc_handshakes_refused_total"
CLOSES = "sleap_rtc_websocket_closes_total"
DATABASE_ERRORS = "sleap_rtc_database_errors_total"
_STATM = Path("/proc/self/statm")


class Counts(Counter[str]):
    """Numbers that only grow, by name and labels.

    Attributes:
        started_at: when this process began to count, in UTC seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.started_at = time.time()

    def add(self, name: str, **labels: object) -> None:
        """Count one more."""
        said = ",".join(f'{label}="{value}"' for label, value in labels.items())
        self[f"{name}{{{said}}}" if said else name] += 1


def memory() -> int:
    """The memory that this process has in use, in bytes; 0 where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
