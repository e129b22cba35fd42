"""What a service that lies can do to the peers that it introduces: nothing, in a room with a secret."""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex

import pytest

from sleap_rtc.errors import AuthenticationError, ConnectionLost, ProtocolError, UnreachableError
from sleap_rtc.protocol.hello import HELLO, VERSION, ClientHello, ClientProof, WorkerHello, WorkerProof
from sleap_rtc.protocol.link import LINK, Bye
from sleap_rtc.protocol.proof import ClientExchange, Proven, WorkerExchange, transcript
from sleap_rtc.protocol.room_secrets import NO_SECRET, RoomSecret
from sleap_rtc.session import link
from sleap_rtc.session.handshake import prove
from sleap_rtc.transport.channel import Channel
from tests.session.linked import CLIENT
from tests.session.malicious_service import (
    JOB,
    OTHER,
    TIMES,
    WORKER,
    Body,
    Data,
    Disguise,
    Lie,
    ManInTheMiddle,
    Meeting,
    Part,
    Service,
    boards,
    fingerprint_line,
    reflect,
    relay,
    stamped,
)
from tests.transport.meeting import REAL

SECRET = RoomSecret.make(bytes(range(32)), 1_800_000_000)
PAIRS = [(one, other) for one in REAL for other in REAL]

pytestmark = pytest.mark.timeout(120)
every_pair = pytest.mark.parametrize("engines", PAIRS, ids="-".join)
with_and_without_a_secret = pytest.mark.parametrize("secrets", [(), (SECRET,)], ids=["no secret", "secret"])


def both_know(*secrets: RoomSecret) -> Meeting:
    return Meeting(client_secrets=secrets, worker_secrets=secrets)


@every_pair
@with_and_without_a_secret
async def test_over_an_honest_service_they_meet(engines: tuple[str, str], secrets: tuple[RoomSecret, ...]) -> None:
    outcome = await replace(both_know(*secrets), engines=engines).over(Service())
    assert outcome.client is None
    assert outcome.worker is None
    assert outcome.sessions == 2
    assert [message.TYPE for message in outcome.served] == [JOB.TYPE]


# descriptions

DIGITS = ":".join(["AB"] * 32)
FORGED = {
    name: f"a=fingerprint:{name} " + ":".join(["AB"] * size)
    for name, size in (("sha-256", 32), ("sha-384", 48), ("sha-512", 64), ("sha-1", 20))
}
DESCRIPTIONS: dict[str, Callable[[str], str]] = {
    "another sha-256": lambda line: f"a=fingerprint:sha-256 {DIGITS}",
    "none": lambda line: "a=x:none",
    "the honest one twice": lambda line: f"{line}\r\n{line}",
    "in capitals": lambda line: line.replace("sha-256", "SHA-256"),
    "sha-1 alone": lambda line: FORGED["sha-1"],
    "sha-512 alone": lambda line: FORGED["sha-512"],
    "all three, honest one in the middle": lambda line: "\r\n".join((FORGED["sha-384"], line, FORGED["sha-512"])),
    "all three, honest one last": lambda line: "\r\n".join((FORGED["sha-512"], FORGED["sha-384"], line)),
    **{f"{name} before": lambda line, name=name: f"{FORGED[name]}\r\n{line}" for name in FORGED},  # type: ignore[misc]
    **{f"{name} after": lambda line, name=name: f"{line}\r\n{FORGED[name]}" for name in FORGED},  # type: ignore[misc]
}


def rewriting(kind: str, change: Callable[[str], str]) -> Lie:
    """Write another fingerprint into offers or answers."""

    def lie(body: Body) -> list[Body]:
        if body["type"] != kind:
            return [body]
        line = fingerprint_line(body["sdp"])
        return [body | {"sdp": body["sdp"].replace(line, change(line))}]

    return lie


async def each_at_once(names: Iterable[str], attempt: Callable[[str], Awaitable[None]]) -> None:
    """Make every attempt at the same time; one that fails says its name."""

    async def named(name: str) -> None:
        try:
            await attempt(name)
        except Exception as error:
            error.add_note(name)
            raise

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(named(name))


@every_pair
@pytest.mark.parametrize("kind", ["offer", "answer"])
async def test_no_rewritten_fingerprint_brings_a_connection_about(engines: tuple[str, str], kind: str) -> None:
    async def attempt(name: str) -> None:
        outcome = await Meeting(engines).over(Service(rewriting(kind, DESCRIPTIONS[name])))
        outcome.assert_refused()
        assert outcome.sent == []

    await each_at_once(DESCRIPTIONS, attempt)


# who dialled whom


def stamping(**stamp: str) -> Lie:
    return lambda body: [stamped(body, **stamp)] if body["type"] == "offer" else [body]


