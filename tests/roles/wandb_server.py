"""A server on loopback that answers what the client of Weights & Biases asks, and remembers who asked."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_USER = {"id": "u", "entity": "lab", "username": "alice", "flags": "{}", "teams": {"edges": []}}
_BUCKET = {
    "id": "b", "name": "abc123", "displayName": "one", "config": "{}", "historyLineCount": 0,
    "project": {"id": "p", "name": "flies", "entity": {"id": "e", "name": "lab"}},
}  # fmt: skip
_ANSWERS = {
    "upsertBucket": {"upsertBucket": {"bucket": _BUCKET, "inserted": True}},
    "createRunFiles": {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": []}},
    "viewer": {"viewer": _USER},
}


@dataclass
class WandbServer:
    """What came: the keys that were shown, and the paths that were asked for."""

    url: str
    keys: set[str] = field(default_factory=set)
    paths: list[str] = field(default_factory=list)


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """Serve while the body runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind, _, shown = (self.headers.get("Authorization") or "").partition(" ")
            if kind == "Basic":
                seen.keys.add(base64.b64decode(shown).decode().partition(":")[2])
            seen.paths.append(self.path)
            self._answer(_answer(body) if self.path == "/graphql" else {})

        def _answer(self, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen = WandbServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(body: bytes) -> dict[str, Any]:
    query = json.loads(body)["query"]
    return {"data": next((answer for name, answer in _ANSWERS.items() if name in query), {})}
