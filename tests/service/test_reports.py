"""What workers tell of jobs and models: who may, how much of it is kept, and who may read it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select

from signaling_server.housekeeping import clean_up
from signaling_server.models import JobSummary, RoomModel
from sleap_rtc.signaling.api import Room
from tests.protocol.test_reports import job, model
from tests.service.peers import Key, Peer, browser, open_room, peer, worker
from tests.service.people import DAY, Clock, Person, dev_service, join, person
from tests.service.running import RunningService

ONE, TWO = Key(1), Key(2)


@dataclass
class Lab:
    """A room with an owner and a worker token."""

    service: RunningService
    owner: Person
    room: Room
    token: str

    @asynccontextmanager
    async def workers(self) -> AsyncIterator[tuple[Peer, Peer]]:
        async with worker(self.service, self.token, ONE) as gpu, worker(self.service, self.token, TWO) as other:
            yield gpu, other

    async def ask(self, what: str, somebody: Person | None = None, **query: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {await (somebody or self.owner).fresh_token()}"}
        async with browser(self.service) as client:
            return await client.get(f"/api/v1/rooms/{self.room.room_id}/{what}", headers=headers, params=query)

    async def jobs(self, somebody: Person | None = None, **query: Any) -> list[dict[str, Any]]:
        answer = await self.ask("jobs", somebody, **query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["jobs"]
        return found

    async def models(self, **query: Any) -> list[dict[str, Any]]:
        answer = await self.ask("models", **query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["models"]
        return found


@asynccontextmanager
async def lab_with(folder: Path, **settings: Any) -> AsyncIterator[Lab]:
    async with dev_service(folder, **settings) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        yield Lab(service, ada, room, (await ada.worker_token(room)).token)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab_with(tmp_path) as found:
        yield found


async def tell(gpu: Peer, *jobs: dict[str, Any]) -> dict[str, Any]:
    return await gpu.ask("report_jobs", id=7, jobs=jobs)


async def hold(gpu: Peer, *models: dict[str, Any], complete: bool = True) -> dict[str, Any]:
    return await gpu.ask("report_models", id=7, models=models, complete=complete)


def ids(jobs: list[dict[str, Any]]) -> list[str]:
    return [each["job_id"] for each in jobs]


def names(models: list[dict[str, Any]]) -> list[str]:
    return [each["title"] for each in models]


async def test_a_job_is_listed_as_it_was_told_last_also_when_its_worker_is_gone(lab: Lab) -> None:
    run = {"name": "centroid", "model_type": "centroid", "epoch": 3, "epochs": 10, "loss": 0.25}
    facts = {"attempt": 1, "changed": 2, "started": 2, "ended": None, "runs": [run], "error": None}
    async with worker(lab.service, lab.token, ONE) as gpu:
        assert await tell(gpu, job(facts={})) == {
            "type": "reported",
            "re": 7,
            "stored": 1,
            "refused": [],
            "wanted": True,
            "unwanted": [],
        }
        await tell(gpu, job(facts=facts))
        (found,) = await lab.jobs()
        assert found.pop("updated_at") > 0
        assert found == facts | {
            "job_id": "j_00000000",
            "worker_id": ONE.worker_id,
            "worker_name": "lab-gpu-1",
            "worker_online": True,
            "user_id": "u_alice1234",
            "user_name": "Alice",
            "mine": True,
            "kind": "train",
            "state": "running",
            "created_at": 1,
        }
    assert [each["worker_online"] for each in await lab.jobs()] == [False]


async def test_members_see_of_others_jobs_how_they_stand_and_no_more(lab: Lab) -> None:
    bob, carol = await person(lab.service, "bob"), await person(lab.service, "carol")
    for somebody in (bob, carol):
        await join(lab.service, somebody, lab.room)
    facts = {"runs": [{"name": "centroid", "model_type": "centroid"}], "error": "package"}
    async with worker(lab.service, lab.token, ONE) as gpu:
        await tell(gpu, job(user=bob.user_id, state="failed", facts=facts))
    for somebody, mine in ((bob, True), (lab.owner, True), (carol, False)):
        (found,) = await lab.jobs(somebody)
        assert (found["mine"], found["state"], found["user_name"]) == (mine, "failed", "Alice")
        assert (found["runs"] != [], found["error"] is not None) == (mine, mine)
        assert (await lab.ask(f"jobs/{found['job_id']}", somebody)).json() == found
    assert (await lab.ask("jobs/j_somewhere")).status_code == 404


async def test_a_worker_cannot_touch_the_rows_of_another(lab: Lab) -> None:
    async with lab.workers() as (gpu, other):
        await tell(gpu, job(1), job(2))
        await hold(gpu, model(1))
        answer = await tell(other, job(2, state="done"), job(3))
        assert (answer["stored"], answer["refused"]) == (1, ["j_00000002"])
        await hold(other, model(2))
        await hold(other)
    assert {each["job_id"]: (each["worker_id"], each["state"]) for each in await lab.jobs()} == {
        "j_00000001": (ONE.worker_id, "running"),
        "j_00000002": (ONE.worker_id, "running"),
        "j_00000003": (TWO.worker_id, "running"),
    }
    assert names(await lab.models()) == ["centroid-1"]


async def test_a_worker_of_another_room_tells_of_its_own_room_alone(lab: Lab) -> None:
    other = await lab.owner.room("other")
    token = await lab.owner.worker_token(other)
    async with worker(lab.service, lab.token, ONE) as gpu:
        await tell(gpu, job(1))
        await hold(gpu, model(1))
    # the same key with the token of another room, and the same ids
    async with worker(lab.service, token.token, ONE) as foreign:
        assert (await tell(foreign, job(1, state="done"), job(2)))["refused"] == []
        await hold(foreign)
    assert [(each["job_id"], each["state"]) for each in await lab.jobs()] == [("j_00000001", "running")]
    assert names(await lab.models()) == ["centroid-1"]


async def test_what_a_room_without_members_tells_is_not_kept(lab: Lab) -> None:
    room = await open_room(lab.service)
    async with worker(lab.service, room, ONE) as gpu:
        answer = await tell(gpu, job(1))
        assert (answer["stored"], answer["wanted"]) == (0, False)
        assert (await hold(gpu, model(1)))["wanted"] is False


async def test_before_a_key_is_proven_nothing_is_taken(lab: Lab) -> None:
    async with peer(lab.service, lab.token) as unproven:
        assert (await tell(unproven, job(1)))["error"]["code"] == "conflict"
    assert await lab.jobs() == []


@pytest.mark.one_database
@pytest.mark.parametrize("wrong", [{"jobs": [job(state="asleep")]}, {"jobs": "all"}, {}])
async def test_a_malformed_report_is_refused_and_the_socket_stays(lab: Lab, wrong: dict[str, Any]) -> None:
    async with worker(lab.service, lab.token, ONE) as gpu:
        assert (await gpu.ask("report_jobs", id=7, **wrong))["error"]["code"] == "protocol"
        assert (await tell(gpu, job(1)))["stored"] == 1


async def test_the_oldest_jobs_that_are_over_give_way(tmp_path: Path) -> None:
    async with lab_with(tmp_path, limits={"jobs_per_room": 3}) as lab, lab.workers() as (gpu, other):
        await tell(gpu, *(job(n, submitted=n, state="running" if n == 1 else "done") for n in (1, 2, 3)))
        assert ids(await lab.jobs()) == ["j_00000003", "j_00000002", "j_00000001"]
        assert (await tell(other, job(4, submitted=4)))["refused"] == []
        assert ids(await lab.jobs()) == ["j_00000004", "j_00000003", "j_00000001"]
        # one that is over, and older than those that are there, finds no place
        assert (await tell(other, job(0, submitted=0, state="done")))["refused"] == ["j_00000000"]
        await tell(gpu, job(3, submitted=3))
        # nothing is over now: what comes last has to wait
        assert (await tell(other, job(5, submitted=5)))["refused"] == ["j_00000005"]
        assert ids(await lab.jobs()) == ["j_00000004", "j_00000003", "j_00000001"]


async def test_a_worker_s_wrong_clock_makes_no_job_the_newest_for_ever(lab: Lab) -> None:
    clock = Clock(lab.service)
    async with worker(lab.service, lab.token, ONE) as gpu:
        await tell(gpu, job(1, submitted=2**52))
        await hold(gpu, model(1, made=2**52))
    assert (await lab.jobs())[0]["created_at"] == (await lab.models())[0]["created_at"] == clock.now


async def test_models_no_longer_listed_are_dropped_once_the_list_is_complete(lab: Lab) -> None:
    async with worker(lab.service, lab.token, ONE) as gpu:
        await hold(gpu, model(1), model(2, job="j_12345678"))
        assert names(await lab.models()) == ["centroid-2", "centroid-1"]
        assert (await lab.models())[0]["job_id"] == "j_12345678"
        await hold(gpu, model(2), complete=False)
        assert names(await lab.models()) == ["centroid-2", "centroid-1"]
        await hold(gpu, model(3, made=3))
        assert names(await lab.models()) == ["centroid-3", "centroid-2"]
        await hold(gpu)
        assert await lab.models() == []


async def test_a_list_that_was_cut_off_is_no_part_of_the_next_one(lab: Lab) -> None:
    async with worker(lab.service, lab.token, ONE) as gpu:
        await hold(gpu, model(1), complete=False)
    async with worker(lab.service, lab.token, ONE) as gpu:
        await hold(gpu, model(2))
    assert names(await lab.models()) == ["centroid-2"]


async def test_models_have_a_bound_a_worker_and_a_bound_a_room(tmp_path: Path) -> None:
    limits = {"models_per_worker": 3, "models_per_room": 5}
    async with lab_with(tmp_path, limits=limits) as lab, lab.workers() as (gpu, other):
        assert (await hold(gpu, *map(model, range(3))))["stored"] == 3
        assert (await hold(gpu, *map(model, range(4))))["stored"] == 3
        # those of an earlier list give way at once, though nobody has said yet that they are gone
        assert (await hold(gpu, *map(model, range(10, 13)), complete=False))["stored"] == 3
        assert names(await lab.models()) == ["centroid-12", "centroid-11", "centroid-10"]
        assert (await hold(other, *map(model, range(20, 23))))["stored"] == 2
        assert len(await lab.models()) == 5


async def test_pages_follow_each_other_without_gaps(lab: Lab) -> None:
    async with worker(lab.service, lab.token, ONE) as gpu:
        await tell(gpu, *(job(n, submitted=n // 2, state="done" if n % 3 else "running") for n in range(7)))
        await hold(gpu, *(model(n, made=n // 2, title=f"a:b {n}") for n in range(7)))
    for what, key in (("jobs", "job_id"), ("models", "title")):
        whole = [each[key] for each in (await lab.ask(what)).json()[what]]
        assert len(whole) == 7
        found: list[str] = []
        query: dict[str, Any] = {"limit": "3"}
        while True:
            page = (await lab.ask(what, **query)).json()
            found += [each[key] for each in page[what]]
            if page["next"] is None:
                break
            assert len(page[what]) == 3
            query["before"] = page["next"]
        assert found == whole
    assert ids(await lab.jobs(state="running")) == ["j_00000006", "j_00000003", "j_00000000"]
    assert len(await lab.jobs(state=["running", "done"])) == 7


@pytest.mark.one_database
@pytest.mark.parametrize(
    "query",
    [
        {"state": "asleep"},
        {"limit": "0"},
        {"limit": "201"},
        {"before": "yesterday"},
        {"before": "1"},
        {"before": "-1:j_12345678"},
        {"before": "1" * 17 + ":j_12345678"},
        {"before": "1:j_\x00"},
        {"before": "1:" + "j" * 320},
    ],
)
async def test_a_wrong_question_is_refused(lab: Lab, query: dict[str, Any]) -> None:
    answer = await lab.ask("jobs", **query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "usage")


async def test_what_nobody_told_of_for_long_is_forgotten(tmp_path: Path) -> None:
    async with lab_with(tmp_path, summary_days=5) as lab:
        clock = Clock(lab.service)
        async with worker(lab.service, lab.token, ONE) as gpu:
            await tell(gpu, job(1), job(2))
            await hold(gpu, model(1))
            clock.now += 5 * DAY
            await clean_up(lab.service.service)
            assert (len(await lab.jobs()), len(await lab.models())) == (2, 1)
            await tell(gpu, job(2))
            clock.now += 1
            await clean_up(lab.service.service)
            assert (ids(await lab.jobs()), await lab.models()) == (["j_00000002"], [])


async def test_a_deleted_room_takes_all_that_was_told_of_it_along(lab: Lab) -> None:
    async with worker(lab.service, lab.token, ONE) as gpu:
        await tell(gpu, job(1))
        await hold(gpu, model(1))
    await lab.owner.api.delete_room(lab.room.room_id)
    async with lab.service.service.database.transaction() as session:
        for table in (JobSummary, RoomModel):
            assert await session.scalar(select(func.count()).select_from(table)) == 0


async def test_a_busy_database_holds_up_no_other_message(lab: Lab) -> None:
    async with worker(lab.service, lab.token, ONE) as gpu:
        async with lab.service.service.database.transaction():  # nobody else writes now
            for number in (1, 2, 3):
                await gpu.say("report_jobs", id=number, jobs=[job(number)])
            busy = await gpu.hear()
            assert (busy["re"], busy["error"]["code"]) == (3, "busy")
            assert (await gpu.ask("workers", id=9))["re"] == 9
        assert [(await gpu.hear())["re"], (await gpu.hear())["re"]] == [1, 2]
    assert ids(await lab.jobs()) == ["j_00000002", "j_00000001"]


async def test_a_database_that_fails_refuses_the_report_and_the_socket_stays(lab: Lab) -> None:
    database = lab.service.service.database
    async with worker(lab.service, lab.token, ONE) as gpu:
        async with database.engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE job_summaries RENAME TO away")
        assert (await tell(gpu, job(1)))["error"]["code"] == "storage"
        async with database.engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE away RENAME TO job_summaries")
        assert (await tell(gpu, job(1)))["stored"] == 1


async def test_what_a_worker_that_left_still_had_to_tell_is_dropped(lab: Lab) -> None:
    async with worker(lab.service, lab.token, ONE) as gpu, lab.service.service.database.transaction():
        await gpu.say("report_jobs", id=1, jobs=[job(1)])
        await gpu.say("report_jobs", id=2, jobs=[job(2)])
        assert (await gpu.ask("workers", id=9))["re"] == 9
        await gpu.socket.close()
        async with asyncio.timeout(10):
            while (await lab.service.service.hub.totals()).workers:  # noqa: ASYNC110 - the service's own doing
                await asyncio.sleep(0.01)
    async with worker(lab.service, lab.token, TWO) as other:
        await tell(other, job(3))
    assert "j_00000002" not in ids(await lab.jobs())
