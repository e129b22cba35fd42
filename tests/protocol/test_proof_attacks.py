"""What somebody between the two, whose connections are their own, makes of their words: nothing that either takes."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from sleap_rtc.protocol.proof import Failed, ProofState
from tests.protocol.test_proof import CONTEXT, NEWER, SECRET, client, edit, exchange, knowing, noted, said_as, worker

Change = Callable[[str], str]


def only(kind: str, change: Change) -> Change:
    """A network that does something to the messages of one type."""
    return lambda text: change(text) if json.loads(text)["type"] == kind else text


def of_the_clients_hello(change: Change) -> Change:
    """A network that does something to the hello inside of the client's proof."""

    def in_proof(text: str) -> str:
        body = json.loads(text)
        return json.dumps(body | {"hello": change(body["hello"])})

    return only("proof.client", in_proof)


def reordered(text: str) -> str:
    return json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":"))


def without(field: str) -> Change:
    return lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != field})


def with_value(**values: object) -> Change:
    return lambda text: json.dumps(json.loads(text) | values)


def twice(text: str) -> str:
    return text[:-1] + ',"v":1}'


ATTACKS: dict[str, Change] = {
    "hello: fields in another order": only("hello", reordered),
    "hello: a blank": only("hello", lambda text: text + " "),
    "hello: a new field": only("hello", with_value(legacy=True)),
    "hello: a field twice": only("hello", twice),
    "hello: abilities stripped": only("hello", without("abilities")),
    "hello: all secrets stripped": only("hello", without("secrets")),
    "hello: the newer secret stripped": only("hello", with_value(secrets=[SECRET.name_in(CONTEXT.room).model_dump()])),
    "hello: no nonce": only("hello", without("nonce")),
    "hello: an older version": only("hello", with_value(v=0)),
    "hello: another suite": only("hello", with_value(suite="hmac")),
    "hello: cut short": only("hello", lambda text: text[:-1]),
    "hello: replaced by a success": only("hello", lambda text: json.dumps({"type": "ok"})),
    "client's hello: fields in another order": of_the_clients_hello(reordered),
    "client's hello: abilities stripped": of_the_clients_hello(without("abilities")),
    "client's hello: another ability": of_the_clients_hello(with_value(abilities=["root"])),
    "client's hello: no secret": of_the_clients_hello(with_value(epoch=0)),
    "client's hello: the older secret": of_the_clients_hello(with_value(epoch=SECRET.epoch)),
    "client's hello: another nonce": of_the_clients_hello(with_value(nonce="00" * 32)),
    "client's proof: no MAC": only("proof.client", without("mac")),
    "client's proof: half a MAC": only("proof.client", lambda text: with_value(mac=json.loads(text)["mac"][:32])(text)),
    "client's proof: MAC in capitals": only(
        "proof.client", lambda text: with_value(mac=json.loads(text)["mac"].upper())(text)
    ),
    "client's proof: replaced by a job": only("proof.client", lambda text: json.dumps({"type": "job.submit"})),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_whatever_is_changed_before_the_workers_proof_is_refused_by_both(attack: Change) -> None:
    at_both = exchange(worker(knowing(NEWER, SECRET)), client(knowing(NEWER, SECRET)), attack)
    assert all(isinstance(event, Failed) for event in at_both)


def test_a_network_that_changes_nothing_is_no_attack() -> None:
    at_both = exchange(worker(knowing(NEWER, SECRET)), client(knowing(NEWER, SECRET)), of_the_clients_hello(str))
    assert not [event for event in at_both if isinstance(event, Failed)]


@pytest.mark.parametrize("kind", ["ok", "hello", "proof.client", "job.accepted"])
def test_a_success_that_proves_nothing_is_none(kind: str) -> None:
    at_client = client(knowing(SECRET))
    exchange(worker(knowing(SECRET)), at_client, edit("proof.worker", type=kind))
    assert at_client.state is ProofState.FAILED


def test_the_clients_mac_is_not_the_workers() -> None:
    said: list[str] = []
    exchange(worker(knowing(SECRET)), client(knowing(SECRET)), noted(said))
    at_client = client(knowing(SECRET))
    exchange(worker(knowing(SECRET)), at_client, edit("proof.worker", mac=said_as("proof.client", said)["mac"]))
    assert at_client.state is ProofState.FAILED


def test_a_worker_recorded_on_one_link_does_not_pass_on_the_next() -> None:
    said: list[str] = []
    exchange(worker(knowing(SECRET)), client(knowing(SECRET)), noted(said))
    later = client(replace(knowing(SECRET), session="l_later000"))
    for kind in ("hello", "proof.worker"):
        later.receive_message(json.dumps(said_as(kind, said), separators=(",", ":")))
    assert later.state is ProofState.FAILED


def test_a_proof_that_was_refused_once_is_not_mended_by_a_good_one() -> None:
    at_worker, at_client = worker(knowing(SECRET)), client(knowing(SECRET))
    at_client.receive_message(at_worker.messages_to_send()[0])
    (good,) = at_client.messages_to_send()
    at_worker.receive_message(with_value(mac="00" * 32)(good))
    at_worker.receive_message(good)
    assert at_worker.state is ProofState.FAILED
    assert [json.loads(text)["type"] for text in at_worker.messages_to_send()] == ["error"]
