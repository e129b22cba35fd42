"""A UDP proxy that is a bad network: delay, loss, rate, a drop-tail queue and partitions, in a process of its own.

``python -m tests.bench.udp_proxy --delay 0.01 --loss 0.001`` prints the address of its control socket and runs until
its stdin ends. A control connection takes one JSON object a line, and answers each with one (`proxy_control` is the
other end):

- ``{"open": ["127.0.0.1", 40000]}`` → ``{"port": 50000}``: whatever is sent to that port reaches the address, each
  client from a port of its own, and the way back likewise;
- ``{"set": {"delay": 0.05, "blocked": true}, "direction": "up"}`` → ``{}``: ``up`` is towards the address, ``down``
  away from it, without a direction it is both;
- ``{"cut": 50000, "blocked": true}`` → ``{}``: everything through that port is dropped, both ways, or no longer;
- ``{"counters": true}`` → datagrams and bytes passed, and datagrams dropped, by direction and reason.

All flows share one bottleneck a direction, as the connections of one link do. Linux only: it sends trains of equal
datagrams with one call (UDP_SEGMENT), which is what makes it fast enough to stand between two fast engines.
"""

import argparse
import gc
import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from tests.bench.wire import DIRECTIONS, Network, Wire

LARGEST = 2048
"""Bytes of the largest datagram that passes whole; WebRTC's have at most 1,500."""
TRAIN = 48
"""Datagrams read from one socket before the next has its turn, and sent with one call."""
TRAIN_BYTES = 60_000
HELD_MOST = 64 * 1024 * 1024
"""Bytes that may be under way in one direction; what comes on top is dropped."""
CLIENTS_MOST = 256
NAP = 0.00025
"""Shortest sleep in seconds: datagrams that are due a moment later leave together."""
BUFFER = 8 * 1024 * 1024

_SOL_UDP, _UDP_SEGMENT, _SO_RCVBUFFORCE = 17, 103, 33
_LOOPBACK = "127.0.0.1"