def renaming_the_link(body: Body) -> list[Body]:
    """Tell the worker another link than the client means, and each what it expects."""
    name = body["link"]
    if body["type"] == "offer":
        return [stamped(body | {"link": f"{name}-m"})]
    return [body | {"link": name.removesuffix("-m") if name.endswith("-m") else f"{name}-m"}]


@pytest.mark.parametrize(
    "lie",
    [stamping(user="u_mallory0"), stamping(room="r_mallory0"), renaming_the_link],
    ids=["user", "room", "link"],
)
@with_and_without_a_secret
async def test_swapped_ids_are_refused_by_both(lie: Lie, secrets: tuple[RoomSecret, ...]) -> None:
    outcome = await both_know(*secrets).over(Service(lie))
    outcome.assert_refused_by_both()
    assert isinstance(outcome.client, AuthenticationError)


@with_and_without_a_secret
async def test_another_worker_than_the_one_dialled_is_refused(secrets: tuple[RoomSecret, ...]) -> None:
    outcome = await replace(both_know(*secrets), identity=OTHER).over(Service())
    outcome.assert_refused_by_both()
    assert json.loads(outcome.sent[0])["type"] == "error"


@pytest.mark.parametrize(
    "stamp",
    [{"role": "worker"}, {"session": "l_another0"}],
    ids=lambda stamp: next(iter(stamp)),
)
async def test_an_offer_whose_stamp_cannot_be_is_not_taken_up(stamp: dict[str, str]) -> None:
    short = replace(TIMES, connect=0.2)
    outcome = await Meeting(times=short).over(Service(stamping(**stamp)))
    outcome.assert_refused()
    assert outcome.worker is None


@pytest.mark.parametrize("link_id", ["l_mallory0", None], ids=["another link", "the same link"])
async def test_a_recorded_offer_leads_to_no_second_link(link_id: str | None) -> None:
    service = Service()
    assert (await Meeting().over(service)).sessions == 2
    (offer,) = service.offers
    replayed = stamped(offer | {"link": link_id or offer["link"]})

    class Replaying(Service):
        async def from_client(self, body: Body) -> None:
            self.worker.hear(replayed)

    outcome = await Meeting(times=replace(TIMES, connect=0.2)).over(Replaying())
    outcome.assert_refused()
    assert outcome.sent == []


async def test_an_offer_with_a_link_id_that_was_used_is_ignored() -> None:
    service = Service()
    async with boards(service) as (client, worker):
        offer = {"type": "offer", "link": "l_12345678", "worker_id": WORKER.worker_id, "sdp": "v=0"}
        await service.from_client(offer)
        assert (await worker.offers.get()).link == "l_12345678"
        await service.from_client(offer)
        await service.from_client(offer | {"link": "l_87654321"})
        assert (await worker.offers.get()).link == "l_87654321"
        assert client.offers.empty()


# a man in the middle


def man(engines: tuple[str, str], read: list[Data]) -> ManInTheMiddle:
    """One who uses other engines than the two whom he deceives, and reads."""
    return ManInTheMiddle(engines[::-1], lambda client, worker: relay(client, worker, read=read))


@every_pair
@with_and_without_a_secret
async def test_who_only_relays_is_noticed_by_both(engines: tuple[str, str], secrets: tuple[RoomSecret, ...]) -> None:
    read: list[Data] = []
    outcome = await replace(both_know(*secrets), engines=engines).over(man(engines, read))
    outcome.assert_refused_by_both()
    assert isinstance(outcome.worker, AuthenticationError)
    assert {json.loads(data)["type"] for data in read} == {"hello", "proof.client", "error"}


DISGUISES: dict[str, Disguise] = {
    "the client's fingerprint": lambda client, own: client,
    "the client's, then his": lambda client, own: f"{client}\r\n{own}",
    "his, then the client's": lambda client, own: f"{own}\r\n{client}",
    "the client's, then his as sha-512": lambda client, own: f"{client}\r\n{FORGED['sha-512']}",
    "his as sha-384, then the client's": lambda client, own: f"{FORGED['sha-384']}\r\n{client}",
}


@every_pair
async def test_a_man_in_the_middle_cannot_show_the_clients_fingerprint_beside_his_own(engines: tuple[str, str]) -> None:
    async def attempt(name: str) -> None:
        service = ManInTheMiddle(engines[::-1], relay, DISGUISES[name])
        outcome = await replace(both_know(SECRET), engines=engines).over(service)
        outcome.assert_refused()
        assert outcome.sent == []

    await each_at_once(DISGUISES, attempt)


async def test_whoever_is_sent_back_his_own_words_is_not_deceived() -> None:
    outcome = await both_know(SECRET).over(ManInTheMiddle(("aiortc", "libwebrtc"), reflect))
    outcome.assert_refused_by_both()
    assert isinstance(outcome.client, ProtocolError)


