"""HDF5 files of strangers: none leads to another file, and none costs more than a look."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest

from sleap_rtc.errors import PackageError
from sleap_rtc.jobs import hdf5_links
from sleap_rtc.jobs.hdf5_links import FREE_SIZE, MAX_ATTRIBUTES, MAX_DEPTH, datasets_of

Write = Callable[[h5py.File, Path], object]
CANARY = b"canary " * 10


def written(folder: Path, write: Write) -> Path:
    (folder / "secret.bin").write_bytes(CANARY)
    with h5py.File(folder / "secret.h5", "w") as secret:
        secret["data"] = np.frombuffer(CANARY, "u1")
    path = folder / "labels.slp"
    with h5py.File(path, "w", libver="latest") as file:
        file["honest"] = np.arange(4)
        write(file, folder)
    return path


def external_link(file: h5py.File, folder: Path) -> None:
    file["d"] = h5py.ExternalLink(str(folder / "secret.h5"), "/data")


def external_link_below_another_name(file: h5py.File, folder: Path) -> None:
    file.create_group("a/b")["d"] = h5py.ExternalLink("secret.h5", "/data")
    file["d"] = h5py.SoftLink("/a/b/d")


def external_storage(file: h5py.File, folder: Path) -> None:
    file.create_dataset("d", (len(CANARY),), "u1", external=[(str(folder / "secret.bin"), 0, len(CANARY))])


def virtual_dataset(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((len(CANARY),), "u1")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "data", (len(CANARY),))
    file.create_virtual_dataset("d", layout)


def virtual_dataset_of_itself(file: h5py.File, _: Path) -> None:
    layout = h5py.VirtualLayout((4,), "i8")
    layout[:] = h5py.VirtualSource(".", "honest", (4,))
    file.create_virtual_dataset("d", layout)


@pytest.mark.parametrize(
    "write",
    [
        external_link,
        external_link_below_another_name,
        external_storage,
        virtual_dataset,
        virtual_dataset_of_itself,
    ],
    ids=lambda write: str(write.__name__),
)
def test_what_leads_to_another_file_is_refused(tmp_path: Path, write: Write) -> None:
    path = written(tmp_path, write)
    with pytest.raises(PackageError, match="refers to other files"):
        datasets_of(path, "labels.slp")


def test_without_the_look_each_of_them_would_be_read(tmp_path: Path) -> None:
    for write in (external_link, external_storage, virtual_dataset):
        with h5py.File(written(tmp_path, write), "r") as file:
            assert file["d"][:].tobytes() == CANARY


def references(file: h5py.File, _: Path) -> None:
    file.create_dataset("refs", (2,), h5py.ref_dtype)


def region_references(file: h5py.File, _: Path) -> None:
    file.create_dataset("refs", (1,), h5py.regionref_dtype)[0] = file["honest"].regionref[0:2]


def references_in_a_compound(file: h5py.File, _: Path) -> None:
    file.create_dataset("refs", (1,), np.dtype([("x", "f4"), ("r", h5py.ref_dtype)]))


def deep_groups(file: h5py.File, _: Path) -> None:
    here = file
    for _number in range(MAX_DEPTH + 1):
        here = here.create_group("a")


def a_large_attribute(file: h5py.File, _: Path) -> None:
    file["honest"].attrs["json"] = np.zeros(MAX_ATTRIBUTES + 1, "u1")


def a_dataset_of_holes(file: h5py.File, _: Path) -> None:
    file.create_dataset("z", (2**40,), "u1", chunks=(2**20,), compression="gzip")


def a_dataset_of_more_bytes_than_64_bits_count(file: h5py.File, _: Path) -> None:
    file.create_dataset("z", (2**40, 2**20), "f8", chunks=(1024, 1024))


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (references, "holds references"),
        (region_references, "holds references"),
        (references_in_a_compound, "holds references"),
        (deep_groups, "deeper than"),
        (a_large_attribute, "of attributes"),
        (a_dataset_of_holes, "claims 1099511627776 bytes"),
        (a_dataset_of_more_bytes_than_64_bits_count, "claims"),
    ],
    ids=lambda value: str(getattr(value, "__name__", "")),
)
def test_what_no_labels_file_has_is_refused(tmp_path: Path, write: Write, why: str) -> None:
    path = written(tmp_path, write)
    with pytest.raises(PackageError, match=why):
        datasets_of(path, "labels.slp")


def many_links(file: h5py.File, _: Path) -> None:
    for number in range(60):
        file[f"n{number}"] = h5py.SoftLink("/honest")


def many_groups_of_a_few(file: h5py.File, _: Path) -> None:
    for number in range(30):
        file.create_group(f"g{number}/h")


def many_attributes(file: h5py.File, _: Path) -> None:
    for number in range(60):
        file.attrs[f"a{number}"] = 1


def a_few_attributes_everywhere(file: h5py.File, _: Path) -> None:
    for number in range(10):
        file.create_group(f"g{number}").attrs.update(dict.fromkeys("abcde", 1))


@pytest.mark.parametrize(
    "write",
    [many_links, many_groups_of_a_few, many_attributes, a_few_attributes_everywhere],
    ids=lambda write: str(write.__name__),
)
def test_all_that_is_looked_at_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    path = written(tmp_path, write)
    assert "honest" in datasets_of(path, "labels.slp")
    monkeypatch.setattr(hdf5_links, "MAX_OBJECTS", 50)
    with pytest.raises(PackageError, match="more than 50 objects"):
        datasets_of(path, "labels.slp")


def test_a_group_of_very_many_is_refused_before_they_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, many_links)
    seen: list[bytes] = []
    monkeypatch.setattr(hdf5_links._Look, "_link", lambda look, name, info: seen.append(name))
    monkeypatch.setattr(hdf5_links, "MAX_OBJECTS", 50)
    with pytest.raises(PackageError, match="objects"):
        datasets_of(path, "labels.slp")
    assert seen == []


def test_links_that_lead_nowhere_or_in_circles_are_harmless(tmp_path: Path) -> None:
    def write(file: h5py.File, _: Path) -> None:
        file["loop"], file["nowhere"] = h5py.SoftLink("/loop"), h5py.SoftLink("/nothing")
        file.create_group("g")["up"] = file["/"]
        file["type"] = np.dtype("f8")
        file["also"] = file["honest"]
        file["null"] = h5py.Empty("f4")

    assert datasets_of(written(tmp_path, write), "labels.slp") == {"honest", "also", "null"}


def test_what_compresses_well_is_no_bomb(tmp_path: Path) -> None:
    def write(file: h5py.File, _: Path) -> None:
        file.create_dataset("zeros", (FREE_SIZE,), "u1", chunks=(2**20,), compression="gzip")

    assert "zeros" in datasets_of(written(tmp_path, write), "labels.slp")


@pytest.mark.parametrize("at", [0, 8, 100, 300, 600])
def test_a_damaged_file_is_told_and_not_believed(tmp_path: Path, at: int) -> None:
    path = written(tmp_path, lambda file, _: file.create_group("g"))
    data = bytearray(path.read_bytes())
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(data)
    with suppress(OSError, PackageError):
        assert datasets_of(path, "labels.slp") <= {"honest", "g"}


def test_a_name_begins_no_line_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path, lambda file, _: file.create_dataset("a\nAll is well\x1b[2J", (2,), h5py.ref_dtype))
    with pytest.raises(PackageError) as caught:
        datasets_of(path, "labels.slp")
    assert "'a All is well'" in caught.value.sentence
