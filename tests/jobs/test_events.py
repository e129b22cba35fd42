import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleap_rtc.jobs.events import MAX_TEXT, EventReader, Journal, last_seq, read_events, read_log
from sleap_rtc.jobs.log_writer import LogWriter
from sleap_rtc.protocol.jobs import Notice, Step


def notice(number: int) -> Notice:
    return Notice(text=f"n{number}")


def test_events_are_numbered_without_gaps_from_1(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Journal(path, clock=lambda: 7) as journal:
        for number in range(3):
            journal.append(notice(number), "run")
    assert [(event.seq, event.t, event.run) for event in read_events(path)] == [(n, 7, "run") for n in (1, 2, 3)]


def test_numbers_go_on_when_the_journal_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for number in range(3):
        with Journal(path) as journal:
            assert journal.append(notice(number), durable=True).seq == number + 1
    assert last_seq(path) == 3


@given(cut=st.integers(1, 60))
def test_a_torn_last_line_is_repaired(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "events.jsonl"
    with Journal(path) as journal:
        for number in range(3):
            journal.append(notice(number))
    path.write_bytes(path.read_bytes()[:-cut])
    seen = read_events(path)
    assert [event.seq for event in seen] == [1, 2]
    assert last_seq(path) == 2
    with Journal(path) as journal:
        assert journal.append(notice(9)).seq == 3
    assert read_events(path)[:2] == seen
    assert [event.seq for event in read_events(path)] == [1, 2, 3]


def test_a_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = EventReader(path, since=2)
    assert reader.read() == []
    with Journal(path) as journal:
        for number in range(5):
            journal.append(notice(number))
        assert [event.seq for event in reader.read(limit=2)] == [3, 4]
        assert [event.seq for event in reader.read()] == [5]
        assert reader.read() == []
        journal.append(notice(6))
        assert [event.seq for event in reader.read()] == [6]


def test_threads_share_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Journal(path) as journal:
        threads = [threading.Thread(target=lambda: [journal.append(notice(0)) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [event.seq for event in read_events(path)] == list(range(1, 201))


def test_a_value_that_is_not_finite_travels_as_null(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Journal(path) as journal:
        journal.append(Step(epoch=0, batch=0, metrics={"loss": None}))
    body = read_events(path)[0].body
    assert isinstance(body, Step)
    assert body.metrics == {"loss": None}


def writer(path: Path, **limits: int) -> LogWriter:
    return LogWriter(path, **({"max_size": 10_000, "max_line": 100, "tail": 3} | limits))


def test_the_log_is_safe_for_a_terminal_and_its_offsets_are_those_of_its_text(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    log = writer(path)
    log.write(b"\x1b[31mred\x1b[0m\n10%\r20%\r\nca")
    log.write("fé\nlast".encode())
    log.close()
    offset, text = read_log(path, 0, whole_lines=False)
    assert text == "red\n10%\n20%\ncafé\nlast\n"
    assert offset == len(text.encode())
    assert read_log(path, offset, whole_lines=False) == (offset, "")
    assert list(log.tail) == ["20%", "café", "last"]


def test_an_unfinished_line_of_the_log_is_held_back(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"one\ntw")
    assert read_log(path, 0) == (4, "one\n")
    assert read_log(path, 4) == (4, "")
    assert read_log(path, 4, whole_lines=False) == (6, "tw")


def test_the_offset_counts_bytes_whatever_a_terminal_may_show(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"a\xff\x1b[31mb\n")
    assert read_log(path, 0) == (9, "a\ufffdb\n")


def test_a_long_line_is_cut_between_characters(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    text = "x" + "é" * MAX_TEXT
    path.write_text(text)
    offset, first = read_log(path, 0)
    assert (offset, first) == (MAX_TEXT - 1, text[: MAX_TEXT // 2])
    assert read_log(path, offset)[1] == text[MAX_TEXT // 2 :][: MAX_TEXT // 2]


def test_a_line_without_end_costs_no_more_than_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    log = writer(path)
    for _ in range(1000):
        log.write(b"x" * 1000)
    log.write(b"\nnext\n")
    log.close()
    assert path.read_text() == "x" * 100 + "\nnext\n"


def test_the_log_ends_at_its_limit_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    log = writer(path, max_size=50)
    for number in range(100):
        log.write(b"line %d\n" % number)
    log.close()
    assert path.read_text().endswith("what follows is not kept]\n")
    assert len(path.read_bytes()) < 150
    assert list(log.tail) == ["line 97", "line 98", "line 99"]


def test_a_full_log_goes_on_with_its_last_lines_alone(tmp_path: Path) -> None:
    log = writer(tmp_path / "log.txt", max_size=0)
    log.write(b"x" * 1000)
    log.write(b"".join(b"line %d\n" % number for number in range(1000)) + b"half")
    assert list(log.tail) == ["line 997", "line 998", "line 999"]
    log.close()
    assert log.tail[-1] == "half"
