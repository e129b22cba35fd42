"""What makes a change of a folder survive a power cut."""

import os
import sys
from pathlib import Path


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, where the system can.

    Raises:
        OSError: if the disk refuses.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