async def say_nothing(client: Channel, worker: Channel) -> None:
    """Withhold the challenge; the client has nothing to answer."""
    await asyncio.gather(client.receive(), worker.receive())
    await asyncio.gather(client.receive(), worker.receive())


async def claim_success(client: Channel, worker: Channel) -> None:
    """Say that all is well, without a proof."""
    hello = await worker.receive()
    await client.send(hello)
    await client.receive()
    await client.send(json.dumps({"type": "ok"}))
    await client.receive()


async def ask_at_once(client: Channel, worker: Channel) -> None:
    """Send the worker a job's request instead of a proof."""
    hello = await worker.receive()
    await worker.send(json.dumps({"type": JOB.TYPE, "id": 1, "job": JOB.job}))
    await client.send(hello)
    await relay(client, worker)


@pytest.mark.parametrize("part", [say_nothing, claim_success, ask_at_once], ids=lambda part: part.__name__)
@with_and_without_a_secret
async def test_there_is_no_link_without_a_challenge_and_a_proof(part: Part, secrets: tuple[RoomSecret, ...]) -> None:
    times = replace(TIMES, proof=0.3 if part is say_nothing else TIMES.proof)

    async def play(client: Channel, worker: Channel) -> None:
        with suppress(ConnectionLost):
            await part(client, worker)
        await asyncio.gather(client.close(), worker.close())

    outcome = await replace(both_know(*secrets), times=times).over(ManInTheMiddle(("aiortc", "libwebrtc"), play))
    outcome.assert_refused()
    assert outcome.client is not None
    if part is say_nothing:
        assert isinstance(outcome.client, UnreachableError)
        assert outcome.sent == []


# what he can do where there is no secret: pose as a client, and never as the worker


class Poser(ManInTheMiddle):
    """Has everything but the secret and the worker's key: he dials as the client, and answers as the worker."""

    def __init__(self) -> None:
        super().__init__(("libwebrtc", "aiortc"), self._pose)
        self.heard: list[Data] = []

    async def _pose(self, client: Channel, worker: Channel) -> None:
        text = str(await worker.receive())
        hello = HELLO.decode(text)
        assert isinstance(hello, WorkerHello)
        with suppress(ConnectionLost):
            await self._as_worker(client, hello, text)
        with suppress(ConnectionLost):
            await self._as_client(worker, hello, text)
        await asyncio.gather(client.close(), worker.close())

    async def _as_worker(self, client: Channel, hello: WorkerHello, text: str) -> None:
        await client.send(text)
        proof = HELLO.decode(str(await client.receive()))
        if isinstance(proof, ClientProof):
            covered = transcript(self.as_worker(), hello, text, proof.hello)
            signature = OTHER.sign(b"sleap-rtc worker/1" + covered)
            await client.send(HELLO.encode(WorkerProof(mac=mac("worker", covered), signature=signature.hex())))
            await client.receive()

    async def _as_client(self, worker: Channel, hello: WorkerHello, text: str) -> None:
        epoch = max((name.epoch for name in hello.secrets), default=0)
        mine = HELLO.encode(ClientHello(v=VERSION, epoch=epoch, nonce="00" * 32))
        covered = transcript(self.as_client(), hello, text, mine)
        await worker.send(HELLO.encode(ClientProof(hello=mine, mac=mac("client", covered))))
        await worker.receive()
        await worker.send(LINK.encode(JOB.model_copy(update={"id": 1})))
        while True:
            self.heard.append(await worker.receive())
            await worker.send(LINK.encode(Bye(id=2, reason="enough")))


def mac(role: str, covered: bytes) -> str:
    """The MAC of who knows no secret."""
    return hmac.digest(NO_SECRET.proof_key(CLIENT.room, role), covered, "sha256").hex()


async def test_without_a_secret_the_service_can_pose_as_a_client_and_never_as_the_worker() -> None:
    poser = Poser()
    outcome = await Meeting().over(poser)
    assert outcome.served == [JOB.model_copy(update={"id": 1})]
    assert json.loads(poser.heard[0])["re"] == 1
    # the client whom he posed as was told nothing by anybody, and sent nothing of its job
    assert isinstance(outcome.client, AuthenticationError)
    assert {json.loads(data)["type"] for data in outcome.sent} == {"proof.client", "error"}
    assert outcome.sessions == 1


async def test_with_a_secret_he_can_do_neither() -> None:
    poser = Poser()
    outcome = await both_know(SECRET).over(poser)
    outcome.assert_refused_by_both()
    assert poser.heard == []


