"""Which file of a package a path from somewhere else means."""

from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath


def file_name(path: str) -> str:
    """The last part of a path written on any system."""
    return PureWindowsPath(path).name


def match_file(path: str, candidates: Sequence[str]) -> str | None:
    """The one candidate that shares the longest tail with `path`; at least the file name, and None if it is unclear."""
    if path in candidates:
        return path
    shared = {candidate: _shared_tail(path, candidate) for candidate in candidates}
    longest = max(shared.values(), default=0)
    best = [candidate for candidate, length in shared.items() if length == longest]
    return best[0] if longest and len(best) == 1 else None


def _shared_tail(path: str, candidate: str) -> int:
    pairs = zip(reversed(PureWindowsPath(path).parts), reversed(PurePosixPath(candidate).parts), strict=False)
    length = 0
    for ours, theirs in pairs:
        if ours != theirs:
            break
        length += 1
    return length
