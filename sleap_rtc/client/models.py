"""Bringing a model of the room here: from any worker that holds it, checked before it appears."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sleap_rtc.client.client import Client
from sleap_rtc.client.staging import alone, share
from sleap_rtc.errors import (
    ConflictError,
    NotFoundError,
    ProtocolError,
    SleapRTCError,
    StorageError,
    TransferError,
    UnreachableError,
)
from sleap_rtc.protocol.model_messages import ABILITY
from sleap_rtc.protocol.models import RECORD, ModelRecord, bundle_digest
from sleap_rtc.protocol.text import printable
from sleap_rtc.session.session import Session
from sleap_rtc.signaling.model_records import Holder
from sleap_rtc.transfer.bundle import OnBytes, fetch_bundle
from sleap_rtc.transfer.disk import make_folder, storage_error
from sleap_rtc.transfer.store import Store

ROUNDS = 3
"""How often all holders are tried, one after the other, before a pull is given up."""


@dataclass(frozen=True)
class Wanted:
    """A model that shall come here.

    Attributes:
        digest: the bundle's, as the service says.
        name: what the room calls it; empty if it has no name, or was meant by its job.
        version: which version of that name.
        shown: what it is called in sentences.
    """

    digest: str
    shown: str
    name: str = ""
    version: int | None = None


@dataclass(frozen=True)
class Source:
    """A worker that holds the model, and how it is reached.

    Attributes:
        name: what it is called.
        dial: opens a link to it.
    """

    name: str
    dial: Callable[[], AbstractAsyncContextManager[Session]]


@dataclass(frozen=True)
class Pulled:
    """Where a model is now; `fresh` unless it was there before."""

    folder: Path
    record: ModelRecord
    fresh: bool


def source_of(client: Client, holder: Holder) -> Source:
    """A worker of a room that holds a model, dialled as the room knows it."""

    @asynccontextmanager
    async def dial() -> AsyncIterator[Session]:
        async with client.dial(holder.worker_id, name=holder.worker_name) as worker:
            # one connection and no other: where it drops, another holder may be faster than this one's return
            yield await worker.link.session()

    return Source(holder.worker_name, dial)


async def pull(
    wanted: Wanted,
    sources: Sequence[Source],
    output: Path,
    store: Store,
    *,
    on_bytes: OnBytes = lambda done, total: None,
    on_trouble: Callable[[str, SleapRTCError], None] = lambda name, error: None,
) -> Pulled:
    """Bring a model to a folder of this machine: whole and checked, or not at all.

    Args:
        wanted: which one.
        sources: those that have it and are online, the one to begin with first.
        output: the folder that it becomes; nothing there is ever changed.
        store: keeps what arrived, whole and in parts: the same command goes on from there.
        on_bytes: told the bytes that are here so far, and those there are.
        on_trouble: told of a source that could not be used, and why.

    Raises:
        ConflictError: if something else is in that place.
        TransferError: if every source offers something else than that model, with the file that is wrong.
        UnreachableError: if no source could be reached to the end.
        StorageError: if the disk refuses.
    """
    there = await asyncio.to_thread(_look, output, wanted)
    if there is not None:
        return there
    staging = output.with_name(f".{output.name}.part")
    await asyncio.to_thread(make_folder, staging)
    try:
        async with alone(staging, "a model", output):
            record = await _from_any(wanted, sources, staging / "files", store, on_bytes, on_trouble)
            return await asyncio.to_thread(_publish, staging, output, wanted, record)
    finally:
        await asyncio.to_thread(_remove_empty, staging)


async def _from_any(
    wanted: Wanted,
    sources: Sequence[Source],
    folder: Path,
    store: Store,
    on_bytes: OnBytes,
    on_trouble: Callable[[str, SleapRTCError], None],
) -> ModelRecord:
    left = list(sources)
    trouble: SleapRTCError | None = None
    for _ in range(ROUNDS):
        for source in list(left):
            try:
                async with source.dial() as session:
                    _check_able(session)
                    return await fetch_bundle(session, wanted.digest, folder, store, on_bytes)
            except StorageError:
                raise  # this machine's disk: another worker changes nothing
            except SleapRTCError as error:
                trouble = error
                on_trouble(source.name, error)
                if isinstance(error, TransferError | ProtocolError) or not isinstance(error, UnreachableError):
                    # what it holds is not that model, or is not handed out: asked again it is the same
                    left.remove(source)
    names = ", ".join(source.name for source in sources)
    if trouble is not None and not left:
        raise trouble
    raise UnreachableError(
        f"The model {wanted.shown} is held by {names or 'no worker that is online'}, which could not be reached to the "
        f"end{f' ({trouble.sentence})' if trouble else ''}. What arrived is kept: the same command goes on from there."
    )


def _check_able(session: Session) -> None:
    if ABILITY not in session.abilities:
        raise ProtocolError("The worker's sleap-rtc is too old to hand models out: upgrade it there.")


def default_folder(wanted: Wanted) -> Path:
    """Where a model goes unless the user says otherwise, below the current folder."""
    return Path("models", f"{wanted.name}-{wanted.version}" if wanted.name else wanted.shown)


def _look(output: Path, wanted: Wanted) -> Pulled | None:
    """What is in the model's place: nothing, or the very model.

    Raises:
        ConflictError: if it is something else.
    """
    if not output.exists() and not output.is_symlink():
        return None
    other = ConflictError(
        f"{output} is there already, and is not the model {wanted.shown}. Nothing was changed: give another folder "
        "with --output."
    )
    try:
        record = ModelRecord.from_bytes((output / RECORD).read_bytes())
        if (record.name or "", record.version) != (wanted.name, wanted.version):
            raise other
        unnamed = record.model_copy(update={"name": None, "version": None}).to_bytes()
        found = {RECORD: hashlib.sha256(unnamed).hexdigest()}
        for path in sorted(output.rglob("*")):
            name = path.relative_to(output).as_posix()
            if path.is_file() and name != RECORD:
                with path.open("rb") as file:
                    found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ProtocolError) as error:
        raise other from error
    if bundle_digest(found.items()) != wanted.digest:
        raise other
    return Pulled(output, record, fresh=False)


def _publish(staging: Path, output: Path, wanted: Wanted, record: ModelRecord) -> Pulled:
    """Write the name into the copy, and move it to its place in one step."""
    ready = staging / "files"
    named = record.model_copy(update={"name": wanted.name or None, "version": wanted.version})
    try:
        (ready / RECORD).unlink()
        (ready / RECORD).write_bytes(named.to_bytes())
        share(ready)
        if output.exists() or output.is_symlink():
            raise ConflictError(f"Something was put at {output} meanwhile. Give another folder with --output.")
        ready.rename(output)
        shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise storage_error(error, output) from error
    return Pulled(output, named, fresh=True)


def _remove_empty(staging: Path) -> None:
    """Leave nothing where nothing came: what did come is gone on with."""
    if staging.is_dir() and not any(path.is_file() for path in staging.rglob("*")):
        shutil.rmtree(staging, ignore_errors=True)


def not_held(shown: str, names: Sequence[str]) -> SleapRTCError:
    """Say that nobody who is online holds a model.

    Args:
        shown: what the model is called.
        names: workers that hold it and are away.
    """
    if not names:
        return NotFoundError(f"No worker of the room holds the model {shown} any more.")
    away = ", ".join(printable(name, limit=80) for name in names)
    return UnreachableError(f"The model {shown} is on {away}, which is not online. Try again when it is back.")
