"""What ``sleap-rtc models export`` does once its options are read: find, connect, submit, watch, say where it is."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sleap_rtc.cli.choosing import RoomChoice
from sleap_rtc.cli.following import EXPORTING, Asks, OnBytes, Results, until_interrupted
from sleap_rtc.cli.models.meant import Meant, find_meant
from sleap_rtc.cli.output import emit_json, note, say
from sleap_rtc.cli.progress import JobDisplay, make_display
from sleap_rtc.cli.running import beside
from sleap_rtc.cli.submitting import Remote, reach
from sleap_rtc.client.model_finding import check_online
from sleap_rtc.client.package import UnreadPackage
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.errors import ConfigError, SleapRTCError, UsageError
from sleap_rtc.protocol.exporting import ExportOptions
from sleap_rtc.protocol.models import ModelRef, RoomModel
from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import ServiceAPI, find_room
from sleap_rtc.signaling.model_records import NamedVersion
from sleap_rtc.transfer.source import FilesSource

_WITHIN = 30.0
"""Seconds that are waited for the room to know the format; workers tell of it every few seconds."""


@dataclass(frozen=True)
class ExportRequest:
    """What the user asks for.

    Attributes:
        ref: which model.
        format: into which format.
        max_instances: most animals in a frame; sleap-nn's default if None.
        max_batch_size: most frames at once, likewise.
    """

    ref: ModelRef
    format: str
    max_instances: int | None = None
    max_batch_size: int | None = None


async def export_remotely(request: ExportRequest, remote: Remote) -> int:
    """Export a model of a room on one of its workers, unless it is there in that format.

    Returns:
        The exit code.

    Raises:
        SleapRTCError: whatever went wrong, as a sentence.
    """
    with make_display(json=remote.as_json, logs=remote.logs) as display:
        return await until_interrupted(lambda asks: _export(request, remote, display, asks))


async def _export(request: ExportRequest, remote: Remote, display: JobDisplay, asks: Asks) -> int:
    display.connecting("the room")
    meant = await meant_model(request.ref, remote)
    telling = _Telling(meant, remote, display, request.format)
    if (digest := _digest_in(meant, request.format)) is not None and not remote.new:
        telling.say("already", digest)
        return 0
    check_online(meant.model.holders, meant.ref)
    where = _preferring(meant, request, remote)
    package = UnreadPackage(f"{meant.ref} as {request.format}", FilesSource({}), _options(request, meant))
    async with beside(package.read()) as reading, reach(where, reading, display) as reached:
        _check_gpu(request.format, reached.presence)
        job = await reached.submit(await reading)
        return await reached.follow(job, asks, Results(EXPORTING, telling.appears))


async def meant_model(ref: ModelRef, remote: Remote) -> Meant:
    """Ask the service which model of a room is meant, that a job is about.

    Raises:
        UsageError: if a session string says where: behind one there is no room with models.
        SleapRTCError: if the room has no such model, or the service is out of reach.
    """
    if not isinstance(remote.where, RoomChoice):
        raise UsageError("Models with names are in a room, and a session string leads to none. Name it with --room.")
    api = ServiceAPI(remote.server, Account(remote.server))
    room = find_room(await api.rooms(), remote.where.room)
    return find_meant(await api.models(room.room_id), ref, room.name)


def room_model(meant: Meant) -> RoomModel:
    """The model as a job is told of it."""
    named = meant.named
    return RoomModel(
        digest=meant.model.digest, name=named.name if named else "", version=named.version if named else None
    )


def _options(request: ExportRequest, meant: Meant) -> ExportOptions:
    said = {
        "model": room_model(meant),
        "format": request.format,
        "max_instances": request.max_instances,
        "max_batch_size": request.max_batch_size,
    }
    return ExportOptions.model_validate(said)


def _preferring(meant: Meant, request: ExportRequest, remote: Remote) -> Remote:
    """The same place, where those that hold the model come first; an engine is built where its GPU is."""
    if request.format == "tensorrt" or not isinstance(remote.where, RoomChoice):
        return remote
    holders = frozenset(each.worker_id for each in meant.model.online_holders())
    return replace(remote, where=replace(remote.where, wish=replace(remote.where.wish, holders=holders)))


def _check_gpu(wanted: str, worker: WorkerPresence) -> None:
    if wanted == "tensorrt" and not worker.info.gpus:
        raise ConfigError(
            f"{worker.name} has no NVIDIA GPU, and an engine of TensorRT is built for the GPU that it runs on. Choose "
            "a worker that has one with --worker, or export as onnx."
        )


def _digest_in(meant: Meant, wanted: str, but: Collection[str] = ()) -> str | None:
    """The digest of a model's files in a format, of a worker that is online if there is one."""
    held = [
        (not holder.online, each.digest)
        for holder in meant.model.holders
        for each in holder.formats
        if each.format == wanted and each.digest not in but
    ]
    return min(held)[1] if held else None


@dataclass(frozen=True)
class _Telling:
    """What is said of a model's format when it is there."""

    meant: Meant
    remote: Remote
    display: JobDisplay
    format: str

    async def appears(self, job: RemoteJob, on_bytes: OnBytes) -> Sequence[Path]:
        """Wait a moment until the room knows of the format, and say so; there is nothing to bring home."""
        del job, on_bytes
        try:
            digest = await self._told()
        except SleapRTCError as error:
            # the export is done and kept: that the service is away now changes nothing of that
            digest = None
            with self.display.paused():
                note(error.sentence)
        self.say("done", digest)
        return ()

    async def _told(self) -> str | None:
        before = [each.digest for holder in self.meant.model.holders for each in holder.formats]
        model = ModelRef(job=self.meant.model.job_id) if self.meant.named is None else _ref(self.meant.named)
        try:
            async with asyncio.timeout(_WITHIN):
                while True:
                    found = await meant_model(model, self.remote)
                    if (digest := _digest_in(found, self.format, before)) is not None:
                        return digest
                    await asyncio.sleep(0.5)
        except TimeoutError:
            return None

    def say(self, what: str, digest: str | None) -> None:
        """Say that the format is there, or will be in a moment."""
        ref, wanted = self.meant.ref, self.format
        with self.display.paused():
            if self.remote.as_json:
                emit_json({"event": "exported", "model": ref, "format": wanted, "digest": digest, "outcome": what})
            elif digest is None:
                note(f"{ref} was exported; the room hears of it when its worker reaches the service.")
            else:
                say(f"{ref} is there as {wanted}{' already' if what == 'already' else ' now'}.")
                note(f"Bring it home: sleap-rtc models pull {ref} --format {wanted}")


def _ref(named: NamedVersion) -> ModelRef:
    return ModelRef(name=named.name, version=named.version)
