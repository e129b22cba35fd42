"""A page takes the newest STUN and TURN servers that the service names, and nothing else for such."""

import json

from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.protocol.signaling import SIGNALING, IceServers, Principal, Welcome
from tests.dashboard.node import run

ADA = Principal(user="u_aaaaaaaa", name="ada", role="client", room="r_aaaaaaaa", session="p_aaaaaaaa")
OLDER = IceServer(urls=["turn:t.example"], username="1:u", credential="a")
NEWER = IceServer(urls=["turn:t.example", "turns:t.example"], username="2:u", credential="b")
STUN = IceServer(urls=["stun:s.example"])
WELCOME = SIGNALING.encode(Welcome(principal=ADA, nonce="00" * 32, ice_servers=[OLDER]))

HEAR = """
const told = [];
globalThis.WebSocket = class {
  static OPEN = 1;
  readyState = 1;
  constructor() {
    setTimeout(() => {
      for (const text of args) {
        this.onmessage?.({ data: text });
        told.push(signaling.welcome.ice_servers);
      }
      signaling.close();
    });
  }
  close() {
    this.onclose?.({ code: 1000 });
  }
};
const signaling = new page.Signaling(new URL("http://127.0.0.1/api/v1/"), "r_aaaaaaaa");
while (told.length < args.length) await new Promise((resolve) => setTimeout(resolve));
return told;
"""


def heard(*said: str) -> list[list[IceServer]]:
    """What a page would use after each of these messages."""
    found: list[list[dict[str, object]]] = run("peer/signaling.js", HEAR, *said)
    return [[IceServer.model_validate(each) for each in servers] for servers in found]


def test_the_newest_servers_are_used() -> None:
    newer = SIGNALING.encode(IceServers(ice_servers=[STUN, NEWER]))
    assert heard(WELCOME, newer) == [[OLDER], [STUN, NEWER]]


def test_what_is_no_list_of_servers_is_not_believed() -> None:
    wrong = json.dumps({"type": "ice_servers", "ice_servers": [{"urls": "turn:evil.example"}]})
    assert heard(WELCOME, wrong) == [[OLDER], [OLDER]]
