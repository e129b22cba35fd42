"""A page proves itself with what a browser has: the dashboard's own module, in plain WebCrypto, run by node."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sleap_rtc.config.identity import Identity
from sleap_rtc.protocol.hello import HELLO, ClientProof, WorkerHello
from sleap_rtc.protocol.proof import LinkContext, ProofState, WorkerExchange, transcript
from sleap_rtc.protocol.room_secrets import RoomSecret

MODULES = Path(str(files("signaling_server.dashboard") / "static" / "peer"))
KEY = Identity(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_KEY = Identity(Ed25519PrivateKey.from_private_bytes(bytes(32)))
OLDER = RoomSecret.make(bytes(range(32)), 1_800_000_000)
NEWER = RoomSecret.make(bytes(range(1, 33)), 1_800_000_001)
NONCE = b"2" * 32

DRIVER = """
import { answer, check } from %s;
const bytes = (digits) => Uint8Array.from(Buffer.from(digits, "hex"));
const attempt = async (work) => { try { return await work(); } catch (error) { return { refused: error.message }; } };
const results = [];
for (const { context, hello, nonce, proof } of JSON.parse(await new Response(process.stdin).text())) {
  const own = { ...context, fpClient: bytes(context.fpClient), fpWorker: bytes(context.fpWorker) };
  results.push(await attempt(async () => {
    const made = await answer(own, hello, bytes(nonce), ["watch"]);
    if (proof !== null) await check(made, proof);
    return { text: made.text, covered: Buffer.from(made.covered).toString("hex") };
  }));
}
console.log(JSON.stringify(results));
"""


@dataclass
class Page:
    """A page's side of one attempt: what it knows, the hello that it is given, and the proof that follows."""

    context: LinkContext
    hello: str
    proof: str | None = None
    worker_id: str = KEY.worker_id
    pinned_key: bytes | None = None
    derived_in: str | None = None

    def as_json(self) -> dict[str, Any]:
        context = self.context
        return {
            "hello": self.hello,
            "nonce": NONCE.hex(),
            "proof": self.proof,
            "context": {
                "room": context.room,
                "user": context.user,
                "link": context.session,
                "workerId": self.worker_id,
                "fpClient": context.fp_client.hex(),
                "fpWorker": context.fp_worker.hex(),
                "secrets": [derived(secret, self.derived_in or context.room) for secret in context.secrets],
                "pinnedKey": self.pinned_key.hex() if self.pinned_key else None,
            },
        }


def derived(secret: RoomSecret, room: str) -> dict[str, Any]:
    """What a page is given of a secret: its name and the keys derived from it."""
    keys = {f"{role}Key": secret.proof_key(room, role).hex() for role in ("client", "worker")}
    return {"epoch": secret.epoch, "id": secret.name_in(room).id} | keys


