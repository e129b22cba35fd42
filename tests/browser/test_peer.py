"""A page is a client peer of a worker: it links, proves itself and asks."""

from pathlib import Path

import pytest

from tests.browser.conftest import Visit
from tests.browser.labs import package_files, page_lab


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


def test_a_dropped_folder_is_trained(visit: Visit, tmp_path: Path) -> None:
    files = package_files() | {"configs/.DS_Store": "00"}
    with page_lab(visit("ada"), tmp_path) as lab:
        lab.start_worker()
        said = lab.run(
            """
            const hashed = [];
            const pkg = await peer.makePackage(dropped(args[2]), {onHashed: (done, total) => hashed.push([done, total])});
            const {room, worker} = await meet(args[0], args[1]);
            const job = peer.newJobId();
            const transfers = [];
            worker.onTransfer((each) => transfers.push(each));
            const summary = await worker.submit(job, pkg, {kind: "train"}, {name: "flies"});
            const seen = await watched(worker, job);
            const shown = await worker.show(job);
            const jobs = await worker.jobs({all: true});
            await worker.close();
            room.close();
            return {...seen, job, summary, transfers, shown, jobs, hashed, size: pkg.size};
            """,
            lab.room, lab.worker_id, files,
        )  # fmt: skip
        assert said["summary"]["name"] == "flies"
        assert said["reason"] is None
        assert [event["seq"] for event in said["events"]] == list(range(1, len(said["events"]) + 1))
        assert "epoch_ended" in {event["body"]["type"] for event in said["events"]}
        assert said["shown"]["state"] == "done"
        assert said["jobs"] == [said["shown"]]
        last = said["transfers"][-1]
        assert (last["transfer"], last["here"] + last["arrived"]) == (said["job"], said["size"])
        assert said["hashed"][-1] == [said["size"], said["size"]]
        inputs = lab.jobs / said["job"] / "inputs"
        assert {path.relative_to(inputs).as_posix() for path in inputs.rglob("*.*")} == set(package_files())
