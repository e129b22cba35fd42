"""How many files, and so sockets, this process may have open."""

from contextlib import suppress

MOST = 65_536
"""As many as the peers of one process may ever need: not every system takes a larger number."""


def allow_many() -> None:
    """Take as many as the system gives: where nobody said more it is 1,024 at first, and each peer is one."""
    try:
        import resource
    except ImportError:  # Windows, where there is no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # one that refuses keeps what it has given
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
