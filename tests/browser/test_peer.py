"""A page is a client peer of a worker: it links, proves itself and asks."""

from pathlib import Path

import pytest

from tests.browser.conftest import Visit
from tests.browser.labs import page_lab


@pytest.mark.parametrize("engine", ["libwebrtc", "aiortc"])
def test_a_page_links_to_a_worker(visit: Visit, tmp_path: Path, engine: str) -> None:
    with page_lab(visit("ada"), tmp_path, engine=engine) as lab:
        lab.start_worker()
        said = lab.run(
            """
            const room = new peer.Room(args[0]);
            const worker = await room.connect(args[1]);
            const said = {state: worker.state, abilities: [...worker.abilities], jobs: await worker.jobs({all: true})};
            await worker.close();
            room.close();
            return {...said, closed: worker.state};
            """,
            lab.room, lab.worker_id,
        )  # fmt: skip
        assert said["state"] == "ready"
        assert "train" in said["abilities"]
        assert said["jobs"] == []
        assert said["closed"] == "closed"
