"""What is asked of the preflight helper and what it answers: the messages on its pipes, one JSON line each.

The helper reads files of strangers, so its answers are checked like a stranger's.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.inspecting import InspectedLabels, RunSettings
from sleap_rtc.protocol.jobs import RunName, Verb
from sleap_rtc.protocol.text import printable

READY = b'{"ready": true}\n'
"""What the helper says when everything is imported."""
MAX_REQUEST = 8 * 1024 * 1024
"""Bytes of the longest line that the helper is sent."""
MAX_ANSWER = 1024 * 1024
"""Bytes of the longest line that is read from the helper."""
MAX_SENTENCES = 100
MAX_SENTENCE = 600
_MAX_REFUSAL = 7000

Sentence = Annotated[str, StringConstraints(max_length=MAX_SENTENCE)]
Sentences = Annotated[tuple[Sentence, ...], Field(max_length=MAX_SENTENCES)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RunToCheck(_Line):
    """One run: its name, and the file that says what it does: the config of a training, the task of an inference."""

    name: str
    config: str
    verb: Verb = Verb.TRAIN


class Request(_Line):
    """A staged job.

    Attributes:
        folder: the job's folder.
        runs: its runs, in order.
        free: bytes that are free where jobs are kept; the helper may see another disk.
        gpu_memory_mb: the memory of the GPU it will get; None where that is not known.
        videos: the arguments that will tell sleap-nn where the videos are.
        mounts: the folders beside its own that it may read, by label.
        describe: whether to tell what is in it as well.
    """

    folder: str
    runs: tuple[RunToCheck, ...]
    free: int
    kind: Literal["check"] = "check"
    gpu_memory_mb: int | None = None
    videos: tuple[str, ...] = ()
    mounts: dict[str, str] = {}
    describe: bool = False


class Findings(_Line):
    """What was found in a job.

    Attributes:
        problems: why it cannot be trained, a sentence each, which says what to do.
        notices: what its submitter should know.
        unchecked: whether nothing was looked at.
        settings: of each training, with sleap-nn's own defaults, where it was asked to be described.
        labels: what is trained on, likewise.
    """

    problems: Sentences = ()
    notices: Sentences = ()
    unchecked: bool = False
    settings: Annotated[dict[RunName, RunSettings], Field(max_length=MAX_SENTENCES)] = {}
    labels: InspectedLabels | None = None

    @classmethod
    def of(cls, problems: Iterable[str], notices: Iterable[str]) -> "Findings":
        """The findings, each said once, and no more or longer than a message may have."""
        return cls(problems=_bounded(problems), notices=_bounded(notices))

    def refusal(self) -> PackageError:
        """All problems in one error: a line that sums up, then one line each, as many as an error has room for."""
        count = len(self.problems)
        lines = [f"This job cannot be run: {count} problem{'s' * (count != 1)} found, nothing was queued."]
        room = _MAX_REFUSAL
        for shown, problem in enumerate(self.problems):
            line = f"- {printable(problem, limit=MAX_SENTENCE)}".replace("\n", " ")
            room -= len(line) + 1
            if room < 0:
                lines.append(f"- and {count - shown} more")
                break
            lines.append(line)
        return PackageError("\n".join(lines))


class Failed(_Line):
    """Why there is no answer, as the end of a sentence."""

    failed: Sentence


def _bounded(sentences: Iterable[str]) -> tuple[str, ...]:
    said = dict.fromkeys(printable(sentence, limit=MAX_SENTENCE) for sentence in sentences)
    return tuple(said)[:MAX_SENTENCES]
