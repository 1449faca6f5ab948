"""Loading: the slice asked for first, the others outward, prompt to stop, never somebody else's pixels."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from overread.dicom import load as loading
from overread.dicom.codecs import Undecodable
from overread.dicom.load import empty_volume, load, loaded, read_frame
from overread.dicom.scan import scanned
from overread.domain.study import Stack
from support.series import write_series

COUNT = 40


def series(folder: Path, compressed: bool = False, count: int = COUNT) -> tuple[Stack, np.ndarray]:
    voxels = np.random.default_rng(4).integers(-500, 500, (count, 16, 12)).astype(np.int16)
    for path in write_series(folder, voxels):
        if compressed:
            image = pydicom.dcmread(path)
            image.compress(RLELossless)
            image.save_as(path)
    (stack,) = scanned((folder,), folder).stacks
    return stack, voxels


@pytest.fixture(autouse=True)
def _tell_of_every_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_EVERY_S", -1.0)


@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "compressed"])
@pytest.mark.parametrize("first", [0, 17, COUNT - 1])
def test_the_slice_in_view_comes_first_and_the_others_outward(tmp_path: Path, compressed: bool, first: int) -> None:
    stack, expected = series(tmp_path, compressed)
    volume, voxels = empty_volume(stack)
    arrivals = load(stack, voxels, lambda: first)
    start = next(arrivals)
    if not compressed:
        assert start.slices == (first,)
        assert np.array_equal(volume.voxels[first], expected[first])
        assert not voxels[[k for k in range(COUNT) if k != first]].any()
    order = [*start.slices, *(k for arrived in arrivals for k in arrived.slices)]
    assert sorted(order) == list(range(COUNT))
    distance = [abs(k - first) for k in order]
    # Threads that decode side by side may overtake each other, but not by more than there are of them.
    slack = 0 if not compressed else 16
    assert all(later >= earlier - slack for earlier, later in pairwise(distance))
    assert distance[0] <= slack
    assert np.array_equal(volume.voxels, expected)


@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "compressed"])
def test_scrolling_on_while_it_loads_moves_the_front(tmp_path: Path, compressed: bool) -> None:
    stack, _ = series(tmp_path, compressed)
    here = 2
    arrivals = load(stack, empty_volume(stack)[1], lambda: here)
    next(arrivals)
    here = 33
    soon = [k for _ in range(20) for k in next(arrivals).slices]
    assert 33 in soon
    assert sum(k > 20 for k in soon) >= 4
    arrivals.close()


@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "compressed"])
def test_a_load_called_off_stops_there(tmp_path: Path, compressed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, _ = series(tmp_path, compressed)
    read: list[int] = []
    real = loading._read_into

    def counted(voxels: np.ndarray, k: int, of: Stack) -> str | None:
        read.append(k)
        return real(voxels, k, of)

    monkeypatch.setattr(loading, "_read_into", counted)
    before = set(threading.enumerate())
    arrivals = load(stack, empty_volume(stack)[1])
    next(arrivals)
    arrivals.close()
    assert len(read) <= 2 * max(2, loading.os.cpu_count() or 2)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "compressed"])
def test_a_file_that_became_another_is_not_shown(tmp_path: Path, compressed: bool) -> None:
    stack, expected = series(tmp_path / "mine", compressed, count=4)
    other, _ = series(tmp_path / "other", compressed, count=4)
    Path(stack.paths[2]).write_bytes(Path(other.paths[1]).read_bytes())
    Path(stack.paths[3]).unlink()
    volume, voxels = empty_volume(stack)
    failed = dict(failure for arrived in load(stack, voxels) for failure in arrived.failed)
    assert set(failed) == {2, 3}
    assert "changed" in failed[2]
    assert "No such file" in failed[3]
    assert np.array_equal(volume.voxels[:2], expected[:2])
    assert not volume.voxels[2:].any()
    with pytest.raises(Undecodable, match=r"^slice (3: the file changed|4: No such file)"):
        loaded(stack)
    with pytest.raises(Undecodable, match="No such file"):
        read_frame(stack.frames[3], stack.encoding)


def test_voxels_of_a_volume_cannot_be_written(tmp_path: Path) -> None:
    stack, _ = series(tmp_path, count=2)
    with pytest.raises(ValueError, match="read-only"):
        loaded(stack).voxels[0, 0, 0] = 1


def test_what_does_not_fit_into_memory_is_said_so(tmp_path: Path) -> None:
    paths = write_series(tmp_path, np.zeros((1, 2, 2), np.int16))
    image = pydicom.dcmread(paths[0])
    image.Rows = image.Columns = 65535
    image.NumberOfFrames, image.BitsAllocated = 9000, 32
    image.save_as(paths[0])
    (stack,) = scanned((tmp_path,), tmp_path).stacks
    # No address space gives so much.
    with pytest.raises(Undecodable, match=r"143995.6 GiB do not fit into memory"):
        empty_volume(stack)


def test_a_real_multiframe_and_a_deflated_file_load_like_the_rest(data: Path, tmp_path: Path) -> None:
    folder = data / "dicom"
    for path in (
        folder / "multiframe" / "enhanced-mr-emri" / "emri_small_RLE.dcm",
        folder / "codecs" / "ct-16-syntaxes" / "CTImage_DeflatedExplicitVRLittleEndian_1.2.840.10008.1.2.1.99.dcm",
    ):
        (stack,) = scanned((path,), tmp_path).stacks
        last = len(stack.frames) - 1
        volume, voxels = empty_volume(stack)
        arrived = [k for part in load(stack, voxels, lambda last=last: last) for k in part.slices]  # type: ignore[misc]
        assert sorted(arrived) == list(range(last + 1))
        assert np.array_equal(volume.voxels.squeeze(), pydicom.dcmread(path).pixel_array)
