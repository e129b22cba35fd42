"""One lab for all: its networks, service and relay are dear to start."""

from collections.abc import Iterator

import pytest

from tests.netns.labs import Lab, running_lab
from tests.netns.spaces import missing

WORKERS = {"office-libwebrtc": "libwebrtc", "office-aiortc": "aiortc"}
"""The workers in the office, each with its engine."""


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The room, with a worker of each engine in the office."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with running_lab(tmp_path_factory.mktemp("lab")) as made:
        for name, engine in WORKERS.items():
            made.start_worker(made.internet.office, name, engine)
        for name in WORKERS:
            made.wait(name)
        yield made
