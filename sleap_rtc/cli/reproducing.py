"""What ``sleap-rtc models reproduce`` does once its options are read: find what was asked for then, and ask again."""

import asyncio
import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from sleap_rtc.cli.choosing import RoomChoice
from sleap_rtc.cli.exporting import meant_model
from sleap_rtc.cli.following import Asks, models_into, until_interrupted
from sleap_rtc.cli.models.meant import Meant
from sleap_rtc.cli.output import note
from sleap_rtc.cli.progress import JobDisplay, make_display
from sleap_rtc.cli.registering import say_registered
from sleap_rtc.cli.running import beside
from sleap_rtc.cli.submitting import Reached, Remote, reach
from sleap_rtc.cli.training_request import find_wandb_key
from sleap_rtc.client.assembling import Wanted
from sleap_rtc.client.client import Client
from sleap_rtc.client.model_finding import check_online
from sleap_rtc.client.models import source_of
from sleap_rtc.client.package import Package, UnreadPackage, open_source, shown_name
from sleap_rtc.client.pending import PendingJobs, content_of
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.client.reproducing import check_same, options_of
from sleap_rtc.config.paths import home
from sleap_rtc.errors import NotFoundError, SleapRTCError, UnreachableError
from sleap_rtc.protocol.models import ModelRecord, ModelRef
from sleap_rtc.protocol.training import TrainOptions
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import ServiceAPI, find_room
from sleap_rtc.transfer.bundle import fetch_record
from sleap_rtc.transfer.source import FilesSource
from sleap_rtc.transfer.store import Store
from sleap_rtc.transport.engines import Engine, preload

_GIVE_IT = "Give the package that it was trained on with --pkg-path."


@dataclass(frozen=True)
class ReproduceRequest:
    """What the user asks for.

    Attributes:
        ref: which model.
        package: what it was trained on; None for what its worker still has.
        any_version: whether sleap-nn may be another one.
        output: the folder for the models.
    """

    ref: ModelRef
    package: Path | None
    any_version: bool
    output: Path


async def reproduce_remotely(request: ReproduceRequest, remote: Remote) -> int:
    """Train a model of a room once more, on one of its workers.

    Returns:
        The exit code.

    Raises:
        SleapRTCError: whatever went wrong, as a sentence.
    """
    with make_display(json=remote.as_json, logs=remote.logs) as display:
        return await until_interrupted(lambda asks: _reproduce(request, remote, display, asks))


async def _reproduce(request: ReproduceRequest, remote: Remote, display: JobDisplay, asks: Asks) -> int:
    display.connecting("the room")
    meant = await meant_model(request.ref, remote)
    record = await _record_of(meant, remote)
    options = options_of(record, meant.ref)
    version = None if request.any_version else record.sleap_nn or None
    if request.package is None:
        where = await _job_place(meant, record, remote)
        unread = UnreadPackage(meant.ref, FilesSource({}), options)
    else:
        where = remote
        source = await asyncio.to_thread(open_source, request.package)
        unread = UnreadPackage(await asyncio.to_thread(shown_name, request.package), source, options)
    with closing(unread):
        async with (
            beside(_read(unread, record, meant.ref, given=request.package is not None)) as reading,
            reach(_wishing(where, version), reading, display) as reached,
        ):
            package = await reading
            job = await _submit(reached, package, record, remote, again=request.package is None)
            code = await reached.follow(job, asks, models_into(request.output))
    if code == 0 and options.register_as is not None and not remote.detach:
        await say_registered(remote, job.id, options.register_as, display)
    return code


async def _read(unread: UnreadPackage, record: ModelRecord, ref: str, *, given: bool) -> Package:
    package = await unread.read()
    if given:
        check_same(record, package.manifest, ref)
    return package


async def _record_of(meant: Meant, remote: Remote) -> ModelRecord:
    """The ``model.json`` of a model, from any worker that has it."""
    check_online(meant.model.holders, meant.ref)
    room = await _room_id(remote)
    engine = cast(Engine, remote.transport)
    await asyncio.to_thread(preload, engine)
    trouble: SleapRTCError | None = None
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(await asyncio.to_thread(Store, home() / "store", max_bytes=remote.limits.max_store)) as store,
    ):
        async with Client.join(
            remote.server,
            Account(remote.server),
            room=room,
            engine=engine,
            timeouts=remote.timeouts,
            limits=remote.limits,
            secrets=remote.secrets.secrets,
        ) as client:
            for number, holder in enumerate(meant.model.online_holders()):
                try:
                    async with source_of(client, holder).dial() as session:
                        return await fetch_record(session, meant.model.digest, Path(folder, str(number)), store)
                except SleapRTCError as error:
                    trouble = error
    raise trouble or UnreachableError(f"No worker that has {meant.ref} is online any more. Try again in a moment.")


async def _room_id(remote: Remote) -> str:
    where = cast(RoomChoice, remote.where)
    room = find_room(await ServiceAPI(remote.server, Account(remote.server)).rooms(), where.room)
    await asyncio.to_thread(remote.secrets.check_name, remote.server, where.room, room.room_id)
    return room.room_id


async def _job_place(meant: Meant, record: ModelRecord, remote: Remote) -> Remote:
    """Where the job is that trained a model.

    Raises:
        NotFoundError: if nobody has it any more, or it is not this user's to act on.
        UnreachableError: if its worker is away.
    """
    api = ServiceAPI(remote.server, Account(remote.server))
    jobs = [each for each in await api.jobs(await _room_id(remote)) if each.job_id == record.job]
    if not jobs:
        raise NotFoundError(f"No worker of the room has the job of {meant.ref} any more. {_GIVE_IT}")
    job = jobs[0]
    if not job.mine:
        raise NotFoundError(
            f"The job of {meant.ref} was submitted by {job.user_name}: its files are theirs. {_GIVE_IT}"
        )
    if not job.worker_online:
        raise UnreachableError(
            f"The job of {meant.ref} is on {job.worker_name}, which is not online. Try again when it is back, or give "
            "the package that it was trained on with --pkg-path."
        )
    where = cast(RoomChoice, remote.where)
    return replace(remote, where=replace(where, wish=replace(where.wish, worker=job.worker_id)))


def _wishing(remote: Remote, version: str | None) -> Remote:
    where = cast(RoomChoice, remote.where)
    # the first job of that content may still be in the journal: it is not the one that is meant
    return replace(remote, where=replace(where, wish=replace(where.wish, sleap_nn=version)), new=True)


async def _submit(reached: Reached, package: Package, record: ModelRecord, remote: Remote, *, again: bool) -> RemoteJob:
    options = cast(TrainOptions, package.options)
    worker = reached.worker
    known = PendingJobs().find(worker.link.worker_id, content_of(record.manifest or "", options))
    if known is not None and known.job != record.job and not remote.new:
        try:
            job = await worker.job(known.job)
        except NotFoundError:
            pass
        else:
            note(f"This is the job {known.job}: going on with it. --new makes another job.")
            return job
    if not again:
        return await reached.submit(package, wandb_key=find_wandb_key(Wanted(options=options)))
    assert record.job is not None  # noqa: S101 - its worker was found by it
    try:
        return await worker.again(record.job)
    except NotFoundError as error:
        raise NotFoundError(f"{error.sentence} {_GIVE_IT}") from error
