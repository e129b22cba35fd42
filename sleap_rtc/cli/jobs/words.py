"""How a job stands, in words."""

from sleap_rtc.cli.formats import format_duration
from sleap_rtc.protocol.jobs import JobSummary


def state_text(summary: JobSummary) -> str:
    """Say a job's state in a word or two: ``running``, ``queued (2)``."""
    return f"{summary.state} ({summary.position})" if summary.position else str(summary.state)


def queue_text(summary: JobSummary) -> str:
    """Say a waiting job's place, and when it starts as far as that can be told; empty for one that does not wait."""
    if not summary.position:
        return ""
    before = summary.position - 1
    waiting = "the next one" if before == 0 else f"{before} before it"
    starts = "" if summary.starts_in is None else f", starts in about {format_duration(summary.starts_in)}"
    return waiting + starts
