"""Which room a user means."""

import pytest

from sleap_rtc.errors import NotFoundError, UsageError
from sleap_rtc.signaling.api import Room, find_room


def room(number: int, name: str) -> Room:
    return Room(
        room_id=f"r_{number:08}", name=name, role="owner", created_at=0, expires_at=None, members=1, workers_online=0
    )


LAB, OTHER, UPPER, TWIN = room(1, "lab"), room(2, "other"), room(3, "Lab"), room(4, "lab")


@pytest.mark.parametrize(
    ("text", "found"),
    [("r_00000001", LAB), ("lab", LAB), ("Lab", UPPER), (" other ", OTHER), ("OTHER", OTHER)],
)
def test_an_id_or_a_name_finds_it(text: str, found: Room) -> None:
    assert find_room([LAB, OTHER, UPPER], text) == found


def test_an_id_wins_over_a_room_that_calls_itself_so() -> None:
    assert find_room([room(9, "r_00000001"), LAB], "r_00000001") == LAB


@pytest.mark.parametrize(("text", "listed"), [("lab", "'lab' (r_00000001), 'lab' (r_00000004)"), ("LAB", "r_00000003")])
def test_an_ambiguous_name_lists_the_ids(text: str, listed: str) -> None:
    with pytest.raises(UsageError, match="Several of your rooms") as caught:
        find_room([LAB, OTHER, UPPER, TWIN], text)
    assert listed in caught.value.sentence
    assert "other" not in caught.value.sentence


def test_an_unknown_one_lists_what_there_is() -> None:
    with pytest.raises(NotFoundError, match=r"'nolab'.*'lab' \(r_00000001\), 'other' \(r_00000002\)\.$"):
        find_room([LAB, OTHER], "no\x1b[2Jlab")
    with pytest.raises(NotFoundError, match="and 10 more"):
        find_room([room(n, "x") for n in range(20)], "lab")


def test_without_any_room_it_says_how_to_make_one() -> None:
    with pytest.raises(NotFoundError, match="sleap-rtc room create"):
        find_room([], "lab")
