"""A stranger to sleap-rtc, who asks a relay for what it must not give.

Started as ``python -m tests.netns.asking_relay HOST PORT``. On standard input: a JSON list of what to try, each with
``username``, ``credential`` and the addresses of ``peers`` to send to; with ``late``, only when the credentials have
ended. On standard output: for each the error code of the allocation, and of each permission; 0 for what was granted.
"""

import asyncio
import json
import sys
from typing import Any

from aioice import stun, turn

LIFETIME = 600
IPV6 = 0x02000000
# RFC 8656, section 18.3, which aioice does not know
_FAMILY = (0x0017, "REQUESTED-ADDRESS-FAMILY", stun.pack_unsigned, stun.unpack_unsigned)
stun.ATTRIBUTES_BY_TYPE[_FAMILY[0]] = stun.ATTRIBUTES_BY_NAME[_FAMILY[1]] = _FAMILY


async def main(host: str, port: str) -> None:
    """Try everything at once."""
    asked = json.load(sys.stdin)
    answers = await asyncio.gather(*(attempt((host, int(port)), **each) for each in asked))
    json.dump(answers, sys.stdout)


async def attempt(
    server: tuple[str, int], username: str, credential: str, peers: list[str], *, late: bool = False
) -> dict[str, Any]:
    """Ask for an address of the relay, of the peers' family, and to send to them from it."""
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(
        lambda: turn.TurnClientUdpProtocol(
            server, username=username, password=credential, lifetime=LIFETIME, channel_refresh_time=500
        ),
        remote_addr=server,
    )
    try:
        family = {"REQUESTED-ADDRESS-FAMILY": IPV6} if any(":" in peer for peer in peers) else {}
        lent = {"LIFETIME": LIFETIME, "REQUESTED-TRANSPORT": turn.UDP_TRANSPORT}
        if refusal := await asked(client, stun.Method.ALLOCATE, lent | family):
            return {"allocated": refusal, "peers": {}}
        while late:
            again = await attempt(server, username, credential, [])
            late = again["allocated"] == 0
            await asyncio.sleep(0.1 if late else 0)
        answers = {
            peer: await asked(client, stun.Method.CREATE_PERMISSION, {"XOR-PEER-ADDRESS": (peer, 9999)})
            for peer in peers
        }
        await client.delete()
        return {"allocated": 0, "peers": answers}
    finally:
        transport.close()


async def asked(client: turn.TurnClientUdpProtocol, method: stun.Method, attributes: dict[str, Any]) -> int:
    """Send a request; the error code of its answer, or 0."""
    request = stun.Message(message_method=method, message_class=stun.Class.REQUEST, attributes=attributes)
    try:
        await client.request_with_retry(request)
    except stun.TransactionFailed as refused:
        return refused.response.error_code or -1
    return 0


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
