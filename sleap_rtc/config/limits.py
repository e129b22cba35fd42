"""What a transfer may use: connections and disk."""

from dataclasses import dataclass

MOST_LANES = 16
"""Connections beyond which nothing was gained on any path that was measured."""


@dataclass(frozen=True)
class TransferLimits:
    """What a transfer may use.

    Attributes:
        max_lanes: most connections that what is received may come over.
        max_store: most bytes that the store keeps; None for a tenth of its disk.
    """

    max_lanes: int = MOST_LANES
    max_store: int | None = None
