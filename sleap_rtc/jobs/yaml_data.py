"""YAML as plain data: a reader for files from strangers and a writer that every YAML reader understands alike.

The reader walks over parse events, so that an alias, a tag or a duplicate key is seen before anything is built, and
resolves scalars by the YAML 1.2 core schema (``1e-4`` is a number, ``on`` is text). The writer quotes every text, for
sleap-nn reads its config by the rules of YAML 1.1.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.text import printable

MAX_BYTES = 256 * 1024
MAX_OWN_BYTES = 8 * 1024 * 1024
"""What `write_yaml` wrote may be this large: it needs more room than its source."""
MAX_EVENTS = 20_000
"""Values, and beginnings and ends of lists and mappings; the reader takes a tenth of a millisecond for each. What
`write_yaml` wrote may have twice as many: overrides are in it as well."""
MAX_KEY = 256
MAX_DEPTH = 16
_MAX_DIGITS = 20

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = frozenset({".nan", ".NaN", ".NAN"})
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def read_yaml(data: bytes, limit: int = MAX_BYTES) -> Any:
    """Read one YAML document: null, booleans, numbers, text, lists and mappings, and nothing else.

    Args:
        data: the document.
        limit: most bytes of it.

    The sentence of an error begins with "it": the caller knows which file it is.

    Raises:
        ConfigError: if the file is larger than `limit` or deeper than `MAX_DEPTH`, holds more than `MAX_EVENTS`, is not
            UTF-8 or not YAML, holds control characters, or uses an anchor, an alias, a tag, a duplicate key or a second
            document.
    """
    if len(data) > limit:
        raise ConfigError(f"it is larger than {limit // 1024} KiB")
    try:
        text = data.decode("utf-8-sig")
        if "\0" in text:
            raise ConfigError("it contains a NUL character")
        return _build(text, MAX_EVENTS if limit <= MAX_BYTES else 2 * MAX_EVENTS)
    except UnicodeDecodeError as error:
        raise ConfigError("it is not UTF-8 text") from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        problem = printable(str(getattr(error, "problem", None) or "unreadable"), limit=200)
        raise ConfigError(f"it is not YAML{where}: {problem}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"it is not YAML: {printable(str(error), limit=200)}") from error


def _build(text: str, most: int) -> Any:
    events = _bounded(YAML(typ="safe", pure=True).parse(text), most)
    documents: list[Any] = []
    for event in events:
        if isinstance(event, DocumentStartEvent):
            if documents:
                raise ConfigError("it holds more than one document")
            documents.append(_value(next(events), events, 0))
    return documents[0] if documents else None


def _bounded(events: Iterator[Any], most: int) -> Iterator[Any]:
    for count, event in enumerate(events):
        if count > most:
            raise ConfigError(f"it holds more than {most} values")
        yield event


def _value(event: Any, events: Iterator[Any], depth: int) -> Any:
    if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
        raise ConfigError("it uses an anchor or an alias (& or *): write the value out")
    if getattr(event, "tag", None) is not None:
        raise ConfigError("it uses a tag (!): plain values only")
    if depth > MAX_DEPTH:
        raise ConfigError(f"it is nested deeper than {MAX_DEPTH}")
    if isinstance(event, ScalarEvent):
        return _scalar(event)
    if isinstance(event, SequenceStartEvent):
        return _sequence(events, depth)
    if isinstance(event, MappingStartEvent):
        return _mapping(events, depth)
    raise ConfigError("it is not YAML")


def _sequence(events: Iterator[Any], depth: int) -> list[Any]:
    found = []
    while not isinstance(event := next(events), SequenceEndEvent):
        found.append(_value(event, events, depth + 1))
    return found


def _mapping(events: Iterator[Any], depth: int) -> dict[str | int, Any]:
    found: dict[str | int, Any] = {}
    while not isinstance(event := next(events), MappingEndEvent):
        key = _value(event, events, depth + 1)
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise ConfigError("a key is neither text nor a whole number")
        if isinstance(key, str) and len(key) > MAX_KEY:
            raise ConfigError(f"a key has more than {MAX_KEY} characters")
        if key in found:
            raise ConfigError(f"the key '{printable(str(key), limit=80)}' appears twice")
        found[key] = _value(next(events), events, depth + 1)
    return found


def _scalar(event: Any) -> Any:
    text: str = event.value
    if _CONTROL.search(text):
        raise ConfigError("it contains control characters")
    if event.style is not None:
        return text
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    return _number(text)


def _number(text: str) -> int | float | str:
    if _INT.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            raise ConfigError(f"a whole number has more than {_MAX_DIGITS} digits")
        prefixed = text[:2] in ("0o", "0x")
        return int(text, 0) if prefixed else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if infinite := _INF.fullmatch(text):
        return float(infinite.group(1) + "inf")
    return float("nan") if text in _NAN else text


def write_yaml(value: dict[Any, Any]) -> str:
    """Write plain data as YAML that reads the same under YAML 1.1 and 1.2."""
    return "".join(f"{line}\n" for line in _lines(value, ""))


def _lines(value: Any, pad: str) -> Iterator[str]:
    pairs = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in pairs:
        lead = f"{pad}-" if key is None else f"{pad}{_text(key)}:"
        if isinstance(item, dict | list) and item:
            yield lead
            yield from _lines(item, pad + "  ")
        else:
            yield f"{lead} {_text(item)}"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return re.sub("[^\x20-\x7e]", _escape, json.dumps(value, ensure_ascii=False))
    if isinstance(value, float):
        return _float_text(value)
    return json.dumps(value)


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _float_text(value: float) -> str:
    if value != value:  # only NaN differs from itself
        return ".nan"
    text = repr(value)
    if "inf" in text:
        return text.replace("inf", ".inf")
    # YAML 1.1 knows a number by its dot
    return text if "." in text else text.replace("e", ".0e")
