"""What a job comes to: its runs, in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sleap_rtc.protocol.inspecting import InspectedLabels, RunSettings
from sleap_rtc.protocol.jobs import Run


@dataclass(frozen=True)
class Plan:
    """The runs of a job in order, and what the submitter should know about them.

    Attributes:
        configs: of each training, in that order, where its config lies in the package.
        settings: what sleap-nn makes of the configs, by run, where it was asked.
        labels: what is trained on, likewise.
    """

    runs: tuple[Run, ...]
    notices: tuple[str, ...]
    configs: tuple[str, ...] = ()
    settings: Mapping[str, RunSettings] = field(default_factory=dict)
    labels: InspectedLabels | None = None
