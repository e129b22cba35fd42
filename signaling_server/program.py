"""The service as a program, in one process or in several."""

import os
from collections.abc import Callable

from signaling_server import server
from signaling_server.child import serve_as_one
from signaling_server.garbage import brief_collections
from signaling_server.inheritance import take_inherited
from signaling_server.open_files import allow_many
from signaling_server.place import Listening
from signaling_server.settings import Settings
from signaling_server.supervisor import supervise


async def serve(settings: Settings, on_ready: Callable[[Listening], None] | None = None) -> None:
    """Run the service until SIGINT or SIGTERM.

    Args:
        settings: port 0 takes a free port; more than one of `workers` makes this process their parent.
        on_ready: called once connections are accepted; not in a process that was started by such a parent.

    Raises:
        SleapRTCError: if it cannot start.
    """
    allow_many()
    given = take_inherited(os.environ)
    async with brief_collections():
        if given is not None:
            await serve_as_one(settings, given)
        elif settings.workers > 1:
            await supervise(settings, on_ready)
        else:
            await server.serve(settings, on_ready)