@pytest.mark.parametrize(
    ("at_the_client", "at_the_worker"),
    [((SECRET,), ()), ((), (SECRET,))],
    ids=["only the client has a secret", "only the worker has one"],
)
async def test_a_secret_on_one_side_is_enough_to_refuse_him(
    at_the_client: tuple[RoomSecret, ...], at_the_worker: tuple[RoomSecret, ...]
) -> None:
    read: list[Data] = []
    meeting = Meeting(client_secrets=at_the_client, worker_secrets=at_the_worker)
    (await meeting.over(man(("libwebrtc", "aiortc"), read))).assert_refused_by_both()


# the proof that comparable software used: it is relayed


async def bare_nonce(channel: Channel, exchange: ClientExchange | WorkerExchange, *, timeout: float) -> Proven:
    """The HMAC of a nonce: one way, and bound to nothing."""
    (secret,) = exchange.context.secrets
    if isinstance(exchange, ClientExchange):
        await channel.send(hmac.new(secret.key, str(await channel.receive()).encode(), "sha256").hexdigest())
        assert await channel.receive() == "welcome"
    else:
        nonce = token_hex(32)
        await channel.send(nonce)
        answer = str(await channel.receive())
        assert hmac.compare_digest(answer, hmac.new(secret.key, nonce.encode(), "sha256").hexdigest())
        await channel.send("welcome")
    return Proven(frozenset(), WORKER.public_key, b"")


@every_pair
async def test_the_attack_that_passes_the_hmac_of_a_bare_nonce_fails_here(
    engines: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Data] = []
    meeting = replace(both_know(SECRET), engines=engines)
    with monkeypatch.context() as patched:
        patched.setattr(link, "prove", bare_nonce)
        outcome = await meeting.over(man(engines, read))
    assert outcome.sessions == 2
    assert len(outcome.served) == 1
    assert [data for data in read if JOB.job in str(data)]  # the job, readable to the man in the middle
    (await meeting.over(man(engines, read))).assert_refused_by_both()


# clients that would rather not prove anything

Cheat = Callable[[ClientExchange, str], list[Data]]
"""What a client says instead of its proof, given what it could prove with, and the worker's hello."""


def a_wrong_proof_and_then_a_good_one(exchange: ClientExchange, hello: str) -> list[Data]:
    exchange.receive_message(hello)
    (good,) = exchange.messages_to_send()
    return [json.dumps(json.loads(good) | {"mac": "00" * 32}), good]


CHEATS: dict[str, Cheat] = {
    "a job": lambda exchange, hello: [],
    "its role": lambda exchange, hello: [json.dumps({"type": "hello", "role": "client"})],
    "an old version": lambda exchange, hello: [json.dumps({"type": "authenticated"})],
    "a hello alone": lambda exchange, hello: [
        json.dumps({"type": "hello.client", "v": 1, "epoch": 0, "nonce": "0" * 64})
    ],
    "the hello it heard": lambda exchange, hello: [hello],
    "half a message": lambda exchange, hello: [hello[:40]],
    "bytes": lambda exchange, hello: [bytes(64)],
    "a second attempt": a_wrong_proof_and_then_a_good_one,
}


def cheating(cheat: Cheat, heard: list[Data]) -> Callable[..., Awaitable[Proven]]:
    """What takes the place of `prove`: the worker goes on proving, the client does something else."""

    async def prove_or_cheat(channel: Channel, exchange: ClientExchange | WorkerExchange, *, timeout: float) -> Proven:
        if isinstance(exchange, WorkerExchange):
            return await prove(channel, exchange, timeout=timeout)
        with suppress(ConnectionLost):
            for data in cheat(exchange, str(await channel.receive())):
                await channel.send(data)
            await channel.send(LINK.encode(JOB.model_copy(update={"id": 1})))
            heard.append(await channel.receive())
        raise AuthenticationError("It did not work.")

    return prove_or_cheat


def privileged(body: Body) -> list[Body]:
    """A service whose offers say more than it may."""
    return [body | {"role": "client", "authenticated": True}] if body["type"] == "offer" else [body]


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS)
@with_and_without_a_secret
async def test_no_client_is_served_before_its_proof_whatever_its_offer_says(
    cheat: Cheat, secrets: tuple[RoomSecret, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Data] = []
    monkeypatch.setattr(link, "prove", cheating(cheat, heard))
    outcome = await both_know(*secrets).over(Service(privileged))
    assert outcome.sessions == 0
    assert outcome.served == []
    assert isinstance(outcome.worker, AuthenticationError | ProtocolError)
    assert {json.loads(data)["type"] for data in heard} <= {"error"}


async def test_a_client_that_was_proven_once_has_to_prove_itself_again(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting, service = both_know(SECRET), Service(privileged)
    assert (await meeting.over(service)).sessions == 2
    heard: list[Data] = []
    monkeypatch.setattr(link, "prove", cheating(CHEATS["a job"], heard))
    outcome = await meeting.over(service)
    assert (outcome.sessions, outcome.served) == (0, [])
    assert {json.loads(data)["type"] for data in heard} <= {"error"}
