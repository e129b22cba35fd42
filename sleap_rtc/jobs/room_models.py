"""Where a job's models of the room come from, as far as jobs are concerned."""

from pathlib import Path
from typing import Protocol


class RoomModels(Protocol):
    """The models that the workers of a room hold."""

    async def place(self, digest: str, room: str, target: Path) -> None:
        """Copy a bundle into a folder that is made for it: whole, each file checked, or not at all.

        Args:
            digest: the bundle's.
            room: the room whose member asks.
            target: the folder.

        Raises:
            NotFoundError: if no worker of the room holds it.
            UnreachableError: if none of those that do can be reached.
            StorageError: if the disk refuses.
        """
