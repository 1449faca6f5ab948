"""Holes, islands, gaps and logic on shapes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from overread.domain.finding import Mask
from overread.imaging.editing.parts import (
    Logic,
    between,
    combined,
    copied,
    filled,
    largest,
    section,
    touching,
    without_small,
)
from support.values import box_grid

SHAPE = (16, 40, 36)
GRID = box_grid(SHAPE, (3, 1, 1))


def discs(radius_of: dict[int, float], through: int = 0) -> np.ndarray:
    voxels = np.zeros([40, 48, 52], np.bool_)
    picture = np.moveaxis(voxels, through, 0)
    r, c = np.indices(picture.shape[1:])
    for n, radius in radius_of.items():
        picture[n] = np.hypot(r - picture.shape[1] // 2, c - picture.shape[2] // 2) <= radius
    return voxels


@given(st.integers(0, 2**31), st.sampled_from(list(Logic)))
def test_logic_is_that_of_sets(seed: int, how: Logic) -> None:
    rng = np.random.default_rng(seed)
    a, b = (ndimage.zoom(rng.random((3, 3, 3)), (2, 3, 3), order=0) < rng.random() for _ in range(2))
    expected = {
        Logic.UNION: a | b,
        Logic.INTERSECTION: a & b,
        Logic.SUBTRACT: a & ~b,
        Logic.XOR: a ^ b,
    }[how]
    assert combined(Mask.of(a), Mask.of(b), how) == Mask.of(expected)


def test_a_hollow_is_filled_and_a_tunnel_only_slice_by_slice() -> None:
    shell = np.zeros(SHAPE, np.bool_)
    shell[3:12, 5:30, 5:30] = True
    shell[5:10, 9:20, 9:20] = False
    assert filled(Mask.of(shell)).count == 9 * 25 * 25
    shell[:, 12, 12] = False  # a tunnel out, along k
    assert filled(Mask.of(shell)) == Mask.of(shell)
    assert filled(Mask.of(shell), 0).count == 9 * 25 * 25
    assert filled(Mask.of(shell), 1).count == 9 * 25 * 25 - (5 * 11 + 4), "in one coronal slice the hollow is open"
    assert filled(Mask.of(np.zeros(SHAPE, np.bool_))).count == 0


@given(st.integers(0, 2**31), st.sampled_from((None, 0, 1, 2)))
def test_holes_are_those_of_the_library(seed: int, through: int | None) -> None:
    voxels = np.random.default_rng(seed).random((5, 9, 8)) < 0.6
    if through is None:
        expected = ndimage.binary_fill_holes(voxels)
    else:
        slices = [ndimage.binary_fill_holes(picture) for picture in np.moveaxis(voxels, through, 0)]
        expected = np.moveaxis(np.array(slices), 0, through)
    assert np.array_equal(filled(Mask.of(voxels), through).voxels, expected)


def test_islands() -> None:
    voxels = np.zeros(SHAPE, np.bool_)
    voxels[2:6, 3:13, 3:13] = True  # 400 voxels, 1.2 ml
    voxels[6, 13, 13] = True  # hangs on by a corner
    voxels[9:11, 20:25, 20:25] = True  # 50 voxels, 0.15 ml
    voxels[14, 38, 2] = True
    mask = Mask.of(voxels)
    assert largest(mask).count == 401
    assert without_small(mask, GRID, 0.15).count == 451
    assert without_small(mask, GRID, 0.1501).count == 401
    assert without_small(mask, GRID, 0.001).count == 452
    assert not without_small(mask, GRID, 5)
    assert touching(mask, (10, 24, 20)).count == 50
    assert touching(mask, (14, 38, 2)).count == 1
    assert touching(mask, (0, 0, 0)) == mask
    assert touching(mask, (7, 30, 30)) == mask, "beside all parts, within the box"
    empty = Mask.of(np.zeros(SHAPE, np.bool_))
    assert largest(empty) == without_small(empty, GRID, 1) == empty


@pytest.mark.parametrize("through", [0, 1, 2])
def test_copying_to_the_next_slice_loses_nothing(through: int) -> None:
    voxels = discs({10: 8.0, 11: 3.0}, through)
    got = copied(Mask.of(voxels), through, 10, +1).voxels
    assert np.array_equal(got, discs({10: 8.0, 11: 8.0}, through))
    got = copied(Mask.of(voxels), through, 10, -1).voxels
    assert np.array_equal(got, discs({9: 8.0, 10: 8.0, 11: 3.0}, through))
    assert copied(Mask.of(voxels), through, 20, 1) == Mask.of(voxels), "an empty slice"
    edge = discs({0: 5.0}, through)
    assert copied(Mask.of(edge), through, 0, -1) == Mask.of(edge)
    assert section(Mask.of(voxels), through, 11) == Mask.of(discs({11: 3.0}, through))


@pytest.mark.parametrize("through", [0, 1, 2])
def test_between_two_discs_lies_a_cone(through: int) -> None:
    grid = box_grid((40, 48, 52), (0.9, 0.9, 0.9))
    given = discs({5: 8.0, 25: 18.0}, through)
    got = np.moveaxis(between(Mask.of(given), grid, through).voxels, through, 0)
    assert np.array_equal(got[[5, 25]], np.moveaxis(given, through, 0)[[5, 25]]), "what was drawn stays"
    assert not got[:5].any()
    assert not got[26:].any()
    for n in range(6, 25):
        radius = 8.0 + 10.0 * (n - 5) / 20
        assert abs(np.sqrt(got[n].sum() / np.pi) - radius) < 0.4, n


def test_between_keeps_anisotropic_pixels_in_mind_and_leaves_drawn_slices_alone() -> None:
    grid = box_grid((12, 40, 40), (5, 1.5, 0.5))
    voxels = np.zeros(grid.shape, np.bool_)
    voxels[2, 10:30, 10:30] = True
    voxels[4, 10:30, 10:30] = True
    voxels[8, 5:10, 5:10] = True
    voxels[9, 10:30, 10:30] = True
    got = between(Mask.of(voxels), grid, 0).voxels
    assert np.array_equal(got[3], voxels[2]), "between two equal slices lies the same"
    assert np.array_equal(got[8:], voxels[8:])
    one = Mask.of(discs({10: 8.0}))
    assert between(one, box_grid(one.shape), 0) == one
