"""Predictions coming home over peers in memory: called as the user said, and never over what is there."""

import os
import stat
from pathlib import Path

import pytest

from sleap_rtc.client.predictions import Output, PredictionFiles, find_output
from sleap_rtc.client.results import fetch_results, move_free
from sleap_rtc.errors import ConflictError, ProtocolError, StorageError, UsageError
from sleap_rtc.transfer.store import Store
from tests.client.test_results import JOB, link_to

TWO = {"clip/clip.predictions.slp": b"one", "clip-2/x.predictions.slp": b"two", "clip-2/x.analysis.h5": b"h5"}


async def fetch(folder: Path, files: dict[str, bytes], output: Output, runs: list[str]) -> list[Path]:
    async with link_to(folder, files) as link:
        store = Store(folder / "store")
        return await fetch_results(link, JOB, output.folder, store, layout=output.layout(runs))


async def test_each_input_gets_its_own_file_in_their_order(tmp_path: Path) -> None:
    out = tmp_path / "out"
    output = find_output(["a/clip.mp4", "lab:/b/clip.mp4"], out)
    assert output.names == ("clip.predictions.slp", "clip-2.predictions.slp")
    places = await fetch(tmp_path, TWO, output, ["clip", "clip-2"])
    assert {place.name: content_of(place) for place in places} == {
        "clip.predictions.slp": b"one", "clip-2.predictions.slp": b"two", "clip-2.analysis.h5": b"h5",
    }  # fmt: skip
    assert names_in(out) == ["clip-2.analysis.h5", "clip-2.predictions.slp", "clip.predictions.slp"]
    assert all(status_of(place).st_nlink == 1 for place in places)
    assert all(stat.S_IMODE(status_of(place).st_mode) & 0o600 == 0o600 for place in places)


async def test_one_input_goes_where_it_was_said(tmp_path: Path) -> None:
    output = find_output(["clip.mp4"], tmp_path / "deep" / "out.slp")
    files = {"clip/clip.predictions.slp": b"x", "clip/clip.a.analysis.h5": b"1", "clip/clip.b.analysis.h5": b"2"}
    await fetch(tmp_path, files, output, ["clip"])
    assert names_in(tmp_path / "deep") == ["out.clip.a.analysis.h5", "out.clip.b.analysis.h5", "out.slp"]


async def test_a_job_that_somebody_else_sent_is_called_by_its_runs(tmp_path: Path) -> None:
    async with link_to(tmp_path, TWO) as link:
        places = await fetch_results(link, JOB, tmp_path / "o", Store(tmp_path / "store"), layout=PredictionFiles())
    assert [place.name for place in places] == [
        "clip.predictions.slp", "clip-2.predictions.slp", "clip-2.analysis.h5",
    ]  # fmt: skip


async def test_what_came_there_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    output = find_output(["clip.mp4"], tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clip.predictions.slp").write_bytes(b"mine")
    (place,) = await fetch(tmp_path, {"clip/clip.predictions.slp": b"x"}, output, ["clip"])
    assert place.name == "clip-2.predictions.slp"
    assert content_of(tmp_path / "out" / "clip.predictions.slp") == b"mine"


@pytest.mark.parametrize(
    "files",
    [
        {"clip.slp": b"x"},
        {"clip/.bashrc": b"x"},
        {"clip/model.py": b"x"},
        {"clip/sub/a.slp": b"x"},
        {"clip/a.slp": b"x", "clip/b.slp": b"y"},
        {"clip/a.analysis.h5": b"x"},
        {".ssh/a.slp": b"x"},
    ],
)
async def test_a_worker_cannot_place_files_of_its_choice(tmp_path: Path, files: dict[str, bytes]) -> None:
    async with link_to(tmp_path, files) as link:
        with pytest.raises(ProtocolError, match="Nothing was written"):
            await fetch_results(link, JOB, tmp_path / "out", Store(tmp_path / "store"), layout=PredictionFiles())
    assert not (tmp_path / "out").exists()


def test_a_crash_between_the_link_and_its_end_moves_a_file_once(tmp_path: Path) -> None:
    staged, wanted = tmp_path / "staged.slp", tmp_path / "out.slp"
    staged.write_bytes(b"x")
    wanted.hardlink_to(staged)
    assert move_free(staged, wanted) == wanted
    assert names_in(tmp_path) == ["out.slp"]


def test_what_is_in_the_way_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "clip.predictions.slp").write_bytes(b"x")
    with pytest.raises(ConflictError, match="nothing is overwritten"):
        find_output(["clip.mp4"], tmp_path)
    with pytest.raises(ConflictError, match=r"let -o name a copy in another folder, such as other/merged\.slp\."):
        find_output(["clip.mp4"], tmp_path, beside=tmp_path / "merged.slp")
    (tmp_path / "out.analysis.h5").write_bytes(b"x")
    assert find_output(["clip.mp4"], tmp_path / "out.slp").names == ("out.slp",)
    with pytest.raises(ConflictError, match=r"out\.analysis\.h5"):
        find_output(["clip.mp4"], tmp_path / "out.slp", analysis=True)
    with pytest.raises(UsageError, match="2 inputs"):
        find_output(["a.mp4", "b.mp4"], tmp_path / "out.slp")
    with pytest.raises(StorageError, match="is no folder"):
        find_output(["a.mp4"], tmp_path / "clip.predictions.slp" / "deep")


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def status_of(path: Path) -> os.stat_result:
    return path.stat()
