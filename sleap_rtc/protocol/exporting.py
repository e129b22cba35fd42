"""What a submitter may ask of an export: a model of the room in another format."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sleap_rtc.protocol.models import RoomModel
from sleap_rtc.protocol.using import UsesModels

ExportFormat = Literal["onnx", "tensorrt"]
ABILITY = "export"
"""What a worker says that knows such jobs."""


class ExportOptions(UsesModels, BaseModel):
    """What the submitter asked for.

    Attributes:
        model: which model.
        format: into which format.
        max_instances: most animals in a frame that the exported network finds; sleap-nn's own default if None.
        max_batch_size: most frames that it takes at once, likewise.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    kind: Literal["export"] = "export"
    model: RoomModel
    format: ExportFormat = "onnx"
    max_instances: int | None = Field(default=None, ge=1, le=1000)
    max_batch_size: int | None = Field(default=None, ge=1, le=1024)
