"""What ``sleap-rtc models pull`` does once its options are read: find, reach a holder, fetch, check."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from sleap_rtc.cli.account import logged_in_api, meant_room
from sleap_rtc.cli.models.meant import Meant, find_meant
from sleap_rtc.cli.output import note, warn
from sleap_rtc.cli.progress import make_display
from sleap_rtc.cli.telling import say_met, say_met_beside, say_service
from sleap_rtc.client.client import Client
from sleap_rtc.client.models import Pulled, Source, Wanted, default_folder, not_held, pull, source_of
from sleap_rtc.config.paths import home
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.config.settings import Settings
from sleap_rtc.errors import NotFoundError, SleapRTCError
from sleap_rtc.protocol.models import ModelRef
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.model_records import Holder
from sleap_rtc.transfer.store import Store
from sleap_rtc.transport.engines import Engine, preload


@dataclass(frozen=True)
class PullRequest:
    """What the user asks for.

    Attributes:
        text: the model, as it was typed.
        settings: everything that is set, the service among it.
        secrets: finds the secrets of rooms.
        room: the room, if it was typed.
        output: the folder that it becomes, if that was typed.
        form: which format of it.
        as_json: whether nothing is to be shown meanwhile.
    """

    text: str
    settings: Settings
    secrets: SecretLookup
    room: str | None = None
    output: Path | None = None
    form: str = "sleap-nn"
    as_json: bool = False


async def pull_model(request: PullRequest) -> tuple[str, str, Pulled]:
    """Bring a model of a room here.

    Returns:
        What it is called, its digest, and where it is.

    Raises:
        SleapRTCError: whatever went wrong, as a sentence.
    """
    settings, ref = request.settings, ModelRef.parse(request.text)
    api = logged_in_api(settings)
    room = await meant_room(api, settings, request.room)
    typed = request.room or settings.default_room or ""
    await asyncio.to_thread(request.secrets.check_name, settings.server, typed, room.room_id)
    meant = find_meant(await api.models(room.room_id), ref, room.name)
    if meant.ref != request.text and not request.as_json:
        note(f"{request.text} is {meant.ref}.")
    wanted, holders = _held(meant, request.form)
    output = request.output or _default(wanted, request.form)
    engine = cast(Engine, settings.transport)
    await asyncio.to_thread(preload, engine)
    with ExitStack() as stack:
        display = None if request.as_json else stack.enter_context(make_display())
        store = await asyncio.to_thread(Store, home() / "store", max_bytes=settings.limits.max_store)
        stack.enter_context(closing(store))
        async with Client.join(
            settings.server,
            Account(settings.server),
            room=room.room_id,
            engine=engine,
            limits=settings.limits,
            secrets=request.secrets.secrets,
            on_service=say_service,
            on_met=partial(say_met_beside, display) if display else say_met,
        ) as client:
            sources = [source_of(client, holder) for holder in holders]
            found = await pull(
                wanted,
                sources,
                output,
                store,
                on_bytes=display.download if display else lambda done, total: None,
                on_trouble=_telling(sources, display.paused if display else nullcontext),
            )
    return meant.ref, wanted.digest, found


def _held(meant: Meant, form: str) -> tuple[Wanted, list[Holder]]:
    """The files that are wanted, and who has them and is online."""
    record = meant.model
    named = meant.named or (record.names[0] if record.names else None)
    held = [(holder, each) for holder in record.holders for each in holder.formats if each.format == form]
    if not held and form != "sleap-nn":
        have = ", ".join(record.formats) or "none"
        raise NotFoundError(f"The model {meant.ref} is not there as {form}. Its formats: {have}.")
    online = [(holder, each) for holder, each in held if holder.online]
    if not online:
        raise not_held(meant.ref, [holder.worker_name for holder, _ in held])
    # exported twice, a model has two sets of files: those of one that can be reached now
    digest = online[0][1].digest if form != "sleap-nn" else record.digest
    wanted = Wanted(digest, meant.ref, named.name if named else "", named.version if named else None)
    return wanted, [holder for holder, each in online if each.digest == digest]


def _default(wanted: Wanted, form: str) -> Path:
    folder = default_folder(wanted)
    return folder if form == "sleap-nn" else folder.with_name(f"{folder.name}-{form}")


def _telling(
    sources: list[Source], paused: Callable[[], AbstractContextManager[None]]
) -> Callable[[str, SleapRTCError], None]:
    def tell(name: str, error: SleapRTCError) -> None:
        # of a single one the command's own error says it
        if len(sources) > 1:
            with paused():
                warn(f"{name}: {error.sentence} Another worker is asked.")

    return tell
