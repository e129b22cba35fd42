"""What a bad network does to datagrams, as arithmetic: no sockets, no clock."""

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

DIRECTIONS = ("up", "down")
HEADERS = 28
"""Bytes that IPv4 and UDP add to a datagram, and that take their time on a narrow link."""


@dataclass(frozen=True)
class Network:
    """What happens to datagrams on their way.

    Attributes:
        delay: seconds each of them is under way, after the bottleneck.
        loss: the share of them that is lost, at random.
        rate: bits a second that the bottleneck lets through, headers included; None for no bottleneck.
        queue: bytes that may wait before the bottleneck; a datagram that finds it full is dropped.
        blocked: everything is dropped.
    """

    delay: float = 0.0
    loss: float = 0.0
    rate: float | None = None
    queue: int = 256 * 1024
    blocked: bool = False


class Wire:
    """One direction of a network.

    Args:
        network: what it does to datagrams.
        seed: the same seed loses the same ones.
    """

    def __init__(self, network: Network, seed: str) -> None:
        self.datagrams = 0
        self.bytes = 0
        self.dropped: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._free_at = -math.inf
        self._network = network
        self._until_loss = self._draw()

    def change(self, changes: Mapping[str, object]) -> None:
        """Change settings of the network by name.

        Raises:
            TypeError: if it has no such setting.
        """
        self._network = replace(self._network, **changes)  # type: ignore[arg-type]
        self._until_loss = self._draw()

    def counters(self) -> dict[str, int]:
        """Datagrams and bytes passed, and datagrams dropped with the reason."""
        reasons = {f"dropped_{reason}": count for reason, count in self.dropped.items()}
        return {"datagrams": self.datagrams, "bytes": self.bytes, "dropped": self.dropped.total()} | reasons

    def admit(self, now: float, packets: list[bytes]) -> list[tuple[float, list[bytes]]]:
        """Decide about datagrams that arrive together.

        Args:
            now: seconds on a clock that never goes back.
            packets: the datagrams, in order.

        Returns:
            Those that pass, each group with the time at which it comes out.
        """
        network = self._network
        if network.blocked:
            self.dropped["blocked"] += len(packets)
            return []
        if network.loss > 0:
            packets = self._survivors(packets)
        if network.rate is not None:
            return self._through_bottleneck(now, packets, network.rate / 8)
        return [(now + network.delay, packets)] if packets else []

    def _survivors(self, packets: list[bytes]) -> list[bytes]:
        # the distance to the next loss is drawn instead of the fate of every datagram
        kept: list[bytes] = []
        at = 0
        while len(packets) - at > self._until_loss:
            kept += packets[at : at + self._until_loss]
            at += self._until_loss + 1
            self.dropped["lost"] += 1
            self._until_loss = self._draw()
        self._until_loss -= len(packets) - at
        return kept + packets[at:] if at else packets

    def _draw(self) -> int:
        loss = self._network.loss
        if not 0 < loss < 1:
            return 0  # all of them, or never asked
        return int(math.log(1 - self._random.random()) / math.log1p(-loss))

    def _through_bottleneck(
        self, now: float, packets: list[bytes], bytes_a_second: float
    ) -> list[tuple[float, list[bytes]]]:
        passing = []
        for packet in packets:
            size = len(packet) + HEADERS
            starts = max(now, self._free_at)
            if (starts - now) * bytes_a_second + size > self._network.queue:
                self.dropped["queue"] += 1
                continue
            self._free_at = starts + size / bytes_a_second
            passing.append((self._free_at + self._network.delay, [packet]))
        return passing
