"""Why a run failed, in a sentence that says what to do."""

import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.text import printable

from .known_failures import KNOWN, MEMORY, Known

_MAX_QUOTE = 6000
_MAX_SAID = 300
_RANK = re.compile(r"Process \S{1,20} of the training failed: (.*)")


@dataclass(frozen=True)
class Reported:
    """The exception that a runner reported before it ended."""

    kind: str
    message: str


def explain(run: str, exit_code: int | None, reported: Reported | None, tail: Iterable[str]) -> str:
    """One sentence or two about a run that failed.

    Args:
        run: its name.
        exit_code: of its process; negative for a signal; None if it could not be started.
        reported: the exception that ended it, where the runner could tell.
        tail: the last lines of its log.
    """
    lines = list(tail)
    said = _rank_said(lines) or (" ".join(f"{reported.kind}: {reported.message}".split()) if reported else "")
    if reported and reported.kind == "ModuleNotFoundError" and "sleap_nn" in reported.message:
        return (
            f"Run '{run}' failed: sleap-nn is not installed beside this worker. "
            'Install it there with `pip install "sleap-nn[torch]"` and submit again.'
        )
    if (memory := _find(MEMORY, [said, *lines])) is not None:
        return f"Run '{run}' failed: {memory.happened}{_ending(exit_code)}. {memory.advice}"
    if (known := _find(KNOWN, [said] if said else lines)) is not None:
        quoted = f" sleap-nn said: {printable(said, limit=_MAX_SAID)}" if said else ""
        return f"Run '{run}' failed: {known.happened}{_ending(exit_code)}. {known.advice}{quoted}"
    if not said and exit_code is not None and exit_code < 0:
        return f"Run '{run}' failed: sleap-nn was ended by {_signal(-exit_code)}.{_memory_hint(-exit_code)}"
    return f"Run '{run}' failed: {printable(said, limit=2000) or 'sleap-nn gave no reason'}{_ending(exit_code)}."


def _rank_said(lines: Sequence[str]) -> str:
    """Why one of several processes ended: the others only find that it is gone, or are ended for it."""
    return next((match[1] for line in lines if (match := _RANK.fullmatch(line.strip()))), "")


def _find(table: Iterable[Known], texts: Sequence[str]) -> Known | None:
    return next((known for known in table if any(known.signs.search(text) for text in texts)), None)


def rank_failed(rank: str, kind: str, message: str) -> str:
    """The line by which one of several processes of a training leaves word in the log of why it ended."""
    said = " ".join(message.split())
    return f"Process {rank} of the training failed: {kind}: {said[:2000]}"


def no_model(run: str) -> str:
    """The sentence for a run that ended well but left nothing."""
    return (
        f"Run '{run}' failed: sleap-nn ended without saving a model. Its log says why; check the config's model_ckpt."
    )


def no_predictions(run: str) -> str:
    """The same for an inference."""
    return f"Run '{run}' failed: sleap-nn ended without writing predictions. Its log says why."


def no_export(run: str) -> str:
    """The same for an export."""
    return f"Run '{run}' failed: sleap-nn ended without writing a network. Its log says why."


def took_too_much(run: str, why: str, *, kept: bool) -> str:
    """The sentence for a run that was ended because it took too much of its worker.

    Args:
        run: its name.
        why: what was too much, as `Bounds` says it.
        kept: whether there is a model of it.
    """
    model = " Its best model so far is kept and can be fetched." if kept else ""
    return f"Run '{run}' was ended: {why}{model}"


def with_log(sentence: str, tail: Iterable[str]) -> ErrorInfo:
    """The sentence, followed by the last lines of the log."""
    quoted = "\n".join(tail)
    if quoted:
        sentence += f"\nThe last lines of its log:\n{quoted[-_MAX_QUOTE:]}"
    return ErrorInfo(code="job_failed", sentence=sentence)


def _ending(exit_code: int | None) -> str:
    return "" if exit_code is None else f" (exit code {exit_code})"


def _signal(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _memory_hint(number: int) -> str:
    if number != getattr(signal, "SIGKILL", 9):
        return ""
    return " The machine may have run out of memory: lower batch_size or the number of data loading workers."
