"""Configs that only sleap-nn can make: what is asked of the preflight helper, and what it answers.

The answer is text of a stranger like the package itself: whoever asked reads it as any config is read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from .findings import Request, Sentence
from .yaml_data import MAX_BYTES


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ConversionRequest(_Line):
    """A config of SLEAP 1.4 or older, to be converted.

    Attributes:
        path: where the file is.
        name: its path in the package.
    """

    kind: Literal["convert"] = "convert"
    path: str
    name: str


class PresetRequest(_Line):
    """A config to be made of sleap-nn's presets; all names are sleap-nn's."""

    kind: Literal["preset"] = "preset"
    head: str
    backbone: str
    intensity: tuple[str, ...] = ()
    geometry: tuple[str, ...] = ()


class Made(_Line):
    """The config, as YAML, or why there is none."""

    config: Annotated[str, StringConstraints(max_length=MAX_BYTES)] | None = None
    problem: Sentence | None = None


MakingRequest = ConversionRequest | PresetRequest
AnyRequest: TypeAdapter[Request | MakingRequest] = TypeAdapter(
    Annotated[Request | MakingRequest, Field(discriminator="kind")]
)
"""Reads what the helper may be asked."""


@dataclass(frozen=True)
class Recipe:
    """A config of a job that has to be made.

    Attributes:
        path: what the config is called: its path in the package, or one that says which preset it is.
        request: how it is made.
    """

    path: str
    request: MakingRequest

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read for it."""
        return (Path(self.request.path),) if isinstance(self.request, ConversionRequest) else ()
