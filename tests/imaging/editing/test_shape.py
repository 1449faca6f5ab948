"""Margins and smoothing hold in millimetres, on grids that are not cubes, turned in any way."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from overread.domain.errors import Cancelled, UserError
from overread.domain.finding import Mask
from overread.domain.geometry import Grid
from overread.imaging.editing.shape import Smoothing, margin, smooth
from support.values import box_grid, grids


def ball(grid: Grid, radius: float) -> np.ndarray:
    """The voxels whose centres lie within `radius` mm of the middle voxel's."""
    middle = np.array(grid.shape) // 2
    offsets = (np.indices(grid.shape).transpose(1, 2, 3, 0) - middle) * grid.spacing
    return np.linalg.norm(offsets, axis=-1) <= radius


GRID = box_grid((31, 61, 75), (2.5, 1.0, 0.8))


@pytest.mark.parametrize("mm", [1.0, 3.0, 7.5, -1.0, -3.0, -7.5])
def test_the_margin_of_a_ball_is_a_ball(mm: float) -> None:
    got = margin(Mask.of(ball(GRID, 15)), GRID, mm).voxels
    half = np.linalg.norm(GRID.spacing) / 2
    assert got[ball(GRID, 15 + mm - half)].all()
    assert not got[~ball(GRID, 15 + mm + half)].any()
    exact = 4 / 3 * np.pi * (15 + mm) ** 3
    assert abs(got.sum() * GRID.voxel_mm3 / exact - 1) < 0.12


def test_a_margin_of_one_voxel_is_the_ball_around_it_exactly() -> None:
    one = np.zeros(GRID.shape, np.bool_)
    one[15, 30, 37] = True
    assert np.array_equal(margin(Mask.of(one), GRID, 6.0).voxels, ball(GRID, 6.0))


@given(grids(most=9), st.integers(0, 2**31), st.floats(0.3, 12), st.booleans())
def test_a_margin_is_what_the_distance_says(grid: Grid, seed: int, mm: float, shrink: bool) -> None:
    voxels = np.random.default_rng(seed).random(grid.shape) < 0.3
    points = grid.to_lps(np.argwhere(np.ones(grid.shape)))
    chosen = points[(~voxels if shrink else voxels).ravel()]
    between = np.linalg.norm(points[:, None] - chosen, axis=-1).min(axis=1, initial=np.inf).reshape(grid.shape)
    got = margin(Mask.of(voxels), grid, -mm if shrink else mm).voxels
    sure = np.abs(between - mm) > 1e-6
    expected = voxels & (between > mm) if shrink else between <= mm
    assert np.array_equal(got[sure], expected[sure])


def test_a_margin_at_the_edge_of_the_image_stays_on_it_and_does_not_shrink_from_it() -> None:
    grid = box_grid((5, 6, 7), (3, 1, 1))
    whole = Mask.of(np.ones(grid.shape, np.bool_))
    assert margin(whole, grid, 4) == whole
    assert margin(whole, grid, -4) == whole
    assert margin(whole, grid, 0) == whole


def test_where_millimetres_do_not_hold_there_is_no_margin() -> None:
    sheared = GRID.affine.copy()
    sheared[:3, 0] += 0.3 * sheared[:3, 1]
    mask = Mask.of(ball(GRID, 5))
    with pytest.raises(UserError, match="tilt"):
        margin(mask, Grid(GRID.shape, sheared), 2)
    with pytest.raises(UserError, match="scale"):
        smooth(mask, box_grid(GRID.shape, calibrated=False), Smoothing.MEDIAN, 2)


@pytest.mark.parametrize("how", list(Smoothing))
def test_smoothing_takes_spikes_and_dents_away_and_leaves_the_ball(how: Smoothing) -> None:
    clean = ball(GRID, 15)
    rough = clean.copy()
    spike, dent = (15, 30, 37 + 20), (15, 30, 37 - 16)
    rough[15, 30, 55:60] = True
    rough[15, 30, 18:24] = False
    got = smooth(Mask.of(rough), GRID, how, 3.0).voxels
    assert got[spike] == (how is Smoothing.CLOSING)
    assert got[dent] == (how is not Smoothing.OPENING)
    assert abs(got.sum() / clean.sum() - 1) < 0.12
    assert smooth(Mask.of(rough), GRID, how, 0.0) == Mask.of(rough)


def test_the_median_is_what_the_majority_within_the_radius_says() -> None:
    voxels = np.random.default_rng(5).random((9, 14, 15)) < 0.5
    grid = box_grid(voxels.shape, (2, 1, 0.9))
    k, j, i = (np.arange(-n, n + 1) for n in (1, 2, 3))
    k, j, i = np.meshgrid(k * 2, j, i * 0.9, indexing="ij")
    near = np.sqrt(k**2 + j**2 + i**2) <= 2.7
    counts = ndimage.correlate(voxels.astype(int), near.astype(int), mode="nearest")
    expected = np.where(2 * counts == near.sum(), voxels, 2 * counts > near.sum())
    got = smooth(Mask.of(voxels), grid, Smoothing.MEDIAN, 2.7).voxels
    inner = (slice(1, -1), slice(2, -2), slice(3, -3))
    assert np.array_equal(got[inner], expected[inner])


def test_a_flat_face_stays_where_it_is() -> None:
    half = np.zeros(GRID.shape, np.bool_)
    half[:, :, :40] = True
    for how in (Smoothing.GAUSSIAN, Smoothing.MEDIAN):
        assert smooth(Mask.of(half), GRID, how, 2.0) == Mask.of(half), how


@pytest.mark.parametrize("what", ["margin", *Smoothing])
def test_large_ones_can_be_called_off(what: str) -> None:
    """The work looks up often enough: no more than 100 ms pass between two looks."""
    grid = box_grid((40, 320, 320), (2, 0.8, 0.8))
    mask, looks = Mask.of(ball(grid, 38)), [time.perf_counter()]

    def look(fraction: float) -> None:
        looks.append(time.perf_counter())
        assert 0 <= fraction <= 1
        if len(looks) == 25:
            raise Cancelled

    with pytest.raises(Cancelled):
        margin(mask, grid, 5, look) if what == "margin" else smooth(mask, grid, Smoothing(what), 3, look)
    assert sorted(np.diff(looks[1:]))[-3] < 0.1, "a busy machine may make one or two of them longer"
