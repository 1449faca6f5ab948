"""Rigid registration: what was turned and shifted is found again, on the synthetic head and on four real series."""

from __future__ import annotations

import threading
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from overread.dicom.demo import SERIES
from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.domain.errors import Cancelled
from overread.domain.geometry import Floats, Grid
from overread.domain.ports import Cancel
from overread.imaging.phantom import Head, make_head
from overread.imaging.phantom_mr import acquire
from overread.imaging.register import register
from overread.imaging.registration import Registration


@cache
def head() -> Head:
    return make_head()


@cache
def scan(which: int) -> tuple[np.ndarray, Grid]:
    """A series of the demo study: its values and where its header says they are."""
    series = SERIES[which].scan
    return acquire(head(), series).astype(np.float32), series.grid


def rigid(angles_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> Floats:
    turn = sitk.Euler3DTransform((0.0, 7.0, 10.0), *np.deg2rad(angles_deg).tolist(), shift_mm)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(turn.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = turn.TransformPoint((0.0, 0.0, 0.0))
    return matrix


def places(motion: Floats, points: Floats) -> Floats:
    return np.asarray(points @ motion[:3, :3].T + motion[:3, 3])


@pytest.mark.parametrize(
    ("fixed", "moving", "angles", "shift"),
    [
        (1, 0, (0, 0, 0), (0, 0, 0)),
        (1, 3, (17, 0, 0), (0, 0, 0)),
        (1, 2, (5, -8, 6), (6, -10, 13)),
        (0, 1, (-12, 3, -4), (-4, 5, -18)),
    ],
    ids=["nothing", "pitch", "all", "down"],
)
def test_a_known_motion_is_found(
    fixed: int,
    moving: int,
    angles: tuple[float, float, float],
    shift: tuple[float, float, float],
) -> None:
    """The moving series' header is made to lie by a motion; what is found has to undo it, to 1 mm and 1 degree."""
    values, grid = scan(fixed)
    other, other_grid = scan(moving)
    true = rigid(angles, shift)
    found = register(values, grid, other, Grid(other_grid.shape, true @ other_grid.affine), Cancel())
    inside = grid.to_lps(np.argwhere(values > 100)[::997])
    assert np.linalg.norm(places(found.motion, inside) - places(true, inside), axis=1).max() < 1.0
    left = found.motion[:3, :3] @ true[:3, :3].T
    assert np.degrees(np.arccos(np.clip((np.trace(left) - 1) / 2, -1, 1))) < 1.0
    assert found.motion[:3, :3] @ found.motion[:3, :3].T == pytest.approx(np.eye(3), abs=1e-9)
    assert found.trusted
    assert found.after > found.before - 0.02
    middle = np.array((0.0, 7.0, 10.0))
    assert found.shift_mm(middle) == pytest.approx(np.linalg.norm(shift), abs=1.0)


def test_twice_the_same() -> None:
    values, grid = scan(1)
    other, other_grid = scan(2)
    one, two = (register(values, grid, other, other_grid, Cancel()) for _ in range(2))
    assert np.array_equal(one.motion, two.motion)
    assert (one.before, one.after, one.overlap) == (two.before, two.after, two.overlap)


def test_what_shows_something_else_is_not_trusted() -> None:
    """The head against a far corner of itself: most of it has no counterpart."""
    values, grid = scan(1)
    piece = slice(0, 6), slice(0, 80), slice(0, 60)
    affine = grid.affine.copy()
    found = register(values, grid, np.ascontiguousarray(values[piece]), Grid((6, 80, 60), affine), Cancel())
    assert found.overlap < 0.5
    assert not found.trusted
    unclear = Registration(np.eye(4), 0.5, 0.6, 1.0, ambiguous=True)
    assert not unclear.trusted


def test_called_off_it_ends_within_100_ms() -> None:
    values, grid = scan(1)
    cancel = Cancel()
    when: list[float] = []
    threading.Timer(1.0, lambda: (when.append(time.perf_counter()), cancel.cancel())).start()
    with pytest.raises(Cancelled):
        register(values, grid, *scan(0), cancel)
    assert time.perf_counter() - when[0] < 0.1


def test_four_real_series_close_the_loop(data: Path, tmp_path: Path) -> None:
    """They lie up to 17° and 18 mm apart. Going round by a third series has to end where the direct way does."""
    folder = data / "dicom" / "glioma-fg6692"
    volumes = {stack.role: loaded(stack) for stack in scanned((folder,), tmp_path).stacks}
    found: dict[tuple[str, str], Registration] = {}
    for fixed, moving in (("FLAIR", "T1"), ("FLAIR", "T2"), ("T1", "T2"), ("FLAIR", "T1C"), ("T1", "T1C")):
        (one, other) = volumes[fixed], volumes[moving]
        values = (np.asarray(v.real((slice(None),) * 3), np.float32) for v in (one, other))
        found[fixed, moving] = register(next(values), one.grid, next(values), other.grid, Cancel())
    middle = volumes["FLAIR"].grid.to_lps((np.array(volumes["FLAIR"].grid.shape) - 1) / 2)
    assert all(each.trusted for each in found.values())
    assert min(each.after - each.before for each in found.values()) > 0.2
    assert 16 < found["FLAIR", "T2"].angle_deg < 19
    assert 8 < found["T1", "T1C"].angle_deg < 11
    assert 16 < found["FLAIR", "T1"].shift_mm(middle) < 19
    corners = volumes["FLAIR"].grid.corners
    for end in ("T2", "T1C"):
        round_by_t1 = places(found["T1", end].motion, places(found["FLAIR", "T1"].motion, corners))
        direct = places(found["FLAIR", end].motion, corners)
        assert np.linalg.norm(round_by_t1 - direct, axis=1).max() < 3.0  # slices are 5.5 mm apart
