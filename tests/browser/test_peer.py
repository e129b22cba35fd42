"""A page is a client peer of a worker: it links, proves itself, sends packages, and follows jobs."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.room_secrets import RoomSecret
from tests.browser.chromium import log_in
from tests.browser.conftest import Visit
from tests.browser.labs import PageLab, package_files, page_lab
from tests.jobs.conftest import LABELS
from tests.protocol.test_webcrypto_proof import derived
from tests.roles.times import PATIENT
from tests.roles.worker_process import MODEL_SIZE, SECRET

MIB = 1024 * 1024
MODEL = str(4 * MIB)
CONFIG = {"single.yaml": package_files()["configs/single.yaml"]}


@contextmanager
def running_lab(browser: Browser, site: str, folder: Path, behaviour: str) -> Iterator[PageLab]:
    """A room of Ada's, with a worker at work."""
    owner = log_in(browser, site, "ada")
    with page_lab(owner, folder) as made:
        made.start_worker(behaviour, **{MODEL_SIZE: MODEL})
        yield made
    owner.context.close()


@pytest.fixture(scope="module")
def good_lab(browser: Browser, site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageLab]:
    with running_lab(browser, site, tmp_path_factory.mktemp("good"), "good") as made:
        yield made


@pytest.fixture(scope="module")
def endless_lab(browser: Browser, site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageLab]:
    with running_lab(browser, site, tmp_path_factory.mktemp("endless"), "endless") as made:
        yield made


@contextmanager
def seen_by(shared: PageLab, visit: Visit) -> Iterator[PageLab]:
    """The same lab, met by a fresh browser of its owner's."""
    found = replace(shared, visitor=visit("ada"))
    yield found
    shared.worker = found.worker  # it may have been killed, and another one started


@pytest.fixture
def lab(good_lab: PageLab, visit: Visit) -> Iterator[PageLab]:
    """A room whose worker trains at once."""
    with seen_by(good_lab, visit) as found:
        yield found


@pytest.fixture
def endless(endless_lab: PageLab, visit: Visit) -> Iterator[PageLab]:
    """A room whose worker trains until it is told to stop."""
    with seen_by(endless_lab, visit) as found:
        yield found


def test_a_page_links_to_a_worker(lab: PageLab) -> None:
    said = lab.run(
        """
        const room = new peer.Room(args[0], {times});
        const lists = [];
        room.onWorkers((workers, trouble) => lists.push({workers, trouble}));
        await until(() => lists.length);
        const worker = await room.connect(args[1]);
        const state = worker.state;
        const abilities = [...worker.abilities];
        await worker.close();
        room.close();
        return {state, abilities, ...lists[0], closed: worker.state};
        """
    )
    assert (said["state"], said["closed"], said["trouble"]) == ("ready", "closed", None)
    assert "train" in said["abilities"]
    (worker,) = said["workers"]
    assert worker["worker_id"] == lab.worker_id
    assert worker["info"]["gpus"] == [{"name": "Test GPU", "memory_mb": 4096, "uuid": "GPU-0"}]


def test_files_go_both_ways_with_a_worker_on_the_other_engine(visit: Visit, tmp_path: Path) -> None:
    with page_lab(visit("ada"), tmp_path, engine="aiortc") as lab:
        lab.start_worker(**{PATIENT: "yes", MODEL_SIZE: str(MIB)})
        said = lab.run(
            """
            const [config] = dropped(args[2]);
            const pkg = await peer.makePackage([{path: "labels.pkg.slp", file: gated(args[3], 0).file}, config]);
            const met = await meet(args[0], args[1], {times: {...times, dead: 20000}});
            const job = peer.newJobId();
            await met.worker.submit(job, pkg, {kind: "train"});
            const {reason} = await watched(met.worker, job).ended;
            const {blob} = await met.worker.download(`z_${job}`);
            const zip = hexOf(await blob.arrayBuffer());
            await part(met);
            return {job, reason, zip};
            """,
            CONFIG, MIB,
        )  # fmt: skip
        folder = JobFolder(lab.jobs / said["job"])
        assert said["reason"] is None
        assert (folder.path / "inputs" / "labels.pkg.slp").stat().st_size == MIB
        assert unzipped(said["zip"]) == {file.path: file.source.read_bytes() for file in folder.results()}


