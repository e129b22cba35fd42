"""What a client knows of a package on its way to a worker."""

from collections.abc import Callable

from sleap_rtc.protocol.files import TransferProgress
from sleap_rtc.protocol.text import printable
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.offering import Offering


class Upload:
    """Files on their way to a worker, and who is told how far they are."""

    def __init__(
        self, offering: Offering, on_bytes: Callable[[int, int, int], None], on_pause: Callable[[str | None], None]
    ) -> None:
        self.offering = offering
        self._on_bytes = on_bytes
        self._on_pause = on_pause
        self._paused: str | None = None
        self._session: Session | None = None
        self._before = self._sent = self._already = 0

    def count(self, session: Session, progress: TransferProgress) -> None:
        """Take a report of the worker's; its figures are shown and trusted with nothing."""
        if session is not self._session:
            # what an earlier link brought over counts as there already on this one, but it was sent
            self._session, self._before = session, self._sent
        total = self.offering.manifest.total_size
        self._sent = min(self._before + progress.arrived, total)
        self._already = min(max(self._already, progress.here - self._before), total - self._sent)
        self._on_bytes(self._sent, total, self._already)
        paused = printable(progress.paused) if progress.paused else None
        if paused != self._paused:
            self._paused = paused
            self._on_pause(paused)
