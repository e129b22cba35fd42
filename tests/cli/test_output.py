import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from sleap_rtc.cli import output
from sleap_rtc.cli.formats import count, format_duration, format_rate, format_size, format_value
from sleap_rtc.errors import JobFailedError, UsageError

Captured = pytest.CaptureFixture[str]


def test_answers_go_to_stdout_and_remarks_to_stderr(capsys: Captured) -> None:
    output.say("the answer")
    output.note("a remark")
    output.warn("look out")
    shown = capsys.readouterr()
    assert shown.out == "the answer\n"
    assert shown.err == "a remark\nwarning: look out\n"


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError("No such room."), 2), (JobFailedError("No model."), 5), ("Odd.", 1)]
)
def test_fail_says_one_sentence_and_returns_the_exit_code(error: UsageError | str, code: int, capsys: Captured) -> None:
    assert output.fail(error) == code
    assert capsys.readouterr().err == f"error: {error}\n"


@pytest.mark.parametrize("printer", [output.say, output.note, output.warn, output.fail])
def test_a_peers_text_cannot_steer_the_terminal(printer: Callable[[str], object], capsys: Captured) -> None:
    printer("worker \x1b[2J\x1b]0;title\x07\u202eevil\r\x9b31m")
    shown = "".join(capsys.readouterr())
    assert not set(shown) & {"\x1b", "\x07", "\u202e", "\r", "\x9b"}


def test_json_is_one_ascii_line(capsys: Captured) -> None:
    output.emit_json({"name": "Zoë\n\x1b[2J", "size": 3})
    line = capsys.readouterr().out
    assert line.isascii()
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert json.loads(line) == {"name": "Zoë\n\x1b[2J", "size": 3}


def test_a_table_in_a_pipe_shortens_nothing(capsys: Captured) -> None:
    output.table(("job", "state"), [("j_" + "a" * 90, "done"), ("j_b\nc", "running")])
    assert capsys.readouterr().out.splitlines() == [
        "job" + " " * 89 + "  state",
        "j_" + "a" * 90 + "  done",
        "j_b c" + " " * 87 + "  running",
    ]


def test_a_table_on_a_terminal_fits_it() -> None:
    lines = output.format_table([["job", "state"], ["j_" + "a" * 90, "done"], ["名前" * 30, "done"]], 80)
    assert lines[1].endswith("…  done")
    assert len(lines[1]) == 79


def test_an_id_stays_whole_on_a_terminal_while_something_else_can_give_way() -> None:
    id_ = "r_" + "a" * 32
    lines = output.format_table([["room", "expires", "id"], ["The lab of " + "n" * 80, "2026-12-28", id_]], 80)
    assert lines[1].endswith(f"…  2026-12-28  {id_}")
    assert len(lines[1]) == 80
    lines = output.format_table([["room", "expires", "id"], ["The lab of " + "n" * 80, "2026-12-28", id_]], 40)
    assert lines[1].endswith("…")
    assert len(lines[1]) == 40


def test_an_ascii_terminal_gets_question_marks_instead_of_a_traceback() -> None:
    code = "from sleap_rtc.cli import output; output.say('waiting …')"
    done = _python(code, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "waiting ?\n")


def test_a_reader_that_went_away_ends_the_command_quietly() -> None:
    code = "from sleap_rtc.cli import output\nfor n in range(100_000): output.say(str(n))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 1


def test_printing_needs_no_rich() -> None:
    heavy = "{'rich', 'numpy', 'torch', 'sleap_io'} & set(sys.modules)"
    done = _python(f"import sys; from sleap_rtc.cli import output; output.say('x'); assert not {heavy}, {heavy}")
    assert done.returncode == 0, done.stderr


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert output.coloured(Terminal())  # type: ignore[arg-type] # all that is asked of it
    monkeypatch.setenv("NO_COLOR", "1")
    assert not output.coloured(Terminal())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        *[(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (12_345, "12.3 kB"), (999_600, "1.00 MB"), (4e9, "4.00 GB")],
        *[(43_210_000, "43.2 MB"), (250_000_000, "250 MB"), (5e15, "5000 TB")],
    ],
)
def test_sizes_are_decimal(size: float, text: str) -> None:
    assert format_size(size) == text
    assert format_rate(size) == f"{text}/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(-1, "0.0 s"), (0.42, "0.4 s"), (9.96, "10 s"), (59.6, "1 m 0 s"), (80, "1 m 20 s"), (3599.7, "1 h 0 m")],
        *[(7500, "2 h 5 m"), (86_399.9, "1 d 0 h"), (273_600, "3 d 4 h")],
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_losses_have_six_digits() -> None:
    assert format_value(0.00979993212968111) == "0.00979993"
    assert format_value(None) == "not finite"
    assert [count(n, "epoch") for n in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]


def _python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