def in_node(*pages: Page) -> list[dict[str, str]]:
    """What the module makes of each attempt."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run the module with")
    with TemporaryDirectory() as folder:
        # nothing in the package tells node that these are modules, as their media type tells a browser
        copy = shutil.copytree(MODULES, Path(folder) / "peer")
        (copy / "package.json").write_text('{"type": "module"}')
        return run_in(node, copy / "proof.js", pages)


def run_in(node: str, module: Path, pages: Sequence[Page]) -> list[dict[str, str]]:
    done = subprocess.run(
        [node, "--input-type=module", "--eval", DRIVER % json.dumps(module.as_uri())],
        input=json.dumps([page.as_json() for page in pages]),
        capture_output=True,
        text=True,
        check=True,
    )
    results: list[dict[str, str]] = json.loads(done.stdout)
    return results


def knowing(*secrets: RoomSecret) -> LinkContext:
    return LinkContext("r_räum0000", "u_user0000", "l_link0000", bytes(range(32)), bytes(range(32, 64)), secrets)


def worker(context: LinkContext) -> tuple[WorkerExchange, str]:
    """A worker and its hello."""
    exchange = WorkerExchange(
        context, public_key=KEY.public_key, sign=KEY.sign, nonce=b"1" * 32, abilities=("train", "ünd")
    )
    (hello,) = exchange.messages_to_send()
    return exchange, hello


@pytest.mark.parametrize(
    ("at_the_worker", "at_the_page"),
    [((), ()), ((OLDER,), (OLDER,)), ((NEWER, OLDER), (OLDER, NEWER)), ((NEWER, OLDER), (OLDER,))],
    ids=["no secret", "a secret", "the newer of two", "the older of two"],
)
def test_a_page_and_a_worker_prove_themselves_to_each_other(
    at_the_worker: tuple[RoomSecret, ...], at_the_page: tuple[RoomSecret, ...]
) -> None:
    exchange, hello = worker(knowing(*at_the_worker))
    page = Page(knowing(*at_the_page), hello, pinned_key=KEY.public_key)
    (said,) = in_node(page)
    message, parsed = HELLO.decode(said["text"]), HELLO.decode(hello)
    assert isinstance(message, ClientProof)
    assert isinstance(parsed, WorkerHello)
    assert said["covered"] == transcript(exchange.context, parsed, hello, message.hello).hex()
    exchange.receive_message(said["text"])
    assert exchange.state is ProofState.PROVEN
    (page.proof,) = exchange.messages_to_send()
    assert in_node(page) == [said]


def test_a_page_refuses_whatever_the_python_client_refuses() -> None:
    exchange, hello = worker(knowing(NEWER, OLDER))
    page = Page(knowing(OLDER), hello)
    (said,) = in_node(page)
    exchange.receive_message(said["text"])
    (proof,) = exchange.messages_to_send()
    body, greeting = json.loads(proof), json.loads(hello)

    def told(**changed: object) -> Page:
        return Page(page.context, json.dumps(greeting | changed, separators=(",", ":"), ensure_ascii=False), proof)

    def shown(**changed: object) -> Page:
        return Page(page.context, hello, json.dumps(body | changed))

    forged = {
        "MAC": shown(mac="00" * 32),
        "signature": shown(signature="00" * 64),
        "success without proof": shown(type="ok"),
        "a proof cut short": shown(mac=body["mac"][:-2]),
        "its own words": Page(page.context, hello, said["text"]),
        "another certificate": Page(LinkContext(**vars(page.context) | {"fp_worker": bytes(32)}), hello, proof),
        "another link": Page(LinkContext(**vars(page.context) | {"session": "l_other000"}), hello, proof),
        "another room": Page(LinkContext(**vars(page.context) | {"room": "r_other000"}), hello, proof),
        "no secret here": Page(knowing(), hello, proof),
        "names stripped": told(secrets=[]),
        "a name hidden": told(secrets=greeting["secrets"][1:]),
        "abilities": told(abilities=["root"]),
        "suite": told(suite="none"),
        "nonce": told(nonce="00" * 32),
        "half a nonce": told(nonce=greeting["nonce"][:32]),
        "version": told(v=2),
        "another worker": told(worker_id=OTHER_KEY.worker_id, worker_pub=OTHER_KEY.public_key.hex()),
        "another key": told(worker_pub=OTHER_KEY.public_key.hex()),
        "a pinned key": Page(page.context, hello, proof, pinned_key=OTHER_KEY.public_key),
        "a key of another room": Page(page.context, hello, proof, derived_in="r_other000"),
    }
    results = in_node(Page(page.context, hello, proof), told(), *forged.values())
    assert "refused" not in results[0]
    assert "refused" not in results[1]
    assert [name for name, result in zip(forged, results[2:], strict=True) if "refused" not in result] == []


def test_the_proof_stands_on_nothing_but_its_neighbours() -> None:
    # whoever writes another client reads these files: no library, and none of the page
    waiting, seen = ["proof.js"], set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        imported = re.findall(r'^(?:import|export) .* from "(.+)";$', (MODULES / name).read_text(), re.MULTILINE)
        assert all(re.fullmatch(r"\./[a-z]+\.js", each) for each in imported)
        waiting += [each.removeprefix("./") for each in imported if each.removeprefix("./") not in seen]
    assert len(seen) <= 5
