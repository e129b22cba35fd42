"""Who may connect, what they are told, and who may say what to whom."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from sleap_rtc.protocol.sdp import MAX_SDP
from sleap_rtc.protocol.signaling import SIGNALING
from sleap_rtc.protocol.tokens import make_token
from tests.service.peers import INFO, Key, Peer, link, open_room, peer, worker
from tests.service.running import RunningService, running_service

pytestmark = pytest.mark.spread
ONE, TWO, THREE = Key(1), Key(2), Key(3)


async def refused(
    service: RunningService, *, query: str = "", subprotocol: str = "sleap-rtc.v1", **options: Any
) -> Any:
    with pytest.raises(InvalidStatus) as caught:
        await connect(service.ws_url + query, subprotocols=[Subprotocol(subprotocol)], proxy=None, **options)
    return caught.value.response


async def test_every_wrong_credential_gets_the_same_answer(service: RunningService) -> None:
    room = await open_room(service)
    good = room.session_token
    answers = [
        await refused(service),
        await refused(service, query=f"?token={good}"),
        *[
            await refused(service, additional_headers={"Authorization": header})
            for header in (
                "",
                "Bearer",
                "Bearer ",
                f"Basic {good}",
                f"Bearer {good}x",
                f"Bearer {good[:-1]}{'0' if good[-1] != '0' else '1'}",
                f"Bearer {good[:-7]}",
                f"Bearer {make_token('session', bytes(32))}",
                f"Bearer {make_token('worker', bytes(32))}",
                f"Bearer {make_token('access', bytes(32))}",
                f"Bearer {make_token('invite', bytes(32))}",
                "Bearer " + "a" * 5000,
                f"Bearer {room.room_id}",
            )
        ],
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({bytes(answer.body) for answer in answers}) == 1


async def test_another_origin_and_another_version_are_refused(service: RunningService) -> None:
    room = await open_room(service)
    headers = {"Authorization": f"Bearer {room.session_token}"}
    foreign = await refused(service, additional_headers=headers, origin=Origin("https://evil.example"))
    broken = await refused(service, additional_headers=headers, origin=Origin("http://["))
    assert (foreign.status_code, broken.status_code) == (401, 401)
    newer = await refused(service, additional_headers=headers, subprotocol="sleap-rtc.v9")
    assert newer.status_code == 400
    assert b"Upgrade" in newer.body


async def test_the_welcome_tells_role_and_room_from_the_token(tmp_path: Path) -> None:
    ice = [{"urls": ["stun:stun.lab.example"]}]
    async with running_service(tmp_path, ice_servers=ice) as service:
        room = await open_room(service, "lab")
        async with peer(service, room.session_token) as client, peer(service, room.worker_token) as gpu:
            assert client.welcome["principal"]["role"] == "client"
            assert gpu.welcome["principal"]["role"] == "worker"
            assert client.welcome["principal"]["room"] == gpu.welcome["principal"]["room"] == room.room_id
            assert client.welcome["principal"]["user"] != gpu.welcome["principal"]["user"]
            assert client.welcome["nonce"] != gpu.welcome["nonce"]
            assert client.welcome["ice_servers"] == ice
            assert client.welcome["room_name"] == "lab"


async def test_offer_answer_and_candidates_pass_between_the_two(service: RunningService) -> None:
    room = await open_room(service)
    async with worker(service, room, ONE) as gpu, peer(service, room.session_token) as client:
        await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v" * MAX_SDP, id=4)
        offer = await gpu.hear()
        assert (offer["type"], offer["link"], len(offer["sdp"])) == ("offer", link(), MAX_SDP)
        assert "id" not in offer
        assert offer["from"] == client.welcome["principal"] | {"session": link()}
        await client.say("candidate", link=link(), candidate={"candidate": "candidate:1", "mid": "0"})
        assert (await gpu.hear())["candidate"]["candidate"] == "candidate:1"
        # an id in a passed message could pose as the service's answer
        await gpu.say("answer", link=link(), sdp="v=0", re=4, id=4)
        assert await client.hear() == {"type": "answer", "link": link(), "sdp": "v=0"}
        await gpu.say("candidate", link=link())
        assert await client.hear() == {"type": "candidate", "link": link()}
        await gpu.say("reject", link=link(), error={"code": "busy", "sentence": "Full."})
        assert (await client.hear())["error"]["sentence"] == "Full."


async def test_a_spoofed_sender_is_overwritten(service: RunningService) -> None:
    room, other = await open_room(service), await open_room(service)
    async with (
        worker(service, room, ONE) as gpu,
        peer(service, room.session_token) as client,
        peer(service, other.session_token) as victim,
    ):
        forged = victim.welcome["principal"] | {"role": "worker", "name": "admin", "session": link()}
        await client.say(
            "offer",
            link=link(),
            worker_id=ONE.worker_id,
            sdp="v=0",
            **{"from": forged, "role": "worker", "room": other.room_id},
        )
        heard = await gpu.hear()
        assert heard["from"] == client.welcome["principal"] | {"session": link()}
        assert "role" not in heard


async def test_a_foreign_target_looks_like_none(service: RunningService) -> None:
    room, other = await open_room(service), await open_room(service)
    async with worker(service, other, ONE) as foreign, peer(service, room.session_token) as client:
        gone = [
            await client.ask("offer", link=link(n), worker_id=key.worker_id, sdp="v=0", id=n)
            for n, key in enumerate((ONE, TWO))
        ]
        assert gone[0]["error"] == gone[1]["error"]
        assert {answer["type"] for answer in gone} == {"gone"}
        assert [answer["re"] for answer in gone] == [0, 1]
        assert await foreign.silent()
        assert (await client.ask("workers", id=1))["workers"] == []


async def test_workers_are_listed_by_page(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling_server.signaling.routing.PAGE_BYTES", 500)
    room = await open_room(service)
    keys = [Key(n) for n in range(1, 6)]
    async with AsyncExitStack() as stack:
        gpus = [await stack.enter_async_context(worker(service, room, key)) for key in keys]
        client = await stack.enter_async_context(peer(service, room.session_token))
        seen: list[str] = []
        more = True
        while more:
            answer = await client.ask("workers", id=1, **({"after": seen[-1]} if seen else {}))
            seen += [found["worker_id"] for found in answer["workers"]]
            more = answer["more"]
        assert seen == sorted(key.worker_id for key in keys)
        await gpus[0].say("update", info=INFO.model_copy(update={"busy": 1}).model_dump())
        assert await gpus[0].silent()
        [first] = [w for w in (await client.ask("workers", id=2))["workers"] if w["info"]["busy"]]
        assert first["public_key"] in {key.public.hex() for key in keys}


VERBS: dict[str, dict[str, Any]] = {
    "register": {"public_key": ONE.public.hex(), "signature": "00" * 64, "name": "x", "info": INFO.model_dump()},
    "update": {"info": INFO.model_dump()},
    "workers": {},
    "offer": {"link": link(), "worker_id": ONE.worker_id, "sdp": "v=0"},
    "answer": {"link": link(), "sdp": "v=0"},
    "candidate": {"link": link()},
    "reject": {"link": link()},
    "report_jobs": {"jobs": []},
    "report_models": {"models": [], "complete": True},
    "register_model": {"name": "fly", "digest": "00" * 32},
    "gone": {"link": link()},
    "registered": {"presence": "p_" + "a" * 8, "worker_id": ONE.worker_id},
    "reported": {"stored": 0},
    "model_registered": {"name": "fly", "version": 1},
    "worker_list": {"workers": []},
    "holders": {"digest": "00" * 32},
    "holder_list": {"workers": []},
    "ice_servers": {"ice_servers": []},
    "welcome": {
        "nonce": "00" * 32,
        "principal": {"user": "u_" + "a" * 8, "name": "", "role": "client", "room": "r_" + "a" * 8, "session": link()},
    },
    "revoked": {"visitor": {"user": "u_" + "a" * 8, "credential": "t_1", "reason": "x"}},
    "lease": {"visitors": []},
    "leased": {"departed": []},
    "error": {},
}
# (client, worker before it registered, worker): the code of the refusal, None where it is served
TABLE: dict[str, tuple[str | None, str | None, str | None]] = {
    "register": ("forbidden", None, "conflict"),
    "update": ("forbidden", "conflict", None),
    "workers": (None, "forbidden", "forbidden"),
    "offer": ("not_found", "conflict", "not_found"),
    "holders": ("forbidden", "conflict", None),
    "holder_list": ("protocol", "protocol", "protocol"),
    "answer": ("forbidden", "conflict", "not_found"),
    "candidate": ("not_found", "conflict", "not_found"),
    "reject": ("forbidden", "conflict", "not_found"),
    "report_jobs": ("forbidden", "conflict", None),
    "report_models": ("forbidden", "conflict", None),
    "register_model": ("forbidden", "conflict", "conflict"),
    "gone": ("protocol", "protocol", "protocol"),
    "registered": ("protocol", "protocol", "protocol"),
    "reported": ("protocol", "protocol", "protocol"),
    "model_registered": ("protocol", "protocol", "protocol"),
    "worker_list": ("protocol", "protocol", "protocol"),
    "ice_servers": ("protocol", "protocol", "protocol"),
    "welcome": ("protocol", "protocol", "protocol"),
    "revoked": ("protocol", "protocol", "protocol"),
    "lease": ("forbidden", "conflict", None),
    "leased": ("protocol", "protocol", "protocol"),
    "error": ("protocol", "protocol", "protocol"),
}


def test_every_message_has_a_row() -> None:
    assert set(TABLE) == {message.TYPE for message in SIGNALING.messages} == set(VERBS)


async def verdict(asking: Peer, verb: str) -> str | None:
    answer = await asking.ask(verb, id=7, **VERBS[verb])
    code: str | None = answer.get("error", {}).get("code")
    assert code is None or answer["re"] == 7
    return code


async def test_who_may_say_what(service: RunningService) -> None:
    room = await open_room(service)
    for verb, expected in TABLE.items():
        async with peer(service, room.session_token) as client:
            assert await verdict(client, verb) == expected[0], verb
        async with peer(service, room.worker_token) as fresh:
            if expected[1] is not None:
                assert await verdict(fresh, verb) == expected[1], verb
        async with worker(service, room, TWO) as gpu:
            if expected[2] is not None:
                assert await verdict(gpu, verb) == expected[2], verb


async def test_a_link_id_is_good_for_one_offer(service: RunningService) -> None:
    room = await open_room(service)
    async with (
        worker(service, room, ONE) as gpu,
        peer(service, room.session_token) as client,
        peer(service, room.session_token) as twin,
    ):
        offer = {"link": link(), "worker_id": ONE.worker_id, "sdp": "v=0"}
        await client.say("offer", **offer)
        assert (await gpu.hear())["type"] == "offer"
        assert (await client.ask("offer", **offer))["error"]["code"] == "conflict"
        # somebody else with the same link id does not reach the worker, and gets none of the link's messages
        await twin.say("offer", **offer)
        assert await twin.silent()
        await gpu.say("answer", link=link(), sdp="v=0")
        assert (await client.hear())["type"] == "answer"
        assert await twin.silent()


async def test_candidates_have_a_bound_and_their_end_still_passes(service: RunningService) -> None:
    room = await open_room(service)
    async with worker(service, room, ONE) as gpu, peer(service, room.session_token) as client:
        await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
        for n in range(40):
            await client.say("candidate", link=link(), candidate={"candidate": f"candidate:{n}"})
        await client.say("candidate", link=link())
        assert (await gpu.hear())["type"] == "offer"
        heard = [await gpu.hear() for _ in range(33)]
        assert [message["candidate"]["candidate"] for message in heard[:32]] == [f"candidate:{n}" for n in range(32)]
        assert "candidate" not in heard[32]


async def test_a_worker_that_dials_another_is_stamped_with_its_proven_id(
    service: RunningService,
) -> None:
    room, other = await open_room(service), await open_room(service)
    async with (
        worker(service, room, ONE) as dialled,
        worker(service, room, TWO) as dialling,
        worker(service, other, THREE) as stranger,
    ):
        forged = dialled.welcome["principal"] | {"role": "client", "worker": THREE.worker_id}
        offer = {"link": link(), "worker_id": ONE.worker_id, "sdp": "v=0"}
        await dialling.say("offer", **offer, **{"from": forged})
        stamp = (await dialled.hear())["from"]
        assert (stamp["role"], stamp["worker"], stamp["session"]) == ("worker", TWO.worker_id, link())
        assert stamp["room"] == room.room_id
        # whoever dialled does not answer, nor refuse, in the other one's name
        for verb in ("answer", "reject"):
            refused = await dialling.ask(verb, link=link(), sdp="v=0")
            assert (refused["type"], refused["error"]["code"]) == ("gone", "not_found")
        assert await dialled.silent()
        await dialled.say("answer", link=link(), sdp="v=0")
        assert (await dialling.hear())["type"] == "answer"
        # a worker of another room is not there for it, nor is it for itself
        for asking, wanted in ((stranger, ONE), (dialling, THREE), (dialling, TWO)):
            gone = await asking.ask("offer", link=link(1), worker_id=wanted.worker_id, sdp="v=0")
            assert (gone["type"], gone["error"]["code"]) == ("gone", "not_found")
        assert await dialled.silent()


async def test_a_clients_offer_names_no_worker_whatever_it_says(service: RunningService) -> None:
    room = await open_room(service)
    async with worker(service, room, ONE) as gpu, peer(service, room.session_token) as client:
        forged = client.welcome["principal"] | {"role": "worker", "worker": ONE.worker_id}
        await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0", **{"from": forged})
        stamp = (await gpu.hear())["from"]
        assert (stamp["role"], stamp.get("worker")) == ("client", None)


async def test_a_dialing_peer_learns_at_once_that_the_other_is_gone(service: RunningService) -> None:
    room = await open_room(service)
    async with peer(service, room.session_token) as client:
        async with worker(service, room, ONE) as gpu:
            for n in range(2):
                await client.say("offer", link=link(n), worker_id=ONE.worker_id, sdp="v=0")
                await gpu.hear()
            await gpu.say("answer", link=link(1), sdp="v=0")
            assert (await client.hear())["type"] == "answer"
        gone = await client.hear()
        # the answered link is not mentioned: it lives between the peers
        assert (gone["type"], gone["link"], gone["error"]["code"]) == ("gone", link(0), "not_found")
        assert await client.silent()
