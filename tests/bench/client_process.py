"""The real command line, all of its connections through `udp_proxy`.

Run as ``python -m tests.bench.client_process ADDRESS ARGUMENT …``: the proxy's control address, then what is typed
after ``sleap-rtc``.
"""

import sys
from typing import Any

import sleap_rtc.transport
from sleap_rtc.transport import Peer, engines
from tests.bench.proxied import ProxiedPeer
from tests.bench.proxy_control import ProxyControl


def use_proxy(address: str) -> None:
    """Let every peer that this process makes from now on offer through a proxy.

    Call it before anything above the transport is imported, which keeps the function under its own name.

    Args:
        address: of the proxy's control socket.
    """
    proxy, make = ProxyControl(address), engines.new_peer

    def new_peer(*arguments: Any, **options: Any) -> Peer:
        return ProxiedPeer(make(*arguments, **options), proxy)

    for module in (engines, sleap_rtc.transport):
        vars(module)["new_peer"] = new_peer


if __name__ == "__main__":
    use_proxy(sys.argv[1])
    from sleap_rtc.cli.main import main

    sys.exit(main(sys.argv[2:]))
