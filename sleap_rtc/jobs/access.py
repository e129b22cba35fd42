"""Who may do what with a job: the one place of that rule on a worker."""

from dataclasses import dataclass

from sleap_rtc.protocol.jobs import Owner


@dataclass(frozen=True)
class Access:
    """Somebody who asks about jobs.

    Attributes:
        owner: who they are, as the service stamped them: jobs that they submit belong to this owner.
        owns_room: whether their room is theirs.
    """

    owner: Owner
    owns_room: bool = False

    def may_act_on(self, owner: Owner) -> bool:
        """Whether they may watch, fetch, stop and cancel the jobs of `owner`: their own, or any in their own room."""
        return self.owner.room == owner.room and (self.owns_room or self.owner.user == owner.user)
