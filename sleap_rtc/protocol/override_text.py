"""What a user types to change one key of sleap-nn's config: ``key=value``, by Hydra's grammar as far as users need it.

Nothing is resolved here and nothing is left to Hydra: a value becomes a number, text, a list or a mapping, and what
Hydra would look up elsewhere (interpolation, functions, sweeps, config groups) is refused.
"""

import math
import re
from collections.abc import Callable

from pydantic import JsonValue, ValidationError

from sleap_rtc.errors import ConfigError

from .text import printable
from .training import Override

HYDRA_KEYS = frozenset({"defaults", "hydra", "_target_"})
"""Keys by which Hydra loads other files or code."""
MAX_TEXT = 64 * 1024
"""Characters of one override."""
MAX_DEPTH = 12
"""Lists and mappings within each other."""
_MAX_DIGITS = 20

_WORDS: dict[str, JsonValue] = {"true": True, "false": False, "null": None, "none": None}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?(inf|nan)", re.IGNORECASE)
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\(.*\)", re.DOTALL)
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")
_BEFORE_QUOTE = {quote: re.compile(rf"(\\+)(?={quote}|\Z)") for quote in "'\""}
_SPACE = " \t"


def parse_override(text: str) -> Override:
    r"""Read one override.

    ``+key=value`` and ``++key=value`` mean the same: a key is set, whether or not the config has it. Unquoted text is
    kept as it stands, without the spaces around it; a backslash before ``\ ( ) [ ] { } : = ,`` or a space takes
    its meaning away. In quotes only the quote itself, and backslashes before it, need one.

    Args:
        text: such as ``trainer_config.max_epochs=50`` or ``data_config.train_labels_path=[a.slp,b.slp]``.

    Raises:
        ConfigError: if it is none, asks for what is Hydra's alone, or is too large or too deep.
    """
    if len(text) > MAX_TEXT:
        raise ConfigError(f"An override is longer than {MAX_TEXT} characters: write that key into a config file.")
    if text.startswith("~"):
        raise _refused(text, "keys cannot be removed. Set the key to null instead (key=null).")
    key, equals, value = text.partition("=")
    if not equals:
        raise _refused(text, "it has no '='. Write key=value, such as trainer_config.max_epochs=50.")
    if _CONTROL.search(value):
        raise _refused(text, "it contains control characters. Remove them.")
    if "${" in value:
        raise _refused(text, "it uses interpolation (${…}). Write the value out.")
    return _override(re.sub(r"\A\+{1,2}", "", key).strip(), _Reader(text, value).whole(), text)


def _override(key: str, value: JsonValue, text: str) -> Override:
    if key.rpartition(".")[2] == "api_key" or _holds_key(value):
        # the options of a job are written down, here and on the worker
        raise _refused(key, "a key is never part of a job's options. Set WANDB_API_KEY instead.")
    if not HYDRA_KEYS.isdisjoint(key.split(".")):
        raise _refused(text, "its key would make Hydra load other files or code. Leave it out.")
    try:
        return Override(key=key, value=value)
    except ValidationError as error:
        shown = printable(key, limit=80)
        raise _refused(
            text, f"'{shown}' is no key of a config. Write the dotted key, such as trainer_config.max_epochs=50."
        ) from error


def _holds_key(value: JsonValue) -> bool:
    if isinstance(value, list):
        return any(map(_holds_key, value))
    return isinstance(value, dict) and ("api_key" in value or any(map(_holds_key, value.values())))


def _refused(text: str, why: str) -> ConfigError:
    return ConfigError(f"The override '{printable(text, limit=120)}' is refused: {why}")


