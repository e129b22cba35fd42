"""Which worker is chosen, and what is said about it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleap_rtc.client.choice import (
    COLUMNS,
    Wish,
    announcement,
    auto_select,
    fitting,
    gpu_text,
    is_free,
    parse_memory,
    rows,
    waiting_text,
)
from sleap_rtc.errors import UnreachableError, UsageError
from sleap_rtc.protocol.signaling import GpuInfo, WorkerInfo, WorkerPresence


def worker(name: str, *gigabytes: int, busy: int = 0, queued: int = 0, number: int = 0) -> WorkerPresence:
    gpus = [GpuInfo(name=f"GPU-{size}", memory_mb=size * 1024) for size in gigabytes]
    info = WorkerInfo(name=name, version="1", gpus=gpus, slots=max(1, len(gpus)), busy=busy, queued=queued)
    worker_id = "w_" + name.upper().replace("-", "").ljust(25, "A")[:25] + str(number)
    return WorkerPresence(worker_id=worker_id, public_key="0" * 64, name=name, info=info, since=1)


@pytest.mark.parametrize(
    ("workers", "chosen"),
    [
        ([worker("small", 8), worker("large", 80), worker("middle", 24)], "large"),
        ([worker("large", 80, busy=1), worker("small", 8)], "small"),
        ([worker("large", 80, busy=1), worker("small", 8, busy=1)], "large"),
        # a job gets one GPU: four small ones are not a large one
        ([worker("many", 16, 16, 16, 16), worker("one", 24)], "one"),
        # one of two GPUs is free
        ([worker("half", 24, 24, busy=1), worker("small", 8)], "half"),
        # a slot is empty for a moment, but somebody waits for it already
        ([worker("taken", 24, queued=1), worker("small", 8)], "small"),
        ([worker("cpu"), worker("small", 8)], "small"),
        ([worker("cpu"), worker("small", 8, busy=1)], "cpu"),
        ([worker("b", 24), worker("a", 24)], "a"),
        ([worker("same", 24, number=2), worker("same", 24, number=1)], "same"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_auto_select_takes(workers: list[WorkerPresence], chosen: str) -> None:
    found = {auto_select(order).worker_id for order in itertools.permutations(workers)}
    assert len(found) == 1  # whatever order the service lists them in
    assert auto_select(workers).name == chosen


SOME = st.builds(
    worker,
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([8, 24, 80]),
    busy=st.integers(0, 2),
    queued=st.integers(0, 2),
)


@given(st.lists(SOME, min_size=1, max_size=6))
def test_nobody_is_free_and_larger_than_a_free_choice(workers: list[WorkerPresence]) -> None:
    chosen = auto_select(workers)
    free = [each for each in workers if is_free(each)]
    assert is_free(chosen) == bool(free)
    rivals = free or workers
    assert all(each.info.gpus[0].memory_mb <= chosen.info.gpus[0].memory_mb for each in rivals)


def test_none_online_says_what_to_start() -> None:
    with pytest.raises(UnreachableError, match=r"No worker of the room 'lab' is online. Start 'sleap-rtc worker'"):
        fitting([], Wish(), room="lab")


def test_a_name_or_an_id_names_one_worker() -> None:
    workers = [worker("one", 8), worker("two", 8)]
    for text in ("two", workers[1].worker_id):
        assert fitting(workers, Wish(worker=text), room="lab") == [workers[1]]


def test_an_id_wins_over_a_worker_that_calls_itself_so() -> None:
    honest = worker("honest", 8)
    liar = worker("liar", 80).model_copy(update={"name": honest.worker_id})
    assert fitting([liar, honest], Wish(worker=honest.worker_id), room="lab") == [honest]


def test_an_unknown_name_lists_those_online() -> None:
    with pytest.raises(UnreachableError, match=r"No worker 'three' is online in the room 'lab'. Online: one, two\."):
        fitting([worker("two", 8), worker("one", 8)], Wish(worker="three"), room="lab")


def test_a_name_of_several_asks_for_an_id() -> None:
    workers = [worker("same", 8, number=1), worker("same", 8, number=2)]
    with pytest.raises(UsageError) as caught:
        fitting(workers, Wish(worker="same"), room="lab")
    assert all(each.worker_id in caught.value.sentence for each in workers)


def test_memory_filters_and_says_what_there_is() -> None:
    workers = [worker("small", 8), worker("large", 24)]
    assert [each.name for each in fitting(workers, Wish(min_gpu_memory=parse_memory("16GB")), room="lab")] == ["large"]
    with pytest.raises(UnreachableError, match=r"No GPU of the room 'lab' has 48 GB.*large's with 25\.8 GB"):
        fitting(workers, Wish(min_gpu_memory=parse_memory("48GB")), room="lab")
    with pytest.raises(UnreachableError, match=r"No GPU of small has 16 GB.*8\.59 GB"):
        fitting(workers, Wish(worker="small", min_gpu_memory=parse_memory("16GB")), room="lab")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GB", 24 * 10**9),
        ("24 gb", 24 * 10**9),
        ("24g", 24 * 10**9),
        ("24GiB", 24 * 2**30),
        ("24000MB", 24 * 10**9),
        ("24000", 24 * 10**9),
        (" 1.5 GiB ", 3 * 2**29),
        ("512MiB", 2**29),
    ],
)
def test_amounts_of_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1GB", "1,5GB", "24kB", "GB", "24", "nan", "1e9", "24 GB more"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(UsageError):
        parse_memory(text)


def test_a_card_sold_with_16_gb_has_16_gb() -> None:
    card = worker("t4").model_copy(
        update={"info": worker("t4").info.model_copy(update={"gpus": [GpuInfo(name="Tesla T4", memory_mb=15360)]})}
    )
    assert fitting([card], Wish(min_gpu_memory=parse_memory("16GB")), room="lab") == [card]


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        ([worker("a", 24)], "the only one there is to choose."),
        ([worker("a", 24, busy=1)], "the only one there is to choose."),
        ([worker("a", 24), worker("b", 8)], "free, and with the most GPU memory of 2 free ones."),
        ([worker("a", 24), worker("b", 24)], "the first by name of those with the most GPU memory of 2 free ones."),
        ([worker("a", 8), worker("b", 24, busy=1)], "the only free one of 2."),
        ([worker("a", 24, busy=1), worker("b", 8, busy=1)], "with the most GPU memory; all 2 are busy"),
    ],
)
def test_the_choice_is_announced_with_rule_and_reason(workers: list[WorkerPresence], words: str) -> None:
    text = announcement(auto_select(workers), workers)
    assert text.startswith("Auto-select (a free worker before a busy one, then the one with the most GPU memory): a (")
    assert words in text


def test_waiting_is_said() -> None:
    assert waiting_text(worker("a", 8)) is None
    assert waiting_text(worker("a", 8, busy=1)) == "a is busy: the job waits in its queue."
    assert waiting_text(worker("a", 8, busy=1, queued=1)) == (
        "a is busy: the job waits in its queue, behind one that waits already."
    )
    assert "behind 3 that wait" in str(waiting_text(worker("a", 8, busy=1, queued=3)))


def test_rows_are_for_people() -> None:
    workers = [worker("a", 24), worker("b", 24, 24, 8, busy=3, queued=2), worker("c")]
    assert [len(row) for row in rows(workers)] == [len(COLUMNS)] * 3
    assert rows(workers) == [
        ("a", "GPU-24", "24 GiB", "free", "0"),
        ("b", "2 x GPU-24, 1 x GPU-8", "24 GiB", "busy (3 of 3 GPUs)", "2"),
        ("c", "none", "-", "free", "0"),
    ]
    assert gpu_text(workers[2]) == "CPU only"


def test_who_has_what_the_job_is_about_comes_before_the_larger_gpu_if_it_fits() -> None:
    small, large = worker("small", 8), worker("large", 80)
    holders = frozenset({small.worker_id, "w_GONE"})
    assert fitting([large, small], Wish(holders=holders), room="lab") == [small]
    assert fitting([large, small], Wish(holders=holders, min_gpu_memory=24 * 10**9), room="lab") == [large]
    assert fitting([large, small], Wish(worker="large", holders=holders), room="lab") == [large]


def test_another_sleap_nn_does_not_fit() -> None:
    def having(name: str, version: str) -> WorkerPresence:
        found = worker(name, 8)
        return found.model_copy(update={"info": found.info.model_copy(update={"sleap_nn": version})})

    new, old = having("new", "0.3.5"), having("old", "0.3.4")
    assert fitting([old, new], Wish(sleap_nn="0.3.5"), room="lab") == [new]
    with pytest.raises(UnreachableError, match=r"sleap-nn 0.3.3: old has 0.3.4, new has 0.3.5.*--any-version"):
        fitting([old, new], Wish(sleap_nn="0.3.3"), room="lab")
