"""Agreement of masks: by hand, by brute force, and by SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.spatial.distance import cdist

from overread.domain.finding import Mask
from overread.domain.geometry import Grid
from overread.imaging.compare import agreement, surface_distance
from support.values import as_image, box_grid, grids


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Grid, np.ndarray, np.ndarray]:
    grid = draw(grids(most=6))
    one, other = (draw(npst.arrays(np.bool_, grid.shape)) for _ in "ab")
    return grid, one, other


@given(pairs())
def test_overlap_is_that_of_sets_and_nothing_is_lost(pair: tuple[Grid, np.ndarray, np.ndarray]) -> None:
    grid, one, other = pair
    found = agreement(Mask.of(one), Mask.of(other), grid)
    assert np.array_equal(found.both.voxels, one & other)
    assert np.array_equal(found.only_a.voxels, one & ~other)
    assert np.array_equal(found.only_b.voxels, other & ~one)
    ml = grid.voxel_mm3 / 1000
    assert (found.a_ml, found.b_ml) == (pytest.approx(one.sum() * ml), pytest.approx(other.sum() * ml))
    assert found.both_ml + found.only_a_ml == pytest.approx(found.a_ml)
    assert found.both_ml + found.only_b_ml == pytest.approx(found.b_ml)
    if one.any() or other.any():
        theirs = sitk.LabelOverlapMeasuresImageFilter()
        theirs.Execute(as_image(grid, one.astype(np.uint8)), as_image(grid, other.astype(np.uint8)))
        assert found.dice == pytest.approx(theirs.GetDiceCoefficient())
    else:
        assert found.dice is None
    assert (found.hd95_mm is None) == (not one.any() or not other.any())
    turned = agreement(Mask.of(other), Mask.of(one), grid)
    assert (turned.dice, turned.hd95_mm, turned.only_a) == (found.dice, found.hd95_mm, found.only_b)


def faces(voxels: np.ndarray) -> np.ndarray:
    """Voxels with a neighbour outside, one by one."""
    padded = np.pad(voxels, 1)
    steps = np.vstack([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    return np.array([at for at in np.argwhere(voxels) if not all(padded[tuple(at + 1 + step)] for step in steps)])


@given(pairs().filter(lambda pair: pair[1].any() and pair[2].any()))
def test_surface_distances_are_those_of_brute_force(pair: tuple[Grid, np.ndarray, np.ndarray]) -> None:
    grid, one, other = pair
    apart = cdist(grid.to_lps(faces(one)), grid.to_lps(faces(other)))
    expected = max(np.percentile(apart.min(axis=1), 95), np.percentile(apart.min(axis=0), 95))
    assert surface_distance(one, other, grid, 95.0) == pytest.approx(expected, abs=1e-6)


def test_the_greatest_distance_is_that_of_simpleitk() -> None:
    grid = box_grid((12, 24, 20), (3.0, 0.8, 1.1))
    one, other = np.zeros((2, *grid.shape), np.bool_)
    one[2:8, 4:14, 3:12] = True
    other[3:11, 6:19, 5:13] = True
    theirs = sitk.HausdorffDistanceImageFilter()
    theirs.Execute(as_image(grid, one.astype(np.uint8)), as_image(grid, other.astype(np.uint8)))
    assert surface_distance(one, other, grid, 100.0) == pytest.approx(theirs.GetHausdorffDistance(), rel=1e-6)


def test_a_shifted_block_is_as_far_away_as_it_was_shifted() -> None:
    grid = box_grid((10, 40, 40), (2.0, 1.0, 1.0))
    one, other = np.zeros((2, *grid.shape), np.bool_)
    one[3:7, 10:20, 10:20] = True
    other[3:7, 10:20, 17:27] = True
    found = agreement(Mask.of(one), Mask.of(other), grid)
    assert found.dice == pytest.approx(0.3)
    assert surface_distance(one, other, grid, 100.0) == pytest.approx(7.0)
    assert found.hd95_mm == pytest.approx(7.0)
    assert (found.only_a_ml, found.only_b_ml) == (pytest.approx(0.56), pytest.approx(0.56))


def test_masks_of_other_grids_are_refused() -> None:
    small = Mask.of(np.ones((2, 2, 2), np.bool_))
    with pytest.raises(ValueError, match="different grids"):
        agreement(small, Mask.of(np.ones((3, 2, 2), np.bool_)), box_grid((2, 2, 2)))
