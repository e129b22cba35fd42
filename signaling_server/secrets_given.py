"""What is asked of secrets that an operator gives: that nobody can guess them, and that no other user may read them."""

import os
import re
import stat
from pathlib import Path

MIN_LENGTH = 32
"""Characters that a secret must have, at least."""
_FEWEST_CHARACTERS = 8
# what stands in examples and templates
_PLACEHOLDER = re.compile(r"change.?me|example|placeholder|password|secret|pepper", re.IGNORECASE)


def stands_for_another(secret: str) -> bool:
    """Whether it was left as it stood in an example."""
    return _PLACEHOLDER.search(secret) is not None


def is_guessable(secret: str) -> bool:
    """Whether it has few different characters, or was left as it stood in an example."""
    return len(set(secret)) < _FEWEST_CHARACTERS or stands_for_another(secret)


def others_may_read(path: Path) -> bool:
    """Whether other users of this machine may open the file; False where that cannot be told.

    Raises:
        OSError: if there is no such file.
    """
    return os.name == "posix" and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