class _Reader:
    """Reads the value of one override from left to right."""

    def __init__(self, override: str, text: str) -> None:
        self._override = override
        self._text = text
        self._at = 0

    def whole(self) -> JsonValue:
        """The value that all of the text is."""
        self._skip_space()
        if self._peek() not in ("[", "{", "'", '"'):
            return self._plain(self._text[self._at :])
        value = self._value("", 0)
        self._skip_space()
        if self._at < len(self._text):
            raise self._error("something follows the value. Put text with brackets or quotes in it into quotes")
        return value

    def _value(self, ends: str, depth: int) -> JsonValue:
        if depth > MAX_DEPTH:
            raise self._error(f"it is nested deeper than {MAX_DEPTH}")
        self._skip_space()
        first = self._peek()
        if first == "[":
            return self._list(depth)
        if first == "{":
            return self._mapping(depth)
        if first in ("'", '"'):
            return self._quoted(first)
        return self._bare(ends)

    def _list(self, depth: int) -> JsonValue:
        found: list[JsonValue] = []
        self._each("]", lambda: found.append(self._value(",]", depth + 1)))
        return found

    def _mapping(self, depth: int) -> JsonValue:
        found: dict[str, JsonValue] = {}

        def pair() -> None:
            self._skip_space()
            first = self._peek()
            key = self._quoted(first) if first in ("'", '"') else self._until(":,}").strip(_SPACE)
            if key in found or key in HYDRA_KEYS:
                why = "appears twice" if key in found else "would make Hydra load other files or code"
                raise self._error(f"the key '{printable(key, limit=80)}' {why}")
            self._skip_space()
            if not key or self._peek() != ":":
                raise self._error("a mapping is written {key: value, key: value}")
            self._at += 1
            found[key] = self._value(",}", depth + 1)

        self._each("}", pair)
        return found

    def _each(self, end: str, read: Callable[[], object]) -> None:
        """Read what stands between brackets, separated by commas."""
        self._at += 1
        self._skip_space()
        if self._peek() == end:
            self._at += 1
            return
        while True:
            read()
            self._skip_space()
            after = self._peek()
            self._at += 1
            if after == end:
                return
            if after != ",":
                raise self._error(f"a ',' or '{end}' is missing")

    def _quoted(self, quote: str) -> str:
        start = self._at + 1
        at = start
        while at < len(self._text) and self._text[at] != quote:
            at += 2 if self._text[at] == "\\" else 1
        if at >= len(self._text):
            raise self._error(f"a closing {quote} is missing")
        self._at = at + 1
        return _BEFORE_QUOTE[quote].sub(lambda run: "\\" * (len(run[1]) // 2), self._text[start:at])

    def _bare(self, ends: str) -> JsonValue:
        text = self._until(ends)
        if not text.strip(_SPACE):
            raise self._error("a value is missing. Write '' for empty text")
        return self._plain(text, within=True)

    def _until(self, ends: str) -> str:
        """The text up to one of `ends`, which may not hold brackets."""
        start = self._at
        while (here := self._peek()) and here not in ends:
            if here in "[]{}":
                raise self._error(f"a '{here}' stands within text. Put the text into quotes")
            self._at += 2 if here == "\\" else 1
        self._at = min(self._at, len(self._text))
        return self._text[start : self._at]

    def _plain(self, text: str, *, within: bool = False) -> JsonValue:
        text = _stripped(text)
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if _INT.fullmatch(text):
            return self._whole_number(text)
        if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
            number = float(text)
            if not math.isfinite(number):
                raise self._error("the number is not finite. Give a finite one, or put text into quotes")
            return number
        if _FUNCTION.fullmatch(text):
            raise self._error("it would make Hydra call a function. Write the value out, or put text into quotes")
        if not within and "," in _ESCAPED.sub("", text):
            raise self._error("it would be several values. Write a list as [a,b], or put text into quotes")
        return _ESCAPED.sub(r"\1", text)

    def _whole_number(self, text: str) -> int:
        if len(text) > _MAX_DIGITS:
            raise self._error(f"a whole number has more than {_MAX_DIGITS} digits")
        return int(text)

    def _skip_space(self) -> None:
        while self._peek() in (" ", "\t"):
            self._at += 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _error(self, why: str) -> ConfigError:
        return _refused(self._override, f"{why}.")


def _stripped(text: str) -> str:
    """Without the spaces around it, but for a last one that is escaped."""
    text = text.lstrip(_SPACE)
    bare = text.rstrip(_SPACE)
    escaped = (len(bare) - len(bare.rstrip("\\"))) % 2 == 1
    return text[: len(bare) + 1] if escaped and len(bare) < len(text) else bare
