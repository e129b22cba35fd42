"""Listings of folders as a worker sends them."""

import json
from typing import Any

import pytest

from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.mounts import MAX_ENTRIES, FolderListing
from sleap_rtc.protocol.text import escaped

ENTRY = {"name": "a", "kind": "file", "size": 1, "modified": 0}


@pytest.mark.parametrize(
    "listing",
    [
        {"entries": [ENTRY] * (MAX_ENTRIES + 1)},
        {"entries": [ENTRY | {"size": -1}]},
        {"entries": [ENTRY | {"size": 2**63}]},
        {"entries": [ENTRY | {"size": float("inf")}]},
        {"entries": [ENTRY | {"modified": float("nan")}]},
        {"entries": [ENTRY | {"kind": "link"}]},
        {"entries": [ENTRY | {"name": "x" * 2049}]},
        {"entries": "all of them"},
        [],
    ],
    ids=lambda listing: json.dumps(listing)[:60],
)
def test_a_wild_listing_is_refused(listing: Any) -> None:
    with pytest.raises(ProtocolError):
        FolderListing.from_bytes(json.dumps(listing).encode())


@pytest.mark.parametrize("data", [b"", b"\xff", b"{", b"[" * 100_000])
def test_what_is_no_listing_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        FolderListing.from_bytes(data)


def test_what_is_not_seen_is_written_out() -> None:
    assert escaped("a b-名前") == "a b-名前"
    assert escaped("\x1b[2J\n\u202e\u200b\xa0\udcff\U000e0041") == r"\x1b[2J\n\u202e\u200b\xa0\udcff\U000e0041"
