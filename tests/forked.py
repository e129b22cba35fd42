"""Commands in processes of their own that start at once: forked from one that has imported what they need."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from tempfile import TemporaryDirectory

from sleap_rtc.cli.main import main

PATIENCE = 250
_IMPORTED = (
    "sleap_rtc.cli.jobs.reaching", "sleap_rtc.cli.progress_json", "sleap_rtc.cli.tracking", "sleap_rtc.cli.training",
    "aiortc", "httpx2", "rich.table", "uvloop", "webrtc",
)  # fmt: skip
_SERVER: ForkServerContext | SpawnContext
if sys.platform == "win32":
    _SERVER = multiprocessing.get_context("spawn")
else:
    _SERVER = multiprocessing.get_context("forkserver")
    _SERVER.set_forkserver_preload(list(_IMPORTED))


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


def sleap_rtc(*arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> Result:
    """Type a command as a script would: without a terminal, and with nothing to read.

    Args:
        arguments: what is typed after ``sleap-rtc``.
        cwd: where; the working folder without it.
        environment: all that it sees of its environment; this process's without it.
    """
    result = forked(main, arguments, cwd=cwd, environment=environment)
    assert "Traceback" not in result.out + result.err, result.err
    return result


def forked(
    command: Callable[[list[str]], int],
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Run a function, which must be one of a module, as a program that is given these arguments."""
    with TemporaryDirectory(prefix="forked-") as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        seen = dict(os.environ if environment is None else environment)
        process = _SERVER.Process(
            target=_run, args=(command, list(arguments), str(cwd or Path.cwd()), seen, str(out), str(err))
        )
        process.start()
        process.join(PATIENCE)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
        process.close()
        result = Result(-1 if code is None else code, out.read_text(), err.read_text())
    assert code is not None, f"it was not over after {PATIENCE} seconds: {result}"
    return result


def _run(
    command: Callable[[list[str]], int], arguments: list[str], cwd: str, environment: dict[str, str], out: str, err: str
) -> None:
    new = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, opened in enumerate((os.open(os.devnull, os.O_RDONLY), os.open(out, new), os.open(err, new))):
        os.dup2(opened, number)
        os.close(opened)
    # multiprocessing gives its processes other ones
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, closefd=False) for number, mode in enumerate("rww"))  # noqa: SIM115 - until it ends
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(command(arguments))
