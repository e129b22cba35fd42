"""An internet of four machines: a public one, and homes behind routers that translate addresses and let nothing in.

```
 home ── router ──┐                                     ┌── router ── office
   192.168.1.2    ├── internet: service and relay ──────┤               192.168.7.2
                  │   203.0.113.2   203.0.113.10        └── lab         192.168.8.2, another network of that router
```

Each new flow through a router gets a port of its own, chosen at random, and only answers come back by it (RFC 4787: a
mapping and a filtering that depend on address and port). Two peers behind two such routers find no direct way.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.netns.spaces import Space

SERVICE = "203.0.113.2"
RELAY = "203.0.113.10"
RELAY_6 = "2001:db8::10"
"""At which the relay lends ports, too; nobody else here has IPv6."""

_ROUTER = """
table ip nat {
  chain leaving {
    type nat hook postrouting priority srcnat
    oifname "wan" masquerade random,fully-random
  }
}
table ip filter {
  chain passing {
    type filter hook forward priority filter; policy drop
    jump blocked
    ct state established,related accept
    iifname != "wan" accept
  }
  chain arriving {
    type filter hook input priority filter; policy accept
    iifname "wan" drop
  }
  chain blocked {
  }
}
"""


UDP = "meta l4proto udp"
ALL_BUT_THE_WEB = 'iifname != "wan" th dport != 443'
"""Everything that goes to another port than https does, UDP of course among it."""


@dataclass(frozen=True)
class Router:
    """What stands between a home and the internet."""

    space: Space

    @contextmanager
    def blocking(self, traffic: str) -> Iterator[None]:
        """Drop meanwhile what matches an expression of nftables, on its way out and in."""
        self.space.run("nft", f"add rule ip filter blocked {traffic} drop")
        try:
            yield
        finally:
            self.space.run("nft", "flush chain ip filter blocked")

    def sent(self) -> int:
        """Bytes that went out to the internet so far."""
        (link,) = json.loads(self.space.run("ip", "-json", "-statistics", "link", "show", "dev", "wan"))
        return int(link["stats64"]["tx"]["bytes"])


class Internet:
    """All of it, without service and relay.

    Args:
        stack: what ends it.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.public = Space(stack)
        for address in (SERVICE, RELAY):
            self.public.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        self.public.run("ip", "address", "add", f"{RELAY_6}/128", "dev", "lo")
        self.public.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.home_router = self._router(stack, "203.0.113.20", "203.0.113.21")
        self.office_router = self._router(stack, "203.0.113.22", "203.0.113.23")
        self.home = _network(stack, self.home_router.space, "lan", "192.168.1")
        self.office = _network(stack, self.office_router.space, "lan", "192.168.7")
        self.lab = _network(stack, self.office_router.space, "lab", "192.168.8")

    def _router(self, stack: ExitStack, there: str, here: str) -> Router:
        space = Space(stack, self.public)
        connect(self.public, f"to-{here}"[:15], f"{there}/31", space, "wan", f"{here}/31")
        space.run("ip", "route", "add", "default", "via", there)
        space.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        space.run("nft", "-f", "-", said=_ROUTER)
        return Router(space)


def _network(stack: ExitStack, router: Space, port: str, network: str) -> Space:
    space = Space(stack, router)
    connect(router, port, f"{network}.1/24", space, "eth", f"{network}.2/24")
    space.run("ip", "route", "add", "default", "via", f"{network}.1")
    return space


def connect(one: Space, port: str, address: str, other: Space, other_port: str, other_address: str) -> None:
    """Lay a cable between two networks, and give its ends their names and addresses."""
    peer = ("peer", "name", other_port, "netns", str(other.holder))
    one.run("ip", "link", "add", port, "type", "veth", *peer)
    for space, name, own in ((one, port, address), (other, other_port, other_address)):
        space.run("ip", "address", "add", own, "dev", name)
        space.run("ip", "link", "set", name, "up")
