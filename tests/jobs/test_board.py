import asyncio
import io
import shutil
import zipfile
from pathlib import Path

import psutil
import pytest

from sleap_rtc.errors import BusyError, ConfigError, ConflictError, NotFoundError, PackageError, ProtocolError
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.gpus import Gpu, slots_for, visible
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.training import TrainOptions

from .conftest import (
    OWNER,
    STRANGER,
    FakeRunner,
    all_events,
    events_until,
    eventually,
    in_an_epoch,
    is_epoch_end,
    lives,
    names_in,
    new_board,
    noted,
    of_type,
    running,
    submit,
)


def state_of(folder: JobFolder) -> JobState:
    return folder.state().state


async def receive(board, job: str = "j_12345678", owner=OWNER, digest: str = "0" * 64) -> JobFolder:  # type: ignore[no-untyped-def]
    return await board.receive(job, owner=owner, name="test", manifest_digest=digest, options=TrainOptions())  # type: ignore[no-any-return]


async def test_the_same_submit_makes_one_job(root: Path, fake: FakeRunner, package: Path, ledger: Path) -> None:
    board = new_board(root, fake("good"))
    folders = await asyncio.gather(*(receive(board) for _ in range(20)))
    assert {folder.path for folder in folders} == {root / "j_12345678"}
    shutil.copytree(package, folders[0].inputs, dirs_exist_ok=True)
    summaries = await asyncio.gather(*(board.accept(folder) for folder in folders))
    assert {summary.state for summary in summaries} == {JobState.QUEUED}
    assert board.queued == 1
    async with running(board):
        await all_events(board, folders[0])
        await board.idle()
    assert len(noted(ledger)) == 1
    assert (await board.accept(folders[0])).state is JobState.DONE


async def test_other_content_under_a_known_id_is_refused(root: Path, fake: FakeRunner) -> None:
    board = new_board(root, fake("good"))
    await receive(board)
    with pytest.raises(ConflictError, match="other files"):
        await receive(board, digest="1" * 64)


async def test_a_job_of_somebody_else_is_no_job(root: Path, fake: FakeRunner) -> None:
    board = new_board(root, fake("good"))
    await receive(board)
    with pytest.raises(NotFoundError) as foreign:
        board.find("j_12345678", STRANGER)
    with pytest.raises(NotFoundError) as unknown:
        board.find("j_87654321", STRANGER)
    assert foreign.value.sentence.replace("j_12345678", "") == unknown.value.sentence.replace("j_87654321", "")
    with pytest.raises(NotFoundError):
        await receive(board, owner=STRANGER)
    assert board.find("j_12345678", OWNER).job == "j_12345678"


@pytest.mark.parametrize("job", ["../x", "j_../../x", "j_1", "", "r_12345678", "j_" + "a" * 100])
async def test_an_id_that_is_none_touches_nothing(root: Path, fake: FakeRunner, job: str) -> None:
    board = new_board(root, fake("good"))
    with pytest.raises(NotFoundError):
        board.find(job, OWNER)
    with pytest.raises(ProtocolError):
        await receive(board, job)
    assert names_in(root.parent) == ["ledger"]


async def test_a_refused_package_leaves_no_folder(root: Path, fake: FakeRunner, package: Path) -> None:
    board = new_board(root, fake("good"))
    for number, (name, content, error) in enumerate(
        [
            ("labels.pkg.slp", "no labels", PackageError),
            ("one.yaml", "model_config: &a 1\ntrainer_config: *a", ConfigError),
        ]
    ):
        folder = await receive(board, f"j_1234567{number}")
        shutil.copytree(package, folder.inputs, dirs_exist_ok=True)
        (folder.inputs / name).write_text(content)
        with pytest.raises(error):
            await board.accept(folder)
    assert names_in(root) == []
    assert board.queued == 0


def zipped(package: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in package.iterdir():
            archive.write(path, path.name)
    return buffer.getvalue()


async def test_a_zip_under_any_name_is_opened(root: Path, fake: FakeRunner, package: Path) -> None:
    board = new_board(root, fake("good"))
    folder = await receive(board)
    (folder.inputs / "upload").write_bytes(zipped(package))
    assert [run.name for run in (await board.accept(folder)).runs] == ["one"]
    assert names_in(folder.inputs) == ["labels.pkg.slp", "one.yaml"]


async def test_what_was_accepted_is_protected(root: Path, fake: FakeRunner, package: Path) -> None:
    folder = await submit(new_board(root, fake("good")), package)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.inputs.iterdir()} == {0o400}
    assert folder.inputs.stat().st_mode & 0o777 == 0o500


async def test_jobs_wait_for_a_slot_in_order(root: Path, fake: FakeRunner, package: Path, ledger: Path) -> None:
    board = new_board(root, fake("good"))
    folders = [await submit(board, package, f"j_1234567{number}") for number in (3, 1, 2)]
    assert [board.summary(folder).position for folder in folders] == [1, 2, 3]
    async with running(board):
        async with asyncio.timeout(120):
            await board.idle()
    ends = [folder.state().t for folder in folders]
    assert ends == sorted(ends)
    assert [summary.state for summary in board.summaries()] == [JobState.DONE] * 3


async def test_two_slots_give_two_jobs_different_devices(root: Path, fake: FakeRunner, package: Path) -> None:
    async with running(new_board(root, fake("endless"), slots=2)) as board:
        folders = [await submit(board, package, f"j_1234567{number}") for number in range(3)]
        for folder in folders[:2]:
            await events_until(board, folder, is_epoch_end)
        assert {folder.devices()[1] for folder in folders[:2]} == {("GPU-0",), ("GPU-1",)}
        assert (board.busy, board.queued) == (2, 1)
        for folder in reversed(folders):
            await board.command(folder, "cancel")
        async with asyncio.timeout(30):
            await board.idle()
    assert [state_of(folder) for folder in folders] == [JobState.CANCELLED] * 3


