"""Every waiting time of a peer, in one object that tests replace by tenths of a second."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Waiting times in seconds.

    Attributes:
        gathering: how long ICE gathering may hold an offer or answer back.
        connect: from the offer to an open channel.
        proof: from the open channel to the proven link.
        keepalive: between two pings on a quiet link.
        dead: silence after which a link counts as lost, whatever the engine believes.
        bye: how long closing waits for the other side's acknowledgement.
        close: how long an engine may take to close a connection.
        request: how long a short request may stay unanswered.
        reconnect_first: the first pause before a reconnect; later ones double, with jitter.
        reconnect_most: the longest pause between two reconnects.
        report: how often a worker looks whether there is news of its jobs for the service.
        disk: how long a transfer waits for space on a disk that is nearly full.
        stall: how long whoever holds a model may send nothing of it while the link itself is well: it may have to read
            gigabytes first.
        give_up: how long a client tries to reach its worker again before it gives up.
        lease: between two questions of a worker whether the people behind its links still belong to the room.
        unconfirmed: how long a worker takes new jobs over a link while the service cannot answer that.
    """

    gathering: float = 2.0
    connect: float = 20.0
    proof: float = 10.0
    keepalive: float = 5.0
    dead: float = 15.0
    bye: float = 2.0
    close: float = 3.0
    request: float = 30.0
    reconnect_first: float = 0.5
    reconnect_most: float = 8.0
    report: float = 5.0
    disk: float = 8.0
    stall: float = 300.0
    give_up: float = 600.0
    lease: float = 60.0
    unconfirmed: float = 900.0
