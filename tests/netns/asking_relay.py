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


async def main(host: str, port: str) -> None:
    """Try everything at once."""
    asked = json.load(sys.stdin)
    answers = await asyncio.gather(*(attempt((host, int(port)), **each) for each in asked))
    json.dump(answers, sys.stdout)


async def attempt(
    server: tuple[str, int], username: str, credential: str, peers: list[str], *, late: bool = False
) -> dict[str, Any]:
    """Ask for an address of the relay, and to send to peers from it."""
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(
        lambda: turn.TurnClientUdpProtocol(
            server, username=username, password=credential, lifetime=600, channel_refresh_time=500
        ),
        remote_addr=server,
    )
    try:
        try:
            await client.connect()
        except stun.TransactionFailed as refused:
            return {"allocated": refused.response.error_code, "peers": {}}
        while late:
            again = await attempt(server, username, credential, [])
            late = again["allocated"] == 0
            await asyncio.sleep(0.1 if late else 0)
        answers = {peer: await permission(client, peer) for peer in peers}
        await client.delete()
        return {"allocated": 0, "peers": answers}
    finally:
        transport.close()


async def permission(client: turn.TurnClientUdpProtocol, peer: str) -> int:
    """Ask to send to a peer (RFC 8656, section 9); the error code, or 0."""
    request = stun.Message(message_method=stun.Method.CREATE_PERMISSION, message_class=stun.Class.REQUEST)
    request.attributes["XOR-PEER-ADDRESS"] = (peer, 9999)
    try:
        await client.request_with_retry(request)
    except stun.TransactionFailed as refused:
        return refused.response.error_code or -1
    return 0


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
