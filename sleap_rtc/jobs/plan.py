"""What a job comes to: its runs, in order."""

from dataclasses import dataclass

from sleap_rtc.protocol.jobs import Run


@dataclass(frozen=True)
class Plan:
    """The runs of a job in order, and what the submitter should know about them."""

    runs: tuple[Run, ...]
    notices: tuple[str, ...]