def test_results_come_as_one_zip_that_goes_on_when_the_link_was_lost(lab: PageLab) -> None:
    lab.run(
        """
        const pkg = await peer.makePackage(dropped(args[2]));
        globalThis.met = await meet(args[0], args[1]);
        globalThis.job = peer.newJobId();
        await met.worker.submit(job, pkg, {kind: "train"});
        await watched(met.worker, job).ended;
        // what comes is not looked at any more from some part on, until the gate is opened
        let left = 3;
        const opened = new Promise((resolve) => (globalThis.open = () => { left = Infinity; resolve(); }));
        const {digest} = SubtleCrypto.prototype;
        SubtleCrypto.prototype.digest = async function (...both) {
          if ((left -= 1) < 0) await opened;
          return digest.apply(this, both);
        };
        globalThis.progress = [];
        globalThis.fetching = met.worker.download(`z_${job}`, {onProgress: (...both) => progress.push(both)});
        fetching.catch(() => {});
        await until(() => progress.length > 2);
        """,
        package_files(),
    )
    lab.kill_worker()
    lab.run("await until(() => met.worker.state === 'lost');")
    lab.start_worker(**{MODEL_SIZE: MODEL})
    said = lab.run(
        """
        const before = progress.length;
        open();
        const {name, blob} = await fetching;
        const zip = hexOf(await blob.arrayBuffer());
        const unknown = await refused(met.worker.download("z_j_87654321"));
        await part(met);
        return {job, name, zip, progress, before, unknown};
        """
    )
    results = JobFolder(lab.jobs / said["job"]).results()
    assert unzipped(said["zip"]) == {file.path: file.source.read_bytes() for file in results}
    assert said["name"].endswith(".zip")
    done = [done for done, _ in said["progress"]]
    assert done == sorted(done)
    assert done[said["before"]] >= done[said["before"] - 1] > 0
    assert done[-1] == said["progress"][0][1]
    assert said["unknown"]["code"] == "not_found"


