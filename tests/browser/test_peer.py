"""A page is a client peer of a worker: it links, proves itself and asks."""

from pathlib import Path

import pytest

from sleap_rtc.jobs.yaml_data import write_yaml
from tests.browser.conftest import Visit
from tests.browser.labs import page_lab
from tests.jobs.conftest import training_config


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
    with page_lab(visit("ada"), tmp_path) as lab:
        lab.start_worker()
        said = lab.run(
            """
            const file = (name, parts) => ({path: name, file: new File(parts, name.split("/").at(-1))});
            const hashed = [];
            const pkg = await peer.makePackage(
              [file("labels.pkg.slp", [args[2], new Uint8Array(100)]), file("configs/single.yaml", [args[3]]), file(".DS_Store", ["x"])],
              {onHashed: (done, total) => hashed.push([done, total])},
            );
            const room = new peer.Room(args[0]);
            const worker = await room.connect(args[1]);
            const job = peer.newJobId();
            const transfers = [];
            worker.onTransfer((each) => transfers.push(each));
            const summary = await worker.submit(job, pkg, {kind: "train"}, {name: "flies"});
            const events = [];
            let log = "";
            const ended = await new Promise((onEnded) => worker.watch(job, {
              log: true, onEvents: (some) => events.push(...some), onLog: (text) => (log += text), onEnded,
            }));
            const shown = await worker.show(job);
            await worker.close();
            room.close();
            return {job, summary, transfers, events, log, ended, shown, hashed, size: pkg.size};
            """,
            lab.room, lab.worker_id, "\x89HDF\r\n\x1a\n", write_yaml(training_config()),
        )  # fmt: skip
        print(said)
        assert said["summary"]["name"] == "flies"
        assert said["ended"] is None
        assert [event["seq"] for event in said["events"]] == list(range(1, len(said["events"]) + 1))
        assert said["shown"]["state"] == "done"
        last = said["transfers"][-1]
        assert last["here"] + last["arrived"] == said["size"]
        assert said["hashed"][-1] == [said["size"], said["size"]]
