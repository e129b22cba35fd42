"""Short words, counts and times from a stranger, bounded and made safe when they are read."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from sleap_rtc.protocol.text import printable


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())


def _not_empty(text: str) -> str:
    if not text:
        raise PydanticCustomError("string_empty", "it is empty")
    return text


Label = Annotated[str, StringConstraints(max_length=128), AfterValidator(_one_line)]
"""A short name from a stranger, freed of control characters when it is read."""
Title = Annotated[str, StringConstraints(max_length=256), AfterValidator(_one_line)]
"""The same, and longer: what a user calls a package."""
Name = Annotated[Label, AfterValidator(_not_empty)]
"""A label that says something."""
Reason = Annotated[str, StringConstraints(max_length=300), AfterValidator(_one_line)]
"""A sentence for whoever is sent away."""
Farewell = Annotated[str, StringConstraints(max_length=500), AfterValidator(_one_line)]
"""Why the other side leaves."""
Count = Annotated[int, Field(ge=0, le=2**31)]
UtcMs = Annotated[int, Field(ge=0, lt=2**53)]
"""A time in UTC milliseconds."""
