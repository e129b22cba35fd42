"""The preflight helper as a process: started in a sandbox where there is one, asked, and ended."""

import asyncio
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from sleap_rtc.config.finishing import to_the_end

from .environment import runner_environment
from .findings import MAX_ANSWER, MAX_REQUEST, READY, Failed
from .sandbox.bwrap import Look
from .sandbox.compiled import compiled
from .sandbox.settings import SandboxSettings
from .sandbox.view import HOME
from .showing import Showcase

A = TypeVar("A", bound=BaseModel)
_BLOCK = 64 * 1024
_MAX_LOG = 1024 * 1024
_CONTROL = bytes(set(range(32)) - set(b"\n\t") | {127})
_AS_WRITTEN = bytes.maketrans(_CONTROL, b"?" * len(_CONTROL))


class Helper:
    """A helper that has been started.

    Args:
        process: it, or the sandbox around it, which ends with it and it with that.
        log: where what it says beside its answers is written.
    """

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        # owned by this object: `bury` ends it
        self._logging = asyncio.create_task(_keep_log(process, log))

    async def is_ready(self, within: float) -> bool:
        """Whether it has said so, `within` seconds."""
        assert self._process.stdout is not None  # noqa: S101 - we asked for pipes
        try:
            async with asyncio.timeout(within):
                return await self._process.stdout.readline() == READY
        except (TimeoutError, ValueError):
            return False

    async def ask(self, request: BaseModel, answer: type[A]) -> A | Failed:
        """Send a request and wait for its answer.

        Raises:
            OSError: if the helper is gone.
            ValueError: if it answers what is no answer, or the request is too long for it.
        """
        assert self._process.stdin is not None  # noqa: S101 - we asked for pipes
        assert self._process.stdout is not None  # noqa: S101
        asked = request.model_dump_json().encode() + b"\n"
        if len(asked) > MAX_REQUEST:
            raise ValueError(f"the request has {len(asked)} bytes")
        self._process.stdin.write(asked)
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the helper ended")
        with suppress(ValidationError):
            return Failed.model_validate_json(line)
        return answer.model_validate_json(line)

    async def ended(self) -> None:
        """Wait for its end."""
        await self._process.wait()

    def kill(self) -> None:
        """End it, with all that it started where it is in a sandbox."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def bury(self) -> None:
        """Wait for the end of a killed one, and give its pipes back."""
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
            await self._process.wait()
            with suppress(TimeoutError, ValueError):
                async with asyncio.timeout(1):
                    await asyncio.shield(self._logging)
                    while self._process.stdout is not None and await self._process.stdout.read(_BLOCK):
                        continue
        finally:
            self._logging.cancel()
            # by itself asyncio does it in a later turn of the loop, and there may be none
            self._process._transport.close()  # type: ignore[attr-defined] # noqa: SLF001


class Place:
    """Where helpers run, one after another.

    Args:
        folder: of their own, made where there is none.
        command: what starts one.
        sandbox: what it is to be kept in; None where it sees what this user sees.
        imports_sleap_nn: whether it does, and so must find it compiled in a sandbox.
    """

    def __init__(
        self, folder: Path, command: list[str], sandbox: SandboxSettings | None, *, imports_sleap_nn: bool = True
    ) -> None:
        self._imports_sleap_nn = imports_sleap_nn
        self.log = folder / "log.txt"
        self._folder, self._command, self._sandbox = folder, command, sandbox
        self._showcase = Showcase(folder / "shown", Path(sandbox.jobs)) if sandbox else None

    async def start(self) -> Helper:
        """Start a helper. It ends with the thread that calls this.

        Raises:
            OSError: if that fails.
        """
        if self._sandbox and self._imports_sleap_nn:
            await compiled()
        look = await to_the_end(asyncio.to_thread(self._prepare))
        # no device: the helper must not take memory of a GPU that a job trains on
        home = Path(HOME) if self._sandbox else self._folder.absolute()
        environment = runner_environment(str(self._folder.absolute()), home)
        with look.starting() if look else nullcontext((self._command, ())) as (command, given):
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=MAX_ANSWER, cwd=self._folder, pass_fds=given,
                env=environment | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}, start_new_session=True,
            )  # fmt: skip
        return Helper(process, self.log)

    def _prepare(self) -> Look | None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log.write_bytes(b"")
        if self._sandbox is None or self._showcase is None:
            # of a worker that had a sandbox, and died
            shutil.rmtree(self._folder / "shown", ignore_errors=True)
            return None
        self._showcase.set_up()
        return Look.at(str(self._showcase.folder.resolve()), self._sandbox, self._command)

    def show(self, paths: Iterable[Path]) -> None:
        """Let the helper see files of a job, where it does not see them anyway. Blocks.

        Raises:
            OSError: if that fails.
            ValueError: if they are elsewhere than jobs are.
        """
        if self._showcase:
            self._showcase.clear()
            self._showcase.show(paths)

    def hide(self) -> None:
        """Take away again what was shown. Blocks.

        Raises:
            OSError: if that fails: the helper must be asked nothing more then.
        """
        if self._showcase:
            self._showcase.clear()


async def _keep_log(process: Process, log: Path) -> None:
    """Write down what a helper says, up to what a log may hold; the rest is read and forgotten."""
    assert process.stderr is not None  # noqa: S101 - we asked for a pipe
    left = _MAX_LOG
    while block := await process.stderr.read(_BLOCK):
        if left > 0:
            await asyncio.to_thread(_append, log, block[:left].translate(_AS_WRITTEN))
        left -= len(block)


def _append(log: Path, block: bytes) -> None:
    # no log is worth the helper
    with suppress(OSError), log.open("ab") as file:
        file.write(block)