def unzipped(digits: str) -> dict[str, bytes]:
    """What a zip holds."""
    with zipfile.ZipFile(BytesIO(bytes.fromhex(digits))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_dropped_folder_is_looked_at_and_trained(lab: PageLab) -> None:
    files = package_files() | {"configs/.DS_Store": "00"}
    said = lab.run(
        """
        const hashed = [];
        const how = {name: "flies", onHashed: (...both) => hashed.push(both)};
        const pkg = await peer.makePackage(dropped(args[2]), how);
        const met = await meet(args[0], args[1]);
        const {worker} = met;
        const job = peer.newJobId();
        let transfers = [];
        worker.onTransfer((each) => transfers.push(each));
        const options = {kind: "train", overrides: [{key: "trainer_config.max_epochs", value: 3}]};
        const inspected = await worker.inspect(job, pkg, options);
        const [sent] = transfers.splice(0).slice(-1);
        const unknown = await refused(worker.inspect(job, pkg, {kind: "train", configs: ["none.yaml"]}));
        const listed = await worker.jobs({all: true});
        const summary = await worker.submit(job, pkg, options);
        const seen = await watched(worker, job).ended;
        const shown = await worker.show(job);
        const jobs = await worker.jobs({all: true});
        await part(met);
        const told = {inspected, unknown, listed, summary, sent, again: transfers, shown, jobs, hashed};
        return {...seen, ...told, job, size: pkg.size};
        """,
        files,
    )
    assert said["hashed"][-1] == [said["size"], said["size"]]
    (run,) = said["inspected"]["runs"]
    assert (run["model_type"], run["max_epochs"], run["batch_size"]) == ("single_instance", 3, 4)
    assert (said["inspected"]["size"], said["inspected"]["files"]) == (said["size"], len(package_files()))
    assert said["unknown"]["code"] == "package"
    assert said["job"] not in {each["job"] for each in said["listed"]}
    assert said["sent"]["transfer"] == said["job"]
    assert said["sent"]["here"] + said["sent"]["arrived"] == said["size"]
    assert {each["arrived"] for each in said["again"]} <= {0}

    assert said["summary"]["name"] == "flies"
    assert said["reason"] is None
    assert [event["seq"] for event in said["events"]] == list(range(1, len(said["events"]) + 1))
    epochs = [event["body"]["epoch"] for event in said["events"] if event["body"]["type"] == "epoch_ended"]
    assert epochs == [0, 1, 2]
    assert said["shown"]["state"] == "done"
    assert said["shown"] in said["jobs"]
    inputs = lab.jobs / said["job"] / "inputs"
    assert {path.relative_to(inputs).as_posix() for path in inputs.rglob("*.*")} == set(package_files())


def test_a_dropped_zip_is_opened_by_the_worker(lab: PageLab) -> None:
    zipped = BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        for path, digits in package_files().items():
            archive.writestr(path, bytes.fromhex(digits))
    said = lab.run(
        """
        const pkg = await peer.makePackage(dropped({"flies.zip": args[2]}));
        const met = await meet(args[0], args[1]);
        const job = peer.newJobId();
        await met.worker.submit(job, pkg, {kind: "train"});
        const {reason} = await watched(met.worker, job).ended;
        const {state, runs} = await met.worker.show(job);
        await part(met);
        return {reason, state, runs};
        """,
        zipped.getvalue().hex(),
    )  # fmt: skip
    assert (said["reason"], said["state"]) == (None, "done")
    assert [run["model_type"] for run in said["runs"]] == ["single_instance"]


def test_a_job_is_stopped_resumed_and_cancelled(endless: PageLab) -> None:
    said = endless.run(
        """
        const pkg = await peer.makePackage(dropped(args[2]));
        const met = await meet(args[0], args[1]);
        const {worker} = met;
        const job = peer.newJobId();
        await worker.submit(job, pkg, {kind: "train"});
        const seen = watched(worker, job);
        await until(() => seen.events.some(({body}) => body.type === "epoch_ended"));
        await worker.command(job, "stop");
        const stopped = await seen.ended;
        const resumed = await worker.resume(job);
        const since = stopped.events.at(-1).seq;
        const again = watched(worker, job, since);
        await until(() => again.events.some(({body}) => body.type === "epoch_ended"));
        await worker.command(job, "cancel");
        const cancelled = await again.ended;
        const {state} = await worker.show(job);
        const unknown = await refused(worker.command(peer.newJobId(), "stop"));
        await part(met);
        return {stopped, resumed, since, cancelled, state, unknown};
        """,
        package_files(),
    )  # fmt: skip
    assert said["stopped"]["events"][-1]["body"]["state"] == "done"
    assert said["resumed"]["attempt"] == 2
    first = said["cancelled"]["events"][0]
    assert first["seq"] == said["since"] + 1
    assert said["cancelled"]["reason"] is None
    assert said["state"] == "cancelled"
    assert said["unknown"]["code"] == "not_found"


def test_a_watch_goes_on_without_a_gap_when_the_worker_was_killed(endless: PageLab) -> None:
    endless.run(
        """
        const pkg = await peer.makePackage(dropped(args[2]));
        const met = globalThis.met = await meet(args[0], args[1]);
        globalThis.states = [];
        met.worker.onState((state, reason) => states.push([state, reason]));
        globalThis.job = peer.newJobId();
        await met.worker.submit(job, pkg, {kind: "train"});
        globalThis.seen = watched(met.worker, job);
        await until(() => seen.events.some(({body}) => body.type === "epoch_ended"));
        """,
        package_files(),
    )  # fmt: skip
    endless.kill_worker()
    endless.run("await until(() => met.worker.state === 'lost')")
    endless.start_worker("endless")
    said = endless.run(
        """
        await until(() => met.worker.state === "ready");
        const before = seen.events.length;
        await until(() => seen.events.length > before + 10);
        await met.worker.command(job, "stop");
        const ended = await seen.ended;
        await part(met);
        return {...ended, states, before};
        """
    )
    assert said["reason"] is None
    assert [event["seq"] for event in said["events"]] == list(range(1, len(said["events"]) + 1))
    assert said["events"][-1]["body"]["state"] == "done"
    assert [state for state, _ in said["states"]][-2:] == ["ready", "closed"]
    assert all(reason for state, reason in said["states"] if state == "lost")


GOING = """
    globalThis.gate = gated(args[3], args[3] / 2, args[5]);
    const [config] = dropped(args[2]);
    const pkg = await peer.makePackage([{path: "labels.pkg.slp", file: gate.file}, config]);
    gate.shut();
    globalThis.met = await meet(args[0], args[1]);
    globalThis.reports = [];
    met.worker.onTransfer(({here, arrived}) => reports.push([here, arrived]));
    globalThis.going = met.worker.submit(args[4], pkg, {kind: "train"});
    going.catch(() => {});
"""
# what is asked for at once may be anything between one part of the file and all of it
A_QUARTER = """
    await until(() => {
      const here = gate.left < 0 && reports.at(-1)?.[1] >= args[3] / 4;
      if (gate.left < 0 && !here) gate.more();
      return here;
    });
"""


def test_an_upload_goes_on_by_itself_when_the_link_was_lost(lab: PageLab) -> None:
    size, job, seed = 16 * MIB, "j_lostlink", 2
    lab.run(GOING + A_QUARTER, CONFIG, size, job, seed)
    lab.kill_worker()
    before = lab.run("await until(() => met.worker.state === 'lost'); return reports.splice(0).at(-1);")
    lab.start_worker()
    said = lab.run(
        """
        gate.open();
        const summary = await going;
        await part(met);
        return {summary, last: reports.at(-1)};
        """
    )
    here, arrived = said["last"]
    assert here + arrived >= size
    assert here >= sum(before) - 4 * MIB
    assert said["summary"]["job"] == job


def test_after_a_reload_nothing_that_arrived_is_sent_again(lab: PageLab) -> None:
    size, job, seed = 16 * MIB, "j_reloaded", 3
    _, before = lab.run(GOING + A_QUARTER + "return reports.at(-1);", CONFIG, size, job, seed)
    lab.page.reload()
    said = lab.run(
        GOING + "gate.open(); const {state} = await going; await part(met); return {state, last: reports.at(-1)};",
        CONFIG, size, job, seed,
    )  # fmt: skip
    here, arrived = said["last"]
    assert here + arrived >= size
    assert here >= before - 4 * MIB
    assert said["state"] != "received"


def test_an_upload_that_was_given_up_is_taken_up_again(lab: PageLab) -> None:
    size, job, seed = 4 * MIB, "j_givenup0", 4
    said = lab.run(
        "globalThis.giving = new AbortController();"
        + GOING.replace('{kind: "train"}', '{kind: "train"}, {signal: giving.signal}')
        + """
        await until(() => gate.left < 0);
        giving.abort();
        gate.open();
        const given = await going.catch((error) => error.name);
        await until(() => met.worker.state === "ready");
        const {state} = await met.worker.show(args[4]);
        const again = await met.worker.submit(args[4], pkg, {kind: "train"});
        const {reason} = await watched(met.worker, args[4]).ended;
        await part(met);
        return {given, state, again, reason};
        """,
        CONFIG, size, job, seed,
    )  # fmt: skip
    assert (said["given"], said["state"], said["reason"]) == ("AbortError", "received", None)
    assert said["again"]["job"] == job


def test_a_link_outlives_the_connection_to_the_service(lab: PageLab) -> None:
    said = lab.run(
        """
        const sockets = [];
        globalThis.WebSocket = class extends WebSocket {
          constructor(...both) { super(...both); sockets.push(this); }
        };
        const met = await meet(args[0], args[1]);
        const troubles = [];
        met.room.onWorkers((workers, trouble) => troubles.push(trouble));
        await until(() => troubles.length);
        sockets[0].close();
        await until(() => troubles.some(Boolean));
        const jobs = await met.worker.jobs();
        await until(() => met.room.trouble === null);
        const other = await met.room.connect(args[1]);
        const states = [met.worker.state, other.state];
        await other.close();
        await part(met);
        return {troubles, states, sockets: sockets.length, jobs};
        """
    )
    assert any("connection to the signaling service was lost" in (each or "") for each in said["troubles"])
    assert said["states"] == ["ready", "ready"]
    assert said["sockets"] == 2


def test_a_file_that_changed_since_it_was_dropped_is_refused_with_a_sentence(lab: PageLab, tmp_path: Path) -> None:
    labels = tmp_path / "labels.pkg.slp"
    labels.write_bytes(LABELS + bytes(4 * MIB))
    lab.run("document.body.append(Object.assign(document.createElement('input'), {type: 'file', id: 'files'}))")
    lab.page.set_input_files("#files", labels)
    lab.run(
        """
        const [file] = document.getElementById("files").files;
        globalThis.pkg = await peer.makePackage([{path: file.name, file}, ...dropped(args[2])]);
        """,
        CONFIG,
    )
    labels.write_bytes(LABELS + bytes(5 * MIB))
    said = lab.run(
        """
        const met = await meet(args[0], args[1]);
        const refusal = await refused(met.worker.submit(peer.newJobId(), pkg, {kind: "train"}));
        const [file] = document.getElementById("files").files;
        const hashing = await refused(peer.makePackage([{path: file.name, file}]));
        const {state} = met.worker;
        await part(met);
        return {refusal, hashing, state};
        """,
    )  # fmt: skip
    assert said["refusal"]["code"] == said["hashing"]["code"] == "transfer"
    assert said["refusal"]["sentence"].startswith("labels.pkg.slp changed or vanished since it was dropped.")
    assert said["state"] == "ready"


def test_a_room_with_a_secret_is_entered_with_keys_derived_from_it(visit: Visit, tmp_path: Path) -> None:
    secret, other = (RoomSecret.make(bytes([number]) * 32, 1_800_000_000) for number in (1, 2))
    with page_lab(visit("ada"), tmp_path) as lab:
        lab.start_worker(**{SECRET: secret.text})
        given: list[list[dict[str, Any]]] = [[derived(secret, lab.room)], [derived(other, lab.room)], []]
        said = lab.run(
            """
            const results = [];
            for (const secrets of args[2]) {
              const room = new peer.Room(args[0], {times, secrets: async () => secrets});
              results.push(await refused(room.connect(args[1]).then((worker) => worker.close())));
              room.close();
            }
            const given = [args[2][0], []];
            const room = new peer.Room(args[0], {times, secrets: async () => given.shift()});
            await (await room.connect(args[1])).close();
            results.push(await refused(room.connect(args[1])));
            room.close();
            return results;
            """,
            given,
        )  # fmt: skip
        good, another, hosted, forgotten = said
        assert good is None
        assert another["code"] == hosted["code"] == "authentication"
        assert "another secret of this room" in another["sentence"]
        assert "sleap-rtc dashboard" in hosted["sentence"]
        assert forgotten["code"] == "unreachable"


def test_a_worker_whose_key_is_another_than_before_is_refused(lab: PageLab) -> None:
    said = lab.run(
        """
        const met = await meet(args[0], args[1]);
        await part(met);
        const name = `sleap-rtc:pin:${args[1]}`;
        const pinned = localStorage.getItem(name);
        localStorage.setItem(name, "0".repeat(64));
        const refusal = await refused(meet(args[0], args[1]));
        const absent = await refused(meet(args[0], "w_AAAAAAAAAAAAAAAAAAAAAAAAAA"));
        const room = new peer.Room("r_12345678");
        const nowhere = await refused(room.connect(args[1]));
        room.close();
        return {pinned, refusal, absent, nowhere};
        """,
    )  # fmt: skip
    assert said["pinned"] == lab.identity.public_key.hex()
    assert said["refusal"]["code"] == "authentication"
    assert "another key than before" in said["refusal"]["sentence"]
    assert said["absent"]["code"] == "unreachable"
    assert said["nowhere"]["code"] == "not_found"
    lab.visitor.expect("WebSocket")
    lab.visitor.expect("404")


def test_a_worker_that_was_shown_under_a_known_name_is_not_met_under_another(lab: PageLab) -> None:
    said = lab.run(
        """
        const Real = globalThis.WebSocket;
        const name = (await meet(args[0], args[1]).then(async (met) => (await part(met), met.room.workers)))[0].name;
        // a service that lists it twice: the page shows the one, and might ask for the other
        globalThis.WebSocket = class extends Real {
          set onmessage(take) {
            super.onmessage = ({data}) => {
              const body = JSON.parse(data);
              if (body.type === "worker_list")
                body.workers = body.workers.flatMap((each) => [{...each, name: "unknown"}, each]);
              take({data: JSON.stringify(body)});
            };
          }
        };
        const asked = [];
        const get = async (_, met) => {
          asked.push(met.name);
          if (met.name === name) throw Object.assign(new Error("known as another"), {code: "authentication"});
          return null;
        };
        const refusal = await refused(meet(args[0], args[1], {pins: {get, set: async () => {}}}));
        globalThis.WebSocket = Real;
        return {refusal, asked, name};
        """
    )
    assert said["refusal"] == {"code": "authentication", "sentence": "known as another"}
    assert said["asked"] == ["unknown", said["name"]]
