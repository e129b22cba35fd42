"""The envelope every JSON message travels in, and how text becomes a typed message.

A message is ``{type, id?, re?, error?: {code, sentence}, …}``: `id` asks for an answer, `re` is one.
Unknown types and fields are ignored, so that newer peers can say more; what a peer can do is asked by name, never
inferred from a version.
"""

import json
import math
import re
from typing import Any, ClassVar, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sleap_rtc.errors import ProtocolError, SleapRTCError, from_wire
from sleap_rtc.protocol.text import printable

MAX_MESSAGE = 64 * 1024
"""Largest control message, in bytes of UTF-8."""
MAX_DEPTH = 16
"""Deepest nesting of arrays and objects accepted."""


MAX_CONTAINERS = 50_000
"""Most arrays and objects in one text: each takes memory, however short it is written."""


class ErrorInfo(BaseModel):
    """An error on the wire."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    code: str = Field(max_length=64)
    sentence: str = Field(max_length=8192)

    @classmethod
    def of(cls, error: SleapRTCError) -> "ErrorInfo":
        """Describe `error` for the other side."""
        return cls(code=error.code, sentence=error.sentence[:8000])

    def as_exception(self) -> SleapRTCError:
        """The error class this code stands for, its sentence safe for a terminal."""
        return from_wire(self.code, printable(self.sentence))


class Message(BaseModel):
    """Base of all control messages. A subclass names its `TYPE`, and is thereby known to its registry."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")
    TYPE: ClassVar[str] = ""

    id: int | None = Field(default=None, ge=0, lt=2**53)
    re: int | None = Field(default=None, ge=0, lt=2**53)
    error: ErrorInfo | None = None


class Failure(Message):
    """Either side: the answer to a request that failed."""

    TYPE = "error"


# possessive: a message of backslashes and quotes must not make the search try every way to cut it
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")


class Registry:
    """The message classes one conversation may carry, by `TYPE`.

    Args:
        name: what the conversation is called in ``docs/protocol.md``.
        messages: the classes, in the order they are documented.
    """

    def __init__(self, name: str, *messages: type[Message]) -> None:
        self.name = name
        self.messages = messages
        self._by_type = {message.TYPE: message for message in messages}

    def encode(self, message: Message) -> str:
        """Turn a message into its JSON text.

        Raises:
            ProtocolError: if the text is larger than `MAX_MESSAGE`; what can outgrow it must be a byte stream.
        """
        body = message.model_dump(mode="json", exclude_none=True)
        text = json.dumps({"type": message.TYPE} | body, separators=(",", ":"), ensure_ascii=False)
        if len(text.encode()) > MAX_MESSAGE:
            raise ProtocolError(f"A {message.TYPE} message would be larger than {MAX_MESSAGE} bytes.")
        return text

    def decode(self, text: str) -> Message | None:
        """Turn JSON text from the other side into a message; None for a type nobody here knows.

        Raises:
            ProtocolError: if the text is no message: too large, too deep, not JSON, or with fields of a wrong form.
        """
        body = parse_json(text)
        if not isinstance(body, dict) or not isinstance(body.get("type"), str):
            raise ProtocolError("A message arrived that is no object with a type.")
        kind = self._by_type.get(body["type"])
        if kind is None:
            return None
        try:
            return kind.model_validate(body)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise ProtocolError(f"A {kind.TYPE} message arrived with a wrong value at '{printable(where)}'.") from error


def parse_json(text: str, *, limit: int = MAX_MESSAGE) -> Any:
    """Parse JSON from a stranger: at most `limit` bytes and `MAX_DEPTH` deep, no NaN, no duplicate keys, no surrogates.

    Raises:
        ProtocolError: for anything else.
    """
    try:
        if len(text.encode()) > limit:
            raise ProtocolError(f"A message larger than {limit} bytes arrived.")
        _check_depth(text)
        body = json.loads(
            text,
            parse_constant=_no_constant,
            object_pairs_hook=_no_duplicates,
            parse_int=_bounded_int,
            parse_float=_finite,
        )
        # an escaped lone surrogate survives json.loads, and every later .encode() would fail on it
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ProtocolError("A message arrived that is not valid JSON.") from error
    return body


def _check_depth(text: str) -> None:
    # counted before parsing: the parser itself recurses, and 100,000 brackets must cost nothing
    depth = opened = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub("", text)):
        opens = bracket.group() in "[{"
        depth += 1 if opens else -1
        opened += opens
        if opened > MAX_CONTAINERS:
            raise ProtocolError(f"A message with more than {MAX_CONTAINERS} lists and objects arrived.")
        if depth > MAX_DEPTH:
            raise ProtocolError(f"A message nested deeper than {MAX_DEPTH} arrived.")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _bounded_int(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("an integer of more than 20 digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number beyond the range of a double")
    return number


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found
