"""Where the messages go that workers send about their jobs and models."""

from typing import Protocol

from signaling_server.signaling.members import Member
from sleap_rtc.protocol.reports import RegisterModel, ReportJobs, ReportModels


class Reports(Protocol):
    """Takes reports of workers whose key is proven, and answers them when they are stored.

    Neither method waits for anything: a slow database holds up no other message of the worker.
    """

    def take(self, member: Member, message: ReportJobs | ReportModels | RegisterModel) -> None:
        """Accept a report; its answer is sent later.

        Raises:
            BusyError: if too many of this connection's wait already.
        """

    def leave(self, member: Member) -> None:
        """Forget what waits of a connection that has ended."""
