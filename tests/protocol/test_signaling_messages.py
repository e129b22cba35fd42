import json

import pytest

from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.codec import ErrorInfo, Failure, Message
from sleap_rtc.protocol.ids import new_id, worker_id_from_key
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.reports import (
    JobFacts,
    JobReport,
    ModelFacts,
    ModelRegistered,
    ModelReport,
    RegisterModel,
    Reported,
    ReportJobs,
    ReportModels,
    RunReport,
)
from sleap_rtc.protocol.sdp import MAX_SDP, Candidate, IceServer
from sleap_rtc.protocol.signaling import (
    SIGNALING,
    Answer,
    Departed,
    Gone,
    GpuInfo,
    HolderList,
    Holders,
    IceCandidate,
    IceServers,
    Lease,
    Leased,
    Offer,
    Principal,
    Register,
    Registered,
    Reject,
    Revoked,
    Update,
    Visitor,
    Welcome,
    WorkerInfo,
    WorkerList,
    WorkerPresence,
    Workers,
    registration_text,
)

ROOM, USER, LINK, PRESENCE = (new_id(kind, bytes(10)) for kind in ("room", "user", "link", "presence"))
WORKER = worker_id_from_key(bytes(32))
ME = Principal(user=USER, name="me", role="client", room=ROOM, session=PRESENCE)
INFO = WorkerInfo(name="lab-gpu-1", version="0.1.0", gpus=[GpuInfo(name="NVIDIA A40", memory_mb=46068)])
HERE = WorkerPresence(worker_id=WORKER, public_key="00" * 32, name="lab-gpu-1", info=INFO, since=1)
GUEST = Visitor(user=USER, credential="t_1")
OUT = Departed(user=USER, credential="t_1", reason="You were removed.")
WHY = ErrorInfo(code="busy", sentence="Later.")
RUN = RunReport(name="centroid", model_type="centroid", epoch=3, epochs=10, loss=0.25)
JOB = JobReport(
    job=new_id("job", bytes(10)),
    user=USER,
    user_name="me",
    kind="train",
    state=JobState.LOST,
    submitted=1,
    facts=JobFacts(attempt=2, changed=5, started=4, ended=5, runs=(RUN,), error="lost"),
)
MODEL = ModelReport(
    title="centroid + centered_instance",
    digest="00" * 32,
    format="onnx",
    source="11" * 32,
    size=2**40,
    user=USER,
    made=3,
    facts=ModelFacts(types=("centroid", "centered_instance"), loss=0.25, parent="22" * 32, made_by="me"),
)

EXAMPLES = [
    Welcome(principal=ME, nonce="ab" * 32, ice_servers=[IceServer(urls=["stun:a.example"])], room_name="room"),
    IceServers(ice_servers=[IceServer(urls=["turn:a.example"], username="1:u", credential="c")]),
    Register(id=1, public_key="00" * 32, signature="11" * 64, name="lab-gpu-1", info=INFO),
    Registered(re=1, presence=PRESENCE, worker_id=WORKER),
    Update(info=INFO),
    Workers(id=2, after=WORKER),
    WorkerList(re=2, workers=[HERE], more=True),
    Holders(id=3, digest="00" * 32),
    HolderList(re=3, workers=[HERE]),
    Offer(link=LINK, worker_id=WORKER, sdp="v=0", sender=ME),
    Offer(link=LINK, worker_id=WORKER, sdp="v=0", sender=ME.model_copy(update={"role": "worker", "worker": WORKER})),
    Answer(link=LINK, sdp="v=0"),
    IceCandidate(link=LINK, candidate=Candidate(candidate="candidate:1 1 udp 1 10.0.0.1 5000 typ host", mid="0")),
    IceCandidate(link=LINK),
    Reject(link=LINK, error=WHY),
    Gone(link=LINK, worker_id=WORKER, error=WHY),
    Revoked(visitor=OUT),
    Lease(id=3, visitors=[GUEST]),
    Leased(re=3, departed=[OUT]),
    ReportJobs(id=3, jobs=(JOB,)),
    ReportModels(id=4, models=(MODEL,), complete=False),
    Reported(re=3, stored=1, refused=(JOB.job,), unwanted=(MODEL.digest,)),
    RegisterModel(id=5, name="fly", digest="00" * 32),
    ModelRegistered(re=5, name="fly", version=3),
    Failure(re=2, error=WHY),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: message.TYPE)
def test_every_message_survives_the_wire(message: Message) -> None:
    assert SIGNALING.decode(SIGNALING.encode(message)) == message


def test_every_message_has_an_example() -> None:
    assert {type(message) for message in EXAMPLES} == set(SIGNALING.messages)


def test_the_sender_is_called_from_on_the_wire() -> None:
    body = json.loads(SIGNALING.encode(Offer(link=LINK, worker_id=WORKER, sdp="v=0", sender=ME)))
    assert body["from"]["user"] == USER
    assert "sender" not in body


def test_registration_binds_nonce_room_and_worker() -> None:
    text = registration_text(b"n" * 32, ROOM, WORKER)
    assert text.startswith(b"sleap-rtc register/1\x00\x00\x00\x20" + b"n" * 32)
    assert text.endswith(len(WORKER).to_bytes(4, "big") + WORKER.encode())
    # the lengths keep one field from flowing into the next
    assert registration_text(b"", "ab", "c") != registration_text(b"", "a", "bc")


def test_a_description_has_a_bound() -> None:
    fits = Offer(link=LINK, worker_id=WORKER, sdp="v" * MAX_SDP)
    assert SIGNALING.decode(SIGNALING.encode(fits)) == fits
    text = SIGNALING.encode(fits).replace('"v', '"vv')
    with pytest.raises(ProtocolError, match="sdp"):
        SIGNALING.decode(text)


@pytest.mark.parametrize(
    "change",
    [
        {"link": "../x"},
        {"link": "w_" + "a" * 20},
        {"worker_id": "w_é" + "a" * 20},
        {"worker_id": None},
        {"sdp": 5},
        {"from": {"user": "u_short"}},
        {"id": -1},
        {"id": 2**53},
    ],
)
def test_wrong_values_are_refused(change: dict[str, object]) -> None:
    body = {"type": "offer", "link": LINK, "worker_id": WORKER, "sdp": "v=0"} | change
    with pytest.raises(ProtocolError):
        SIGNALING.decode(json.dumps(body))


def test_names_are_freed_of_what_steers_a_terminal() -> None:
    info = WorkerInfo(name="gpu\x1b[2J\n\u202eevil", version="1")
    assert info.name == "gpu evil"
    with pytest.raises(ValueError, match="at most 128"):
        WorkerInfo(name="n" * 129, version="1")


def test_unknown_types_and_fields_are_ignored() -> None:
    assert SIGNALING.decode('{"type": "dance"}') is None
    assert SIGNALING.decode('{"type": "workers", "id": 1, "tempo": 3}') == Workers(id=1)
