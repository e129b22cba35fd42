"""Text from strangers, made safe for a terminal."""

import re
import unicodedata

_ESCAPES = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|\x1b\[[0-?]*[ -/]*[@-~]")
# bidirectional overrides can make a name read as another one
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def escaped(text: str) -> str:
    """Return `text` on one line, with every character that is not seen, or that steers, written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable(text: str, *, limit: int = 8192) -> str:
    """Return `text` without escape sequences, control characters (but newline and tab) and bidi overrides.

    Args:
        text: anything a peer sent.
        limit: characters kept; more are replaced by an ellipsis.
    """
    text = _ESCAPES.sub("", text)
    kept = "".join(c for c in text if c in "\n\t" or (unicodedata.category(c)[0] != "C" and c not in _BIDI))
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def one_line(text: str, *, limit: int) -> str:
    """`printable`, without line breaks: a name that a sentence quotes must not look like a sentence of ours.

    Args:
        text: anything a peer sent.
        limit: characters kept; more are replaced by an ellipsis.
    """
    return printable(" ".join(text.split()), limit=limit)
