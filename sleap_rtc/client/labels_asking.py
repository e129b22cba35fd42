"""Asking the labels helper: started for one question, bounded, and ended when it hangs."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from sleap_rtc.client.labels_messages import (
    MAX_LINE,
    Answer,
    Embed,
    Embedded,
    Embedding,
    LabelsFile,
    LabelsLook,
    Look,
    Looked,
    Merge,
    Merged,
    Placed,
    PlaceVideos,
)
from sleap_rtc.errors import PackageError
from sleap_rtc.jobs.environment import python_command
from sleap_rtc.protocol.text import printable

_ANSWER = TypeAdapter[Any](Answer)


@dataclass(frozen=True)
class Helper:
    """How the helper is started, and how long it may be silent, in seconds."""

    command: tuple[str, ...] = ()
    looking: float = 60.0
    embedding: float = 300.0


async def look(files: Sequence[LabelsFile], helper: Helper | None = None) -> tuple[LabelsLook, ...]:
    """What videos labels files are about; a file that nobody can read says why.

    Raises:
        PackageError: if the helper hangs or dies over them.
    """
    helper = helper or Helper()
    answer = await _ask(Look(files=tuple(files)), helper, helper.looking, "looked at", lambda _: None)
    if not isinstance(answer, Looked) or len(answer.files) != len(files):
        raise _failed("looked at", "it gave no answer")
    return answer.files


async def embed(
    request: Embed, on_frames: Callable[[int, int], None] = lambda done, total: None, helper: Helper | None = None
) -> int:
    """Embed the labelled frames of a labels file; see `Embed`.

    Args:
        request: what to embed, from where, and where to.
        on_frames: told the frames embedded so far and those there are.
        helper: how to start it.

    Returns:
        How many frames were embedded.

    Raises:
        PackageError: if a video cannot be read.
    """
    helper = helper or Helper()

    def tell(said: BaseModel) -> None:
        if isinstance(said, Embedding):
            on_frames(said.done, said.total)

    answer = await _ask(request, helper, helper.embedding, "embedded", tell)
    if not isinstance(answer, Embedded) or answer.problem:
        problem = answer.problem if isinstance(answer, Embedded) else None
        raise PackageError(
            f"The labelled frames of {Path(request.path).name} cannot be embedded: "
            f"{printable(problem or 'no answer', limit=400)}. Check that the video plays here; or send it as it is "
            "(--send-videos), or say where the worker has it (--video-path-map)."
        )
    return answer.frames


async def merge(request: Merge, helper: Helper | None = None) -> Merged:
    """Write a copy of a labels file with predictions in it; see `Merge`.

    Raises:
        PackageError: if the predictions do not fit the labels, or a file cannot be read or written.
    """
    helper = helper or Helper()
    answer = await _ask(request, helper, helper.embedding, "merged", lambda _: None)
    if not isinstance(answer, Merged) or answer.problem:
        problem = answer.problem if isinstance(answer, Merged) else None
        raise PackageError(
            f"The predictions were not merged into {Path(request.path).name}: "
            f"{printable(problem or 'no answer', limit=400)}."
        )
    return answer


async def place_videos(request: PlaceVideos, helper: Helper | None = None) -> int:
    """Let predictions name the files of this machine; see `PlaceVideos`.

    Returns:
        How many videos have another name now.

    Raises:
        PackageError: if the file is damaged, or refers to other files.
    """
    helper = helper or Helper()
    answer = await _ask(request, helper, helper.looking, "changed", lambda _: None)
    if not isinstance(answer, Placed) or answer.problem:
        problem = answer.problem if isinstance(answer, Placed) else None
        raise _failed("changed", printable(problem or "no answer", limit=400))
    return answer.videos


async def _ask(
    request: BaseModel, helper: Helper, silence: float, done: str, tell: Callable[[BaseModel], None]
) -> BaseModel:
    async with _started(helper) as process:
        assert process.stdin is not None  # noqa: S101 - we asked for pipes
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(request.model_dump_json().encode() + b"\n")
            await process.stdin.drain()
            while True:
                async with asyncio.timeout(silence):
                    line = await process.stdout.readline()
                if not line.endswith(b"\n"):
                    raise _failed(done, "what reads them ended")
                said: BaseModel = _ANSWER.validate_json(line)
                if not isinstance(said, Embedding):
                    return said
                tell(said)
        except TimeoutError as error:
            raise _failed(done, f"nothing was heard for {silence:g} seconds") from error
        except (OSError, ValueError) as error:
            raise _failed(done, "what reads them failed") from error


@asynccontextmanager
async def _started(helper: Helper) -> AsyncIterator[Process]:
    command = helper.command or python_command("sleap_rtc.client.labels_helper")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=MAX_LINE, env=_environment(), start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


def _environment() -> dict[str, str]:
    # no device, and no message of a video library on the user's terminal
    return dict(os.environ) | {"CUDA_VISIBLE_DEVICES": "", "PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8"}


def _failed(done: str, why: str) -> PackageError:
    return PackageError(
        f"The labels cannot be {done}: {why}. A labels file may be damaged: open it in SLEAP and save it again."
    )
