"""What a job may ask for: one kind of options for each kind of job."""

from typing import Annotated

from pydantic import Discriminator

from sleap_rtc.protocol.exporting import ExportOptions
from sleap_rtc.protocol.inference import TrackOptions
from sleap_rtc.protocol.training import TrainOptions

JobOptions = Annotated[TrainOptions | TrackOptions | ExportOptions, Discriminator("kind")]
"""The options of a job, told apart by their `kind`."""
