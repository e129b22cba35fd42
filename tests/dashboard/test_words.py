"""The page says numbers as the command line does."""

from sleap_rtc.cli import formats
from tests.dashboard.node import run

# around each place where a unit or a number of digits changes
SIZES = [0, 1, 999, 1_000, 9_994, 9_996, 99_949, 99_951, 999_499, 999_501, 3_300_000_000, 10**12, 2**50]
SECONDS = [0, 0.04, 9.94, 9.96, 59.4, 59.6, 3_599.4, 3_599.6, 7_500, 86_399.6, 300_000, 863_999_999, 10**9]
SHARES = [(0, 1_000), (1, 1_000), (10, 1_000), (999, 1_000), (1_000, 1_000), (0, 0)]


def test_sizes_times_and_shares_read_the_same() -> None:
    body = """return [args[0].map(page.sizeText), args[1].map(page.durationText),
        args[2].map(([part, whole]) => page.percentText(part, whole))]"""
    sizes, times, percents = run("words.js", body, SIZES, SECONDS, SHARES)
    assert sizes == [formats.format_size(number) for number in SIZES]
    assert times == [formats.format_duration(second) for second in SECONDS]
    assert percents == [formats.format_percent(part, whole) for part, whole in SHARES]


def test_places_have_their_endings() -> None:
    places = [1, 2, 3, 4, 11, 12, 13, 21, 23, 112]
    said = run("words.js", "return args[0].map(page.ordinal)", places)
    assert said == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "23rd", "112th"]


def test_a_strangers_text_steers_nothing() -> None:
    hostile = "\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07and\x00 \u202eplain\ttext"
    assert run("words.js", "return page.plain(args[0])", hostile) == "red and plain\ttext"
