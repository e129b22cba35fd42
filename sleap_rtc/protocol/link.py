"""Control messages of a proven link: liveness, closing, lanes and streams."""

from pydantic import Field

from sleap_rtc.protocol import files, inspecting, jobs, model_messages, mounts, peers
from sleap_rtc.protocol.codec import ErrorInfo, Failure, Message, Registry
from sleap_rtc.protocol.labels import Farewell
from sleap_rtc.protocol.sdp import Candidate
from sleap_rtc.protocol.streams import MAX_LANES, LaneId, StreamId


class Done(Message):
    """Either side: the answer to a request that has nothing more to say."""

    TYPE = "ok"


class Ping(Message):
    """Either side: I am alive. Needs no answer, since both sides send it."""

    TYPE = "ping"


class Bye(Message):
    """Either side: I am closing the link; answered before it goes, because engines drop what is queued.

    With an `error`, the other side has no business here any more, and is not to dial again.
    """

    TYPE = "bye"
    reason: Farewell


class LaneOpen(Message):
    """Client → worker: open lane `lane` with this offer. Inherits the link's proof."""

    TYPE = "lane.open"
    lane: LaneId
    sdp: str = Field(max_length=16 * 1024)


class LaneAnswer(Message):
    """Worker → client: the answer for the lane."""

    TYPE = "lane.answer"
    sdp: str = Field(max_length=16 * 1024)


class LaneCandidate(Message):
    """Either side: a trickled ICE candidate of a lane (RFC 8838)."""

    TYPE = "lane.candidate"
    lane: LaneId
    candidate: Candidate


class LaneWanted(Message):
    """Worker → client: open lanes until there are this many; what I receive comes faster over them."""

    TYPE = "lane.wanted"
    lanes: int = Field(ge=1, le=MAX_LANES)


class LaneClosed(Message):
    """Either side: this lane ended here, on purpose or not; what is under way on it is asked for again."""

    TYPE = "lane.closed"
    lane: LaneId


class StreamCredit(Message):
    """Receiver → sender: you may send up to byte `limit` of this stream."""

    TYPE = "stream.credit"
    stream: StreamId
    limit: int = Field(ge=0, lt=2**62)


class StreamReset(Message):
    """Either side: this stream ends here, and why."""

    TYPE = "stream.reset"
    stream: StreamId
    reason: ErrorInfo


LINK = Registry(
    "link",
    Ping,
    Bye,
    Done,
    Failure,
    LaneOpen,
    LaneAnswer,
    LaneCandidate,
    LaneWanted,
    LaneClosed,
    StreamCredit,
    StreamReset,
    files.ManifestGet,
    files.ChunksGet,
    files.FileGet,
    files.TransferProgress,
    inspecting.JobInspect,
    inspecting.JobInspected,
    jobs.JobSubmit,
    jobs.JobAccepted,
    jobs.JobShow,
    jobs.JobList,
    jobs.JobListed,
    jobs.JobResume,
    jobs.JobAgain,
    jobs.JobWatch,
    jobs.JobEvents,
    jobs.JobLog,
    jobs.JobWatchEnded,
    jobs.JobCommand,
    mounts.MountList,
    mounts.MountListed,
    mounts.FolderGet,
    model_messages.ModelPush,
    model_messages.ModelPushed,
    peers.PeerProve,
)
"""What may be said on a link's control channel once both sides are proven."""
