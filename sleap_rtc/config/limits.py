"""What transfers and jobs may use: connections and disk."""

from dataclasses import dataclass

MOST_LANES = 16
"""Connections beyond which nothing was gained on any path that was measured."""
DEFAULT_JOB_BYTES = 100 * 10**9
"""Bytes that a job may write on a worker: far beyond any training, and less than most disks."""


@dataclass(frozen=True)
class TransferLimits:
    """What a transfer may use.

    Attributes:
        max_lanes: most connections that what is received may come over.
        max_store: most bytes that the store keeps; None for a tenth of its disk.
        relay_only: whether connections may go through relays alone.
    """

    max_lanes: int = MOST_LANES
    max_store: int | None = None
    relay_only: bool = False
