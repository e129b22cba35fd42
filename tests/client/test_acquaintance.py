"""Who a worker is, as ssh knows its hosts: remembered at the first contact, refused when another one answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sleap_rtc.client.acquaintance import Acquaintance, Encounter, Met, news_of
from sleap_rtc.client.link import WorkerLink
from sleap_rtc.config.identity import Identity
from sleap_rtc.config.known_workers import KnownWorker, KnownWorkers
from sleap_rtc.errors import AuthenticationError, SleapRTCError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.signaling import Offer
from tests.session.linked import CLIENT, Meeting, accepting, meeting

SERVER = "https://rtc.lab.example"
ONE, TWO = (KnownWorker(SERVER, "r_room0000", "gpu", bytes([seed]) * 32) for seed in (1, 2))


def meet(worker: KnownWorker, *known: KnownWorker) -> Met | None:
    return news_of(Encounter(worker.server, worker.room, worker.name, worker.worker_id), known)


def test_a_worker_is_new_once() -> None:
    assert meet(ONE) == Met("gpu", ONE.worker_id)
    assert meet(ONE, ONE) is None


def test_another_one_of_that_name_is_refused_with_what_to_do() -> None:
    with pytest.raises(AuthenticationError) as refused:
        meet(TWO, ONE)
    sentence = refused.value.sentence
    assert refused.value.exit_code == 3
    for words in ("'gpu'", ONE.worker_id, TWO.worker_id, "installed anew", "second worker", "standing in", "--add"):
        assert words in sentence
    assert f"sleap-rtc worker trust gpu --room r_room0000 --server {SERVER} --replace" in sentence


def test_a_name_that_a_shell_would_act_on_is_not_typed() -> None:
    odd = [replace(each, name="a; rm -rf ~") for each in (ONE, TWO)]
    with pytest.raises(AuthenticationError, match=f"worker trust {TWO.worker_id} --room"):
        meet(odd[1], odd[0])


def test_other_rooms_and_services_know_others() -> None:
    assert meet(TWO, replace(ONE, room="r_another0"), replace(ONE, server="https://other.example")) is not None


def test_a_known_worker_may_take_a_free_name_and_keeps_its_old_one() -> None:
    renamed = replace(ONE, name="gpu-new")
    assert meet(renamed, ONE) == Met("gpu-new", ONE.worker_id, before="gpu")
    with pytest.raises(AuthenticationError):
        meet(TWO, ONE, renamed)


def test_a_known_worker_cannot_take_the_name_of_another() -> None:
    with pytest.raises(AuthenticationError):
        meet(replace(TWO, name="gpu"), ONE, replace(TWO, name="two"))


def test_two_that_share_a_name_are_both_known() -> None:
    assert meet(ONE, ONE, TWO) is meet(TWO, ONE, TWO) is None


@asynccontextmanager
async def link_to(found: Meeting, met: list[Met]) -> AsyncIterator[WorkerLink]:
    encounter = Encounter(SERVER, CLIENT.room, "gpu", found.identity.worker_id)
    acquaintance = Acquaintance(encounter, KnownWorkers(), met.append)
    link = WorkerLink(
        found.client, lambda: CLIENT, found.identity.worker_id, found.client_settings, acquaintance=acquaintance
    )
    running = asyncio.ensure_future(link.run())
    try:
        yield link
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_a_worker_that_proved_itself_is_remembered_and_said_once() -> None:
    met: list[Met] = []
    async with meeting() as found, accepting(found):
        for _ in range(2):
            async with link_to(found, met) as link:
                await link.session()
    assert met == [Met("gpu", found.identity.worker_id)]
    assert [each.key for each in KnownWorkers().all()] == [found.identity.public_key]


async def test_nobody_is_remembered_who_did_not_prove_itself() -> None:
    met: list[Met] = []
    async with meeting() as found:
        impostor = replace(found, identity=Identity(Ed25519PrivateKey.generate()))
        async with accepting(impostor), link_to(found, met) as link:
            with pytest.raises(SleapRTCError):
                await link.session()
    assert met == []
    assert KnownWorkers().all() == []


async def test_another_one_is_refused_before_it_hears_anything() -> None:
    offers: list[Message] = []

    def listen(message: Message) -> Message:
        offers.append(message)
        return message

    async with meeting(rewrite=listen) as found, accepting(found):
        KnownWorkers().change(lambda known: ((), [replace(ONE, room=CLIENT.room)]))
        async with link_to(found, []) as link:
            with pytest.raises(AuthenticationError, match="is not the one that this machine has met"):
                await link.session()
    assert offers == []
    assert [each.key for each in KnownWorkers().all()] == [ONE.key]


async def test_of_two_that_are_met_at_once_the_second_is_refused(tmp_path: Path) -> None:
    """Another command meets another worker of that name while this one is being dialled."""

    def meanwhile(message: Message) -> Message:
        if isinstance(message, Offer):
            KnownWorkers().change(lambda known: ((), [replace(ONE, room=CLIENT.room)]))
        return message

    async with meeting(rewrite=meanwhile) as found, accepting(found), link_to(found, []) as link:
        with pytest.raises(AuthenticationError, match="is not the one"):
            await link.session()
    assert [each.key for each in KnownWorkers().all()] == [ONE.key]
