"""What ``sleap-rtc models push`` does once its options are read: send a folder, or find a run, and name it."""

import asyncio
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sleap_rtc.cli.account import logged_in_api, meant_room
from sleap_rtc.cli.choosing import RoomChoice, choose_worker
from sleap_rtc.cli.meeting import meet
from sleap_rtc.cli.models.meant import find_meant
from sleap_rtc.cli.progress import make_display
from sleap_rtc.client.choice import Wish, gpu_text
from sleap_rtc.client.model_push import model_source
from sleap_rtc.client.package import Package, shown_name
from sleap_rtc.config.clock import utc_ms
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.config.settings import Settings
from sleap_rtc.errors import NotFoundError, UnreachableError, UsageError
from sleap_rtc.protocol.models import ModelName, ModelRef
from sleap_rtc.protocol.text import printable
from sleap_rtc.signaling.api import ServiceAPI
from sleap_rtc.signaling.model_records import RegisteredModel
from sleap_rtc.transfer.offering import make_offering

_NAME: TypeAdapter[str] = TypeAdapter(ModelName)
_TOLD_WITHIN = 60
"""Seconds that a worker has to tell the service of a model that it was given."""


@dataclass(frozen=True)
class PushRequest:
    """What the user asks for.

    Attributes:
        what: a folder, or a job's id.
        name: what the room shall call it.
        settings: everything that is set, the service among it.
        secrets: finds the secrets of rooms.
        room: the room, if it was typed.
        worker: which worker keeps it, if that was typed.
        auto_select: whether the program chooses.
    """

    what: str
    name: str
    settings: Settings
    secrets: SecretLookup
    room: str | None = None
    worker: str | None = None
    auto_select: bool = False


async def push_model(request: PushRequest, *, as_json: bool) -> RegisteredModel:
    """Give the room a model and a name for it.

    Raises:
        SleapRTCError: whatever went wrong, as a sentence.
    """
    check_name(request.name)
    api = logged_in_api(request.settings)
    folder = await asyncio.to_thread(_folder, request.what)
    if folder is None:
        room = await meant_room(api, request.settings, request.room)
        meant = find_meant(await api.models(room.room_id), ModelRef(job=request.what), room.name)
        return await api.register_model(room.room_id, request.name, meant.model.digest)
    room_id, digest = await _send(request, api, folder, as_json=as_json)
    return await _register(api, room_id, request.name, digest)


def _folder(what: str) -> Path | None:
    """The folder that is meant, be it there or not; None where a job is meant."""
    folder = Path(what).expanduser()
    return None if what.startswith("j_") and not folder.exists() else folder


def check_name(name: str) -> None:
    """Refuse what no model can be called.

    Raises:
        UsageError: if it is that.
    """
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise UsageError(
            f"'{printable(name, limit=80)}' cannot be a model's name: that is up to 64 letters, digits, '.', '_' and "
            "'-', the first a letter or a digit."
        ) from error


async def _send(request: PushRequest, api: ServiceAPI, folder: Path, *, as_json: bool) -> tuple[str, str]:
    settings = request.settings
    source, made = await asyncio.to_thread(model_source, folder)
    with closing(source), make_display(json=as_json) as display:
        room = await meant_room(api, settings, request.room)
        await asyncio.to_thread(
            request.secrets.check_name, settings.server, request.room or settings.default_room or "", room.room_id
        )
        offering = await make_offering(source)
        choice = RoomChoice(room.room_id, auto_select=request.auto_select, wish=Wish(request.worker))
        package = Package(await asyncio.to_thread(shown_name, folder), offering)
        chosen = await choose_worker(settings.server, choice, package, display, new=True)
        async with meet(
            settings.server, chosen, display, transport=settings.transport, limits=settings.limits,
            secrets=request.secrets.secrets,
        ) as worker:  # fmt: skip
            display.connected(chosen.presence.name, gpu_text(chosen.presence), await worker.link.path())
            display.upload(0, offering.manifest.total_size, 0)
            return room.room_id, await worker.push_model(offering, min(made, utc_ms()), display.upload)


async def _register(api: ServiceAPI, room_id: str, name: str, digest: str) -> RegisteredModel:
    try:
        async with asyncio.timeout(_TOLD_WITHIN):
            while True:
                try:
                    return await api.register_model(room_id, name, digest)
                except NotFoundError:
                    await asyncio.sleep(1)  # the worker has it, and tells the service of it within seconds
    except TimeoutError:
        raise UnreachableError(
            "The worker has the model, but has not told the service of it yet, so it has no name. Type the same "
            "command again when the worker reaches the service; nothing is sent twice."
        ) from None