@pytest.mark.parametrize("command", ["stop", "cancel"])
async def test_a_waiting_job_can_be_called_off(
    root: Path, fake: FakeRunner, package: Path, ledger: Path, command: str
) -> None:
    board = new_board(root, fake("good"))
    folder = await submit(board, package)
    await board.command(folder, command)  # type: ignore[arg-type]
    await board.command(folder, command)  # type: ignore[arg-type]
    async with running(board):
        events = await all_events(board, folder)
        await board.idle()
    assert [body.state for body in of_type(events, "state")][-1] is JobState.CANCELLED
    assert noted(ledger) == []


async def test_watchers_get_the_history_first_and_nothing_twice(root: Path, fake: FakeRunner, package: Path) -> None:
    async with running(new_board(root, fake("good"))) as board:
        folder = await submit(board, package)
        early, middle = await asyncio.gather(all_events(board, folder), _watch_from(board, folder, 4))
        late = await all_events(board, folder)
    assert early == late
    assert middle == late[4:]
    assert board.summary(folder).last_seq == len(late)


async def _watch_from(board, folder: JobFolder, since: int):  # type: ignore[no-untyped-def]
    return [event async for events in board.watch(folder, since) for event in events]


async def test_a_restarted_worker_adopts_what_runs_and_goes_on_with_what_waits(
    root: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        first = await submit(board, package, "j_11111111")
        second = await submit(board, package, "j_22222222")
        await events_until(board, first, is_epoch_end)
        supervisor = first.supervisor()
    async with running(new_board(root, fake("good"))) as board:
        known = board.summary(first).last_seq
        await events_until(board, first, lambda event: event.seq > known and is_epoch_end(event))
        assert first.supervisor().pid == supervisor.pid  # type: ignore[union-attr]
        await eventually(lambda: (board.busy, board.queued) == (1, 1))
        await board.command(first, "stop")
        await all_events(board, second)
        await board.idle()
    assert [state_of(folder) for folder in (first, second)] == [JobState.DONE] * 2
    assert len(noted(ledger)) == 2


async def test_a_job_whose_supervisor_is_killed_is_lost_and_leaves_nothing_running(
    root: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        folder = await in_an_epoch(board, package)
        ((_, trainer),) = noted(ledger)
        psutil.Process(folder.supervisor().pid).kill()  # type: ignore[union-attr]
        events = await all_events(board, folder)
        await board.idle()
        await eventually(lambda: not lives(trainer))
    last = of_type(events, "state")[-1]
    assert last.state is JobState.LOST
    assert "supervisor" in last.error.sentence


async def test_a_job_that_died_while_no_worker_looked_is_lost(root: Path, fake: FakeRunner, package: Path) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        folder = await in_an_epoch(board, package)
        psutil.Process(folder.supervisor().pid).kill()  # type: ignore[union-attr]
    async with running(new_board(root, fake("good"))) as board:
        events = await all_events(board, folder)
    assert of_type(events, "state")[-1].state is JobState.LOST
    assert of_type(events, "epoch_ended")


async def test_a_supervisor_that_cannot_start_makes_the_job_lost(root: Path, package: Path) -> None:
    settings = SupervisorSettings(runner=("/does/not/exist",))
    async with running(new_board(root, settings)) as board:
        events = await all_events(board, await submit(board, package))
    assert of_type(events, "state")[-1].state is JobState.LOST


async def test_what_a_crash_left_half_made_is_cleared_away(root: Path, fake: FakeRunner, package: Path) -> None:
    half = root / ".j_12345678-abcdef"
    half.mkdir(parents=True)
    async with running(new_board(root, fake("good"))) as board:
        await board.idle()
    assert not half.exists()


async def test_a_state_file_behind_its_journal_catches_up(root: Path, fake: FakeRunner, package: Path) -> None:
    folder = await submit(new_board(root, fake("good")), package)
    (folder.control / "state.json").write_text('{"state": "staged", "t": 0}')
    async with running(new_board(root, fake("good"))) as board:
        await all_events(board, folder)
        # the journal is written first: its end may be read before the state file says so
        await eventually(lambda: state_of(folder) is JobState.DONE)


async def test_a_closed_board_takes_nothing_new_and_finishes_the_rest(
    root: Path, fake: FakeRunner, package: Path
) -> None:
    async with running(new_board(root, fake("good"))) as board:
        folder = await submit(board, package)
        board.close_to_new()
        with pytest.raises(BusyError, match="no new jobs"):
            await receive(board, "j_99999999")
        async with asyncio.timeout(30):
            await board.idle()
    assert state_of(folder) is JobState.DONE


GPUS = [Gpu("A", 1, "GPU-aa11"), Gpu("B", 2, "GPU-ab22"), Gpu("C", 3, "GPU-cc33")]


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        (None, "ABC"), ("", ""), ("1", "B"), ("2,0", "CA"), ("-1", ""), ("0,7,1", "A"), ("GPU-cc", "C"), ("GPU-a", ""),
        ("GPU-ab22,0", "BA"), ("0,0", "A"), ("x", ""),
    ],
)  # fmt: skip
def test_only_visible_gpus_are_used(setting: str | None, names: str) -> None:
    assert "".join(gpu.name for gpu in visible(GPUS, setting)) == names


def test_a_machine_without_gpus_has_one_slot() -> None:
    assert [slot.devices for slot in slots_for([])] == [()]
    assert [slot.devices for slot in slots_for(GPUS)] == [("GPU-aa11",), ("GPU-ab22",), ("GPU-cc33",)]
