"""The worker: present in a room, accepting links, running jobs."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sleap_rtc.config.identity import Identity
from sleap_rtc.config.limits import TransferLimits
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import (
    AuthenticationError,
    BusyError,
    SleapRTCError,
    StorageError,
    UnreachableError,
    ungrouped,
)
from sleap_rtc.jobs.access import Access
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.bundles_shelf import BundleShelf
from sleap_rtc.jobs.checking import Preflight
from sleap_rtc.jobs.executor import Executor
from sleap_rtc.jobs.gpus import Gpu, slots_for
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.jobs.retention import DAY, DEFAULT_DAYS
from sleap_rtc.protocol.exporting import ABILITY as EXPORT
from sleap_rtc.protocol.exporting import ExportFormat
from sleap_rtc.protocol.inference import ABILITY as TRACK
from sleap_rtc.protocol.inspecting import ABILITY as INSPECT
from sleap_rtc.protocol.jobs import AGAIN, Owner
from sleap_rtc.protocol.model_messages import ABILITY as MODELS
from sleap_rtc.protocol.model_messages import digest_of
from sleap_rtc.protocol.mounts import ABILITY as MOUNTS
from sleap_rtc.protocol.peers import ABILITY as PEERS
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.protocol.signaling import Offer, WorkerInfo
from sleap_rtc.protocol.zipping import ABILITY as ZIP
from sleap_rtc.protocol.zipping import inside_of
from sleap_rtc.session.link import LinkSettings, accept
from sleap_rtc.session.requests import Handlers
from sleap_rtc.session.session import Producers
from sleap_rtc.session.switchboard import Switchboard
from sleap_rtc.signaling.client import Registration, ServiceState, SignalingClient
from sleap_rtc.signaling.token_source import TokenSource
from sleap_rtc.transfer.offering import Offering
from sleap_rtc.transfer.provider import Provider
from sleap_rtc.transfer.store import Store
from sleap_rtc.transport.channel import Peer
from sleap_rtc.transport.engines import Engine, new_peer, preload
from sleap_rtc.transport.paths import NetworkPath, check_relays
from sleap_rtc.worker.browsing import Browser, BrowsingService
from sleap_rtc.worker.capabilities import describe
from sleap_rtc.worker.desk import Desk
from sleap_rtc.worker.inspecting import InspectService
from sleap_rtc.worker.model_service import ModelDesk, ModelService
from sleap_rtc.worker.models import ModelReporter, remove_old
from sleap_rtc.worker.peers import Peers, PeerService
from sleap_rtc.worker.reporting import JobReporter
from sleap_rtc.worker.room_models import RoomModels
from sleap_rtc.worker.service import JobService
from sleap_rtc.worker.visitors import Visit, Visitors

logger = logging.getLogger(__name__)

ABILITIES = ("train", TRACK, EXPORT, MOUNTS, MODELS, PEERS, AGAIN, INSPECT, ZIP)
ANNOUNCE_EVERY = 1.0
"""Seconds between two looks at whether the load has changed."""
SWEEP_EVERY = 3600.0
"""Seconds between two looks for jobs that are kept no longer."""
UNPROVEN_AT_ONCE = 4
"""Links being made at once; a stranger who never proves anything can hold no more than these."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is made of.

    Attributes:
        server: the service's address.
        token: the worker token, or where it comes from.
        name: what the worker is called.
        identity: its key.
        jobs: the folder of its jobs.
        store: the folder of the files that clients sent.
        models: the folder of the models that it keeps; beside its jobs by default.
        gpus: the GPUs it may use: a job at once on each.
        executor: what starts supervisors.
        preflight: what checks jobs before they are queued.
        mounts: what jobs may read beside their own files.
        processor_slots: how many jobs run at once where there is no GPU.
        allow_wandb: whether a job may report to Weights & Biases, with its submitter's key.
        auto_export: the format in which what was trained is exported by itself; None for no such exports.
        keep_jobs: seconds for which jobs are kept after their end.
        min_free: bytes of the disk that must be free for a new job; 0 takes any.
        limits: what transfers may use.
        engine: which WebRTC engine to use.
        timeouts: how long to wait for what.
        room: the id of the room that it serves, where that is known: the service can lead to no other.
        secrets: the room's secrets, the newest first; asked for in a thread at each link, since they may be replaced.
    """

    server: str
    token: str | TokenSource
    name: str
    identity: Identity
    jobs: Path
    store: Path
    gpus: Sequence[Gpu]
    executor: Executor
    models: Path | None = None
    preflight: Preflight | None = None
    mounts: Mounts = field(default_factory=Mounts)
    processor_slots: int = 1
    allow_wandb: bool = False
    auto_export: ExportFormat | None = None
    keep_jobs: float = DEFAULT_DAYS * DAY
    min_free: int = 0
    limits: TransferLimits = field(default_factory=TransferLimits)
    engine: Engine = "auto"
    timeouts: Timeouts = field(default_factory=Timeouts)
    room: str | None = None
    secrets: Callable[[], tuple[RoomSecret, ...]] = lambda: ()


class Worker:
    """A worker's life, from the first registration to the last link.

    Args:
        settings: what it is made of.
        on_service: told when the service is reached, lost and reached again.
        on_client: told the name of each client whose link is proven, and which way the link goes.

    Attributes:
        shelf: the models that it keeps.
        models: those of its room, here and on other workers; None before the room is served.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        on_service: Callable[[ServiceState], None] = lambda state: None,
        on_client: Callable[[str, NetworkPath | None], None] = lambda name, path: None,
    ) -> None:
        self._settings = settings
        self._on_service = on_service
        self._on_client = on_client
        self._slots = slots_for(settings.gpus, settings.processor_slots)
        self.board = JobBoard(
            settings.jobs,
            slots=self._slots,
            executor=settings.executor,
            preflight=settings.preflight,
            mounts=settings.mounts,
            min_free=settings.min_free,
            allow_wandb=settings.allow_wandb,
        )
        self.shelf = BundleShelf(settings.models or settings.jobs.with_name("models"), min_free=settings.min_free)
        self._browser = Browser(settings.mounts)
        self._visitors = Visitors(settings.timeouts)
        self._unproven = 0

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            AuthenticationError: if the service refuses the token.
            ConflictError: if a newer worker with the same key took over.
            UnreachableError: if links may go through relays alone, and the service names none.
        """
        settings = self._settings
        store = await asyncio.to_thread(Store, settings.store, max_bytes=settings.limits.max_store)
        await asyncio.to_thread(self.shelf.sweep)
        desk = Desk(self.board, store, ModelDesk(self.shelf, store))
        try:
            await self._serve_room(desk)
        finally:
            self._browser.close()
            await desk.close()
            await asyncio.to_thread(store.close)

    async def _serve_room(self, desk: Desk) -> None:
        settings = self._settings
        registration = Registration(
            settings.identity.public_key, settings.identity.sign, settings.name, self._describe()
        )
        visitors = self._visitors

        def on_state(state: ServiceState) -> None:
            if state.connected:
                visitors.ask_soon()
            self._on_service(state)

        async with SignalingClient(
            settings.server,
            settings.token,
            timeouts=settings.timeouts,
            room=settings.room,
            registration=registration,
            patient=True,
            on_state=on_state,
        ) as signaling:
            with ungrouped():
                async with asyncio.TaskGroup() as tasks:
                    switchboard = Switchboard(signaling, visitors.revoke)
                    links = self._link_settings(signaling, {}, {})
                    peers = Peers(signaling, switchboard, settings.identity, links, settings.secrets)
                    self.board.models = RoomModels(self.shelf, desk.store, peers)
                    tasks.create_task(self.board.run())
                    tasks.create_task(_hear(switchboard, visitors))
                    tasks.create_task(visitors.keep_asking(signaling))
                    tasks.create_task(self._announce(signaling))
                    tasks.create_task(self._sweep(desk, signaling))
                    every = settings.timeouts.report
                    tasks.create_task(JobReporter(self.board, signaling, every).run())
                    tasks.create_task(self._model_reporter(signaling, desk).run())
                    await self._accept_links(tasks, signaling, switchboard, desk)

    def _model_reporter(self, signaling: SignalingClient, desk: Desk) -> ModelReporter:
        settings = self._settings
        return ModelReporter(self.board, signaling, settings.timeouts.report, desk.models, settings.auto_export)

    async def _accept_links(
        self, tasks: asyncio.TaskGroup, signaling: SignalingClient, switchboard: Switchboard, desk: Desk
    ) -> None:
        if self._settings.limits.relay_only:
            await signaling.welcome()
            check_relays(signaling.ice_servers, relay_only=True)
        while True:
            offer = await switchboard.offers.get()
            if self._unproven >= UNPROVEN_AT_ONCE:
                error = BusyError("The worker is being dialled by too many clients at once; try again in a moment.")
                await switchboard.reject(offer.link, error)
            elif offer.sender is not None:
                self._unproven += 1
                # known from here on: who is sent away before the link is proven must not be forgotten
                visit = self._visitors.enter(offer.sender)
                tasks.create_task(self._serve(signaling, switchboard, desk, offer, visit))

    async def _serve(
        self, signaling: SignalingClient, switchboard: Switchboard, desk: Desk, offer: Offer, visit: Visit
    ) -> None:
        sender = visit.principal
        proven = False
        try:
            settings = self._link_settings(signaling, *self._services(desk, visit))
            secrets = await self._secrets(switchboard, offer)
            async with accept(switchboard, offer, self._settings.identity, settings, secrets=secrets) as session:
                self._unproven -= 1
                proven = True
                visit.begin(session)
                self._on_client(sender.name, await session.path())
                reason = await session.wait_closed()
                logger.info("The link of %s ended: %s", sender.name, reason)
        except SleapRTCError as error:
            # one client's trouble is not the worker's: it is written down, and the next one served
            logger.info("A link could not be kept: %s", error)
        except Exception:
            logger.exception("A link failed.")
        finally:
            self._visitors.leave(visit)
            if not proven:
                self._unproven -= 1

    def _services(self, desk: Desk, visit: Visit) -> tuple[Handlers, Producers]:
        """What whoever dialled may ask for: a client what its user may, another worker the room's models."""
        sender = visit.principal
        if sender.role == "worker":
            peer = PeerService(sender, desk.models)
            return peer.handlers, peer.producers
        owner = Owner(user=sender.user, name=sender.name, room=sender.room)
        access = Access(owner, owns_room=sender.owner)
        service = JobService(desk, access, visit.check_new_work)
        inspecting = InspectService(desk, access, visit.check_new_work)
        models = ModelService(desk.models, owner, visit.check_new_work)
        browsing = BrowsingService(self._browser)
        return (
            {**service.handlers, **inspecting.handlers, **models.handlers, **browsing.handlers},
            {**_provider(service, models).producers, **browsing.producers},
        )

    def _link_settings(self, signaling: SignalingClient, handlers: Handlers, producers: Producers) -> LinkSettings:
        return LinkSettings(
            new_peer=lambda: self._new_peer(signaling),
            timeouts=self._settings.timeouts,
            handlers=handlers,
            producers=producers,
            max_lanes=self._settings.limits.max_lanes,
            abilities=ABILITIES,
        )

    async def _secrets(self, switchboard: Switchboard, offer: Offer) -> tuple[RoomSecret, ...]:
        try:
            return await asyncio.to_thread(self._settings.secrets)
        except SleapRTCError as error:
            logger.warning("A client was sent away, because the room's secret cannot be used here: %s", error)
            # why is for the worker's owner; a keyring that does not answer now may do so in a moment
            refusal = UnreachableError if isinstance(error, StorageError) else AuthenticationError
            await switchboard.reject(offer.link, refusal("The worker cannot prove who it is just now."))
            raise

    async def _announce(self, signaling: SignalingClient) -> None:
        said = self._describe()
        while True:
            # coalesced: a burst of short jobs must not flood the service
            await asyncio.sleep(ANNOUNCE_EVERY)
            now = self._describe()
            if now != said:
                said = now
                await _tell(signaling, now)

    async def _sweep(self, desk: Desk, signaling: SignalingClient) -> None:
        keep = self._settings.keep_jobs
        while True:
            for job in await self.board.remove_old(keep, desk.in_use):
                await desk.drop_results(job)
            await remove_old(self.shelf, signaling, keep, desk.models.in_use)
            await asyncio.sleep(SWEEP_EVERY)

    def _describe(self) -> WorkerInfo:
        return describe(
            self._settings.name,
            self._settings.gpus,
            slots=len(self._slots),
            busy=self.board.taken,
            queued=self.board.queued,
            engine=preload(self._settings.engine),
        )

    def _new_peer(self, signaling: SignalingClient) -> Peer:
        return new_peer(
            self._settings.engine,
            ice_servers=signaling.ice_servers,
            timeouts=self._settings.timeouts,
            allow_loopback=signaling.is_local,
            relay_only=self._settings.limits.relay_only,
        )


def _provider(jobs: JobService, models: ModelService) -> Provider:
    """Hands out both: the id of a transfer says of which it is."""

    async def find(transfer: str) -> Offering:
        return await (jobs if digest_of(inside_of(transfer) or transfer) is None else models).offering(transfer)

    return Provider(find)


async def _hear(switchboard: Switchboard, visitors: Visitors) -> None:
    try:
        await switchboard.run()
    except AuthenticationError as error:
        await visitors.close(error)
        raise


async def _tell(signaling: SignalingClient, info: WorkerInfo) -> None:
    try:
        await signaling.update(info)
    except SleapRTCError as error:
        logger.info("The service could not be told that the load changed: %s", error)
