"""The proof of a link, fed by hand: what an honest pair does, and what every lie comes to."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sleap_rtc.config.identity import Identity
from sleap_rtc.errors import AuthenticationError, ProtocolError, SleapRTCError
from sleap_rtc.protocol.proof import ClientExchange, Failed, LinkContext, ProofState, Proven, WorkerExchange
from sleap_rtc.protocol.room_secrets import RoomSecret

KEY = Identity(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_KEY = Identity(Ed25519PrivateKey.from_private_bytes(bytes(32)))
CONTEXT = LinkContext(
    room="r_room0000", user="u_user0000", session="l_link0000", fp_client=b"c" * 32, fp_worker=b"w" * 32
)
SECRET = RoomSecret.make(bytes(range(32)), 1_800_000_000)
NEWER = RoomSecret.make(bytes(range(1, 33)), 1_800_000_001)
SAME_EPOCH = RoomSecret.make(bytes(range(2, 34)), 1_800_000_000)
Change = Callable[[str], str]


def worker(context: LinkContext = CONTEXT, key: Identity = KEY, nonce: bytes = b"1" * 32) -> WorkerExchange:
    return WorkerExchange(context, public_key=key.public_key, sign=key.sign, nonce=nonce, abilities=("train",))


def client(
    context: LinkContext = CONTEXT, worker_id: str = KEY.worker_id, pinned_key: bytes | None = None
) -> ClientExchange:
    return ClientExchange(context, worker_id=worker_id, nonce=b"2" * 32, pinned_key=pinned_key, abilities=("watch",))


def exchange(
    at_worker: WorkerExchange, at_client: ClientExchange, change: Change = lambda text: text
) -> tuple[object, object]:
    """Carry messages between the two until they are still; `change` is what the network does to each."""
    at_both: tuple[list[object], list[object]] = ([], [])
    while True:
        to_client, to_worker = at_worker.messages_to_send(), at_client.messages_to_send()
        if not to_client and not to_worker:
            break
        for text in to_client:
            at_client.receive_message(change(text))
        for text in to_worker:
            at_worker.receive_message(change(text))
        at_both[0].extend(at_worker.events_received())
        at_both[1].extend(at_client.events_received())
    return tuple(events[0] if events else None for events in at_both)  # type: ignore[return-value]


def edit(kind: str, **values: object) -> Change:
    """A network that rewrites fields of the messages of one type."""

    def change(text: str) -> str:
        body = json.loads(text)
        return json.dumps(body | values) if body["type"] == kind else text

    return change


def noted(said: list[str]) -> Change:
    """A network that changes nothing and remembers everything."""

    def change(text: str) -> str:
        said.append(text)
        return text

    return change


def said_as(kind: str, said: list[str]) -> dict[str, Any]:
    """The first message of a type among those that were said."""
    bodies: list[dict[str, Any]] = [json.loads(text) for text in said]
    return next(body for body in bodies if body["type"] == kind)


def test_an_honest_pair_is_proven_and_knows_each_others_abilities() -> None:
    at_worker, at_client = exchange(worker(), client())
    assert isinstance(at_worker, Proven)
    assert at_worker == Proven(frozenset({"watch"}), KEY.public_key, at_worker.binding)
    assert at_client == Proven(frozenset({"train"}), KEY.public_key, at_worker.binding)


def test_what_names_a_connection_is_another_one_on_every_connection() -> None:
    (first, _), (second, _) = exchange(worker(), client()), exchange(worker(nonce=b"n" * 32), client())
    assert isinstance(first, Proven)
    assert isinstance(second, Proven)
    assert first.binding != second.binding
    assert len(first.binding) == 32


def test_a_pinned_key_that_is_the_workers_is_accepted() -> None:
    assert isinstance(exchange(worker(), client(pinned_key=KEY.public_key))[1], Proven)


@pytest.mark.parametrize(
    "changed",
    [
        {"fp_client": b"x" * 32},  # a middleman with his own certificate towards the worker
        {"fp_worker": b"x" * 32},
        {"fp_client": b"w" * 32, "fp_worker": b"c" * 32},  # swapped
        {"room": "r_other000"},
        {"user": "u_mallory0"},
        {"session": "l_replay00"},
        {"secrets": (SECRET,)},
    ],
)
def test_ends_that_see_different_connections_never_prove_each_other(changed: dict[str, Any]) -> None:
    at_worker, at_client = exchange(worker(), client(replace(CONTEXT, **changed)))
    assert isinstance(at_worker, Failed)
    assert isinstance(at_client, Failed)
    assert isinstance(at_client.error, AuthenticationError)


def knowing(*secrets: RoomSecret) -> LinkContext:
    return replace(CONTEXT, secrets=secrets)


def test_ends_that_know_the_same_secret_are_proven() -> None:
    at_worker, at_client = exchange(worker(knowing(SECRET)), client(knowing(SECRET)))
    assert isinstance(at_worker, Proven)
    assert isinstance(at_client, Proven)


@pytest.mark.parametrize(
    ("at_the_worker", "at_the_client", "used"),
    [
        ((NEWER, SECRET), (SECRET,), SECRET),
        ((SECRET,), (NEWER, SECRET), SECRET),
        ((NEWER, SECRET), (NEWER, SECRET), NEWER),
        ((NEWER, SECRET), (SECRET, NEWER), NEWER),
    ],
)
def test_the_newest_secret_that_both_know_is_used(
    at_the_worker: tuple[RoomSecret, ...], at_the_client: tuple[RoomSecret, ...], used: RoomSecret
) -> None:
    said: list[str] = []
    events = exchange(worker(knowing(*at_the_worker)), client(knowing(*at_the_client)), noted(said))
    assert all(isinstance(event, Proven) for event in events)
    assert json.loads(said_as("proof.client", said)["hello"])["epoch"] == used.epoch


@pytest.mark.parametrize(
    ("at_the_worker", "at_the_client", "sentence"),
    [
        ((), (SECRET,), "the worker has no secret of this room and this machine has one"),
        ((SECRET,), (), "the worker has a secret of this room and this machine has none"),
        ((NEWER,), (SECRET,), "the worker has a newer secret"),
        ((SECRET,), (NEWER,), "the worker has an older secret"),
        ((SECRET,), (SAME_EPOCH,), "the worker has another secret"),
    ],
)
def test_without_a_common_secret_neither_side_goes_on_and_only_its_own_user_learns_why(
    at_the_worker: tuple[RoomSecret, ...], at_the_client: tuple[RoomSecret, ...], sentence: str
) -> None:
    said: list[str] = []
    at_worker, at_client = exchange(worker(knowing(*at_the_worker)), client(knowing(*at_the_client)), noted(said))
    assert isinstance(at_worker, Failed)
    assert isinstance(at_client, Failed)
    assert isinstance(at_client.error, AuthenticationError)
    assert sentence in at_client.error.sentence
    assert [json.loads(text)["type"] for text in said] == ["hello", "error", "error"]
    assert not [text for text in said if sentence in text]


@pytest.mark.parametrize("epoch", [0, SECRET.epoch, NEWER.epoch + 1])
def test_a_client_that_chooses_a_secret_the_worker_does_not_have_is_refused(epoch: int) -> None:
    at_worker = worker(knowing(NEWER))
    at_worker.messages_to_send()
    hello = json.dumps({"type": "hello.client", "v": 1, "epoch": epoch, "nonce": "00" * 32})
    at_worker.receive_message(json.dumps({"type": "proof.client", "hello": hello, "mac": "00" * 32}))
    (event,) = at_worker.events_received()
    assert isinstance(event, Failed)
    assert isinstance(event.error, AuthenticationError)
    assert "could not prove" in at_worker.messages_to_send()[0]


def test_a_service_that_hides_the_newer_secret_to_have_an_older_one_used_is_refused() -> None:
    older = knowing(SECRET)
    name = SECRET.name_in(CONTEXT.room).model_dump()
    at_both = exchange(worker(knowing(NEWER, SECRET)), client(knowing(NEWER, SECRET)), edit("hello", secrets=[name]))
    assert all(isinstance(event, Failed) for event in at_both)
    assert all(isinstance(event, Proven) for event in exchange(worker(older), client(older)))


def test_a_worker_whose_secrets_are_hidden_is_not_taken_for_one_without() -> None:
    at_both = exchange(worker(knowing(SECRET)), client(CONTEXT), edit("hello", secrets=[]))
    assert all(isinstance(event, Failed) for event in at_both)


def test_the_secret_of_one_room_proves_nothing_in_another() -> None:
    elsewhere = replace(knowing(SECRET), room="r_other000")
    assert all(isinstance(event, Failed) for event in exchange(worker(knowing(SECRET)), client(elsewhere)))


def test_whoever_sees_the_hellos_sees_nothing_of_the_secret() -> None:
    said: list[str] = []
    exchange(worker(knowing(SECRET)), client(knowing(SECRET)), noted(said))
    assert not [text for text in said if SECRET.text in text or SECRET.key.hex() in text]


@pytest.mark.parametrize(
    "change",
    [
        edit("hello", abilities=["root"]),
        edit("hello", secrets=[SECRET.name_in(CONTEXT.room).model_dump()]),
        edit("hello", nonce="00" * 32),
        edit("hello", worker_pub=OTHER_KEY.public_key.hex()),
        edit("hello", worker_id=OTHER_KEY.worker_id),
        edit("hello", suite="none"),
        edit("proof.client", mac="00" * 32),
        edit("proof.client", hello=json.dumps({"type": "hello.client", "v": 1, "epoch": 0, "nonce": "00" * 32})),
        edit("proof.client", hello="nonsense"),
        edit("proof.client", hello=json.dumps({"type": "hello", "v": 1})),
        edit("proof.worker", mac="00" * 32),
        edit("proof.worker", signature="00" * 64),
        lambda text: "",
        lambda text: text[:-5],
        lambda text: json.dumps({"type": "job.submit"}),
    ],
)
def test_a_message_changed_on_the_way_ends_the_link_for_the_client(change: Change) -> None:
    _, at_client = exchange(worker(), client(), change)
    assert isinstance(at_client, Failed)


def test_a_worker_with_another_key_than_dialled_is_refused() -> None:
    assert isinstance(exchange(worker(key=OTHER_KEY), client())[1], Failed)


def test_a_worker_whose_key_changed_is_refused_with_a_sentence() -> None:
    _, at_client = exchange(worker(), client(pinned_key=OTHER_KEY.public_key))
    assert isinstance(at_client, Failed)
    assert "another key than before" in str(at_client.error)


def test_a_newer_version_says_who_must_upgrade() -> None:
    _, at_client = exchange(worker(), client(), edit("hello", v=2))
    assert isinstance(at_client, Failed)
    assert isinstance(at_client.error, ProtocolError)
    assert "upgrade sleap-rtc on this side" in str(at_client.error)


def test_a_proof_replayed_on_a_later_link_is_refused() -> None:
    recorded: list[str] = []
    exchange(worker(), client(), noted(recorded))
    later = worker(nonce=b"3" * 32)
    later.receive_message(json.dumps(said_as("proof.client", recorded)))
    assert later.state is ProofState.FAILED


def test_a_proof_reflected_to_its_sender_is_refused() -> None:
    at_client = client()
    for text in worker().messages_to_send():
        at_client.receive_message(text)
    for text in at_client.messages_to_send():
        at_client.receive_message(text)
    assert at_client.state is ProofState.FAILED


def test_there_is_one_attempt() -> None:
    at_worker = worker()
    at_worker.receive_message("nonsense")
    good = client()
    for text in worker().messages_to_send():
        good.receive_message(text)
    for text in good.messages_to_send():
        at_worker.receive_message(text)
    assert at_worker.state is ProofState.FAILED
    assert len(at_worker.events_received()) == 1


def test_nothing_may_follow_the_proof_before_the_link_is_handed_on() -> None:
    at_worker, at_client = worker(), client()
    exchange(at_worker, at_client)
    at_worker.receive_message("anything")
    assert at_worker.state is ProofState.FAILED


def test_what_the_other_side_refused_with_is_what_the_user_reads() -> None:
    at_client = client()
    at_client.receive_message(json.dumps({"type": "error", "error": {"code": "busy", "sentence": "Come back later."}}))
    (event,) = at_client.events_received()
    assert isinstance(event, Failed)
    assert isinstance(event.error, SleapRTCError)
    assert event.error.code == "busy"