class Lane:
    """One direction: what its wire let through, until it is due.

    Args:
        wire: decides what passes, and when.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.held: deque[tuple[float, socket.socket, list[bytes]]] = deque()
        self._held_bytes = 0

    def take(self, now: float, out: socket.socket, packets: list[bytes]) -> None:
        """Admit datagrams; without a delay they leave at once."""
        for due, passing in self.wire.admit(now, packets):
            if due <= now and not self.held:
                self._send(out, passing)
                continue
            size = sum(map(len, passing))
            if self._held_bytes + size > HELD_MOST:
                self.wire.dropped["overflow"] += len(passing)
                continue
            self._held_bytes += size
            self.held.append((due, out, passing))

    def flush(self, now: float) -> None:
        """Send what is due, in the order of its arrival."""
        held = self.held
        target: socket.socket | None = None
        batch: list[bytes] = []
        while held and held[0][0] <= now:
            _, out, packets = held.popleft()
            self._held_bytes -= sum(map(len, packets))
            if out is not target:
                if target is not None:
                    self._send(target, batch)
                target, batch = out, []
            batch += packets
        if target is not None:
            self._send(target, batch)

    def _send(self, out: socket.socket, packets: list[bytes]) -> None:
        at, count = 0, len(packets)
        while at < count:
            size = len(packets[at])
            most = min(count, at + max(1, min(TRAIN, TRAIN_BYTES // max(size, 1))))
            end = at + 1
            # a train is of equal datagrams, of which the last may be shorter
            while size and end < most and len(packets[end]) == size:
                end += 1
            if end < most and 0 < len(packets[end]) < size:
                end += 1
            self._send_train(out, packets[at:end], size)
            at = end

    def _send_train(self, out: socket.socket, packets: list[bytes], size: int) -> None:
        try:
            if len(packets) == 1:
                out.send(packets[0])
            else:
                out.sendmsg(packets, [(_SOL_UDP, _UDP_SEGMENT, struct.pack("H", size))])
        except OSError:
            # its receiver is gone, or the kernel's buffer full: a network drops what it cannot deliver
            self.wire.dropped["undelivered"] += len(packets)
        else:
            self.wire.datagrams += len(packets)
            self.wire.bytes += sum(map(len, packets))


class Proxy:
    """The sockets of all flows and of the control connections, served by one loop.

    Args:
        network: what both directions do to datagrams, until a control connection changes it.
        seed: the same seed loses the same datagrams.
    """

    def __init__(self, network: Network, seed: int) -> None:
        self._lanes = {name: Lane(Wire(network, f"{seed}-{name}")) for name in DIRECTIONS}
        self._poll = select.epoll()
        self._ready: dict[int, Callable[[], None]] = {}
        self._sockets: dict[int, socket.socket] = {}
        self._ended = False
        self._cut: set[int] = set()
        listener = socket.create_server((_LOOPBACK, 0))
        self.address = f"{_LOOPBACK}:{listener.getsockname()[1]}"
        self._watch(listener, partial(self._accept, listener))

    def run(self) -> None:
        """Serve until stdin ends."""
        with suppress(PermissionError):  # a file or the null device has no end to wait for
            self._register(sys.stdin.fileno(), self._read_stdin)
        gc.disable()  # nothing here makes cycles, and a collection is a pause of the network
        lanes, clock = tuple(self._lanes.values()), time.monotonic
        while not self._ended:
            now = clock()
            for lane in lanes:
                if lane.held:
                    lane.flush(now)
            dues = [lane.held[0][0] for lane in lanes if lane.held]
            if dues:
                # epoll sleeps whole milliseconds only
                select.select([self._poll], [], [], max(min(dues) - clock(), NAP))
            for number, _ in self._poll.poll(0 if dues else None):
                if ready := self._ready.get(number):
                    ready()

    # flows

    def open(self, host: str, port: int) -> int:
        """Open a port in front of an address, and return it."""
        front = self._socket()
        front.bind((_LOOPBACK, 0))
        clients: dict[tuple[str, int], socket.socket] = {}
        self._watch(front, partial(self._meet, front, (host, port), clients))
        found: int = front.getsockname()[1]
        return found

    def _meet(
        self, front: socket.socket, target: tuple[str, int], clients: dict[tuple[str, int], socket.socket]
    ) -> None:
        """Give a client that is new its own two sockets; from then on the kernel brings its datagrams there."""
        packet, client = front.recvfrom(LARGEST)
        up, down = self._lanes["up"], self._lanes["down"]
        if known := clients.get(client):
            # it came before the socket was made that all later ones go to
            up.take(time.monotonic(), known, [packet])
            return
        if len(clients) >= CLIENTS_MOST:
            return
        far = clients[client] = self._socket()
        far.bind((_LOOPBACK, 0))
        far.connect(target)
        up.take(time.monotonic(), far, [packet])
        near = self._socket()
        near.bind(front.getsockname())
        near.connect(client)
        port = front.getsockname()[1]
        self._watch(near, partial(self._pump, port, near, far, up))
        self._watch(far, partial(self._pump, port, far, near, down))

    def _pump(self, port: int, source: socket.socket, out: socket.socket, lane: Lane) -> None:
        packets: list[bytes] = []
        try:
            for _ in range(TRAIN):
                packets.append(source.recv(LARGEST))  # noqa: PERF401 - those before the error count
        except OSError:
            pass  # nothing more to read, or the word that an earlier datagram found nobody
        if port in self._cut:
            lane.wire.dropped["cut"] += len(packets)
        elif packets:
            lane.take(time.monotonic(), out, packets)

    def _socket(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
        except PermissionError:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)  # as much of it as the system allows
        return made

    # control

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        self._watch(connection, partial(self._read, connection, bytearray()))

    def _read(self, connection: socket.socket, begun: bytearray) -> None:
        try:
            data = connection.recv(65536)
            begun += data
            while b"\n" in begun:
                line, _, rest = bytes(begun).partition(b"\n")
                begun[:] = rest
                connection.sendall(json.dumps(self._obey(json.loads(line))).encode() + b"\n")
        except OSError:
            data = b""
        if not data:
            self._forget(connection)

    def _obey(self, command: dict[str, object]) -> dict[str, object]:
        try:
            match command:
                case {"open": [str(host), int(port)]}:
                    return {"port": self.open(host, port)}
                case {"set": dict(changes)}:
                    direction = command.get("direction")
                    for name in DIRECTIONS if direction is None else (str(direction),):
                        self._lanes[name].wire.change(changes)
                    return {}
                case {"cut": int(port), "blocked": bool(blocked)}:
                    (self._cut.add if blocked else self._cut.discard)(port)
                    return {}
                case {"counters": _}:
                    return {name: lane.wire.counters() for name, lane in self._lanes.items()}
        except (KeyError, TypeError, OSError) as error:
            return {"error": repr(error)}
        return {"error": "no such command"}

    def _read_stdin(self) -> None:
        self._ended = not os.read(sys.stdin.fileno(), 4096)

    def _watch(self, watched: socket.socket, ready: Callable[[], None]) -> None:
        self._sockets[watched.fileno()] = watched
        self._register(watched.fileno(), ready)

    def _register(self, number: int, ready: Callable[[], None]) -> None:
        self._poll.register(number, select.EPOLLIN)
        self._ready[number] = ready

    def _forget(self, watched: socket.socket) -> None:
        number = watched.fileno()
        self._poll.unregister(number)
        del self._ready[number], self._sockets[number]
        watched.close()


def main() -> None:
    """Say where the control socket is, and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds, one way: the round trip takes twice that")
    parser.add_argument("--loss", type=float, default=0.0, help="share of the datagrams that are lost, each way")
    parser.add_argument("--rate", type=float, default=None, help="bits a second of each way's bottleneck")
    parser.add_argument("--queue", type=int, default=Network.queue, help="bytes that may wait before the bottleneck")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    proxy = Proxy(Network(options.delay, options.loss, options.rate, options.queue), options.seed)
    sys.stdout.write(proxy.address + "\n")
    sys.stdout.flush()
    try:
        proxy.run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
