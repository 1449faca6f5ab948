"""Figures of analytic shapes, and the same ones that SimpleITK gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from overread.domain.finding import Mask
from overread.domain.geometry import Grid
from overread.domain.study import Lut, Problem
from overread.imaging.figures import axes_3d, figures, values
from overread.imaging.measure import measure
from support.values import as_image, box_grid, grids, masks, volume

SPACINGS = st.tuples(*[st.floats(0.3, 6)] * 3)


def ellipsoid(radii_mm: tuple[float, float, float], spacing: tuple[float, float, float]) -> tuple[Mask, Grid]:
    shape = tuple(int(2 * radius / step) + 7 for radius, step in zip(radii_mm, spacing, strict=True))
    grid = box_grid((shape[0], shape[1], shape[2]), spacing)
    at = [(axis - (size - 1) / 2) * step for axis, size, step in zip(np.indices(shape), shape, spacing, strict=True)]
    return Mask.of(sum((a / r) ** 2 for a, r in zip(at, radii_mm, strict=True)) <= 1), grid  # type: ignore[arg-type]


def test_an_ellipsoid_has_its_own_axes() -> None:
    mask, grid = ellipsoid((30.0, 12.0, 18.0), (1.0, 0.5, 0.5))
    found = figures(mask, volume(np.zeros(grid.shape, np.int16), grid))
    assert found is not None
    assert found.measures is not None
    assert (found.long_3d_mm, found.short_3d_mm) == (pytest.approx(60, abs=1.0), pytest.approx(36, abs=0.6))
    assert (found.measures.long_axis_mm, found.measures.short_axis_mm) == (
        pytest.approx(36, abs=0.6),
        pytest.approx(24, abs=0.6),
    )
    assert found.measures.volume_ml == pytest.approx(4 / 3 * np.pi * 30 * 12 * 18 / 1000, rel=0.01)


def test_the_longest_diameter_is_found_across_slices() -> None:
    voxels = np.zeros((11, 5, 14), np.bool_)
    voxels[0, 2, 1] = voxels[10, 2, 13] = True
    grid = box_grid(voxels.shape, (3.0, 1.0, 2.0))
    # centres 30 mm and 24 mm apart; half a voxel more at one end or the other along k or i
    ends = np.array([(0, 0), (1.5, 0), (0, 1)])
    expected = max(np.hypot(30 + a + c, 24 + b + d) for a, b in ends for c, d in ends)
    assert axes_3d(Mask.of(voxels), grid)[0] == pytest.approx(expected, abs=0.006)


@given(masks(6).filter(lambda voxels: voxels.any()), SPACINGS)
def test_axes_in_space_are_those_of_a_ruler(voxels: np.ndarray, spacing: tuple[float, float, float]) -> None:
    grid = box_grid(voxels.shape, spacing)
    half = np.vstack([np.eye(3), -np.eye(3)]) / 2
    points = (np.argwhere(voxels)[:, None] + half).reshape(-1, 3) * spacing
    long, short = axes_3d(Mask.of(voxels), grid)
    assert long == pytest.approx(pdist(points).max(), abs=0.006)
    flat = measure(Mask.of(voxels), grid)
    assert flat is not None
    assert long >= flat.long_axis_mm - 0.01, "never shorter than in one slice"
    assert 0 < short <= long + 0.01


def test_many_rows_give_the_same_hull_as_few() -> None:
    chance = np.random.default_rng(5)
    voxels = chance.random((4, 40, 30)) < 0.02
    grid = box_grid(voxels.shape, (2.5, 0.7, 0.9))
    half = np.vstack([np.eye(3), -np.eye(3)]) / 2
    points = (np.argwhere(voxels)[:, None] + half).reshape(-1, 3) * (2.5, 0.7, 0.9)
    assert axes_3d(Mask.of(voxels), grid)[0] == pytest.approx(pdist(points).max(), abs=0.006)


@given(grids(most=6, sheared=True), st.data())
def test_turning_and_shearing_the_grid_is_seen_to(grid: Grid, data: st.DataObject) -> None:
    voxels = data.draw(st.integers(1, int(np.prod(grid.shape)))) > np.arange(np.prod(grid.shape)).reshape(grid.shape)
    half = np.vstack([np.eye(3), -np.eye(3)]) / 2
    points = grid.to_lps((np.argwhere(voxels)[:, None] + half).reshape(-1, 3))
    assert axes_3d(Mask.of(voxels), grid)[0] == pytest.approx(pdist(points).max(), abs=0.006)


@given(grids(most=6), st.integers(0, 2**32 - 1), st.sampled_from((1.0, 0.25)), st.sampled_from((0.0, -1024.0)))
def test_values_are_those_of_simpleitk(grid: Grid, seed: int, slope: float, intercept: float) -> None:
    chance = np.random.default_rng(seed)
    stored = chance.integers(-2000, 3000, grid.shape).astype(np.int16)
    voxels = chance.random(grid.shape) < 0.6
    voxels.flat[0] = True
    found = values(Mask.of(voxels), volume(stored, grid, slope, intercept, units="HU"))
    theirs = sitk.LabelIntensityStatisticsImageFilter()
    theirs.Execute(as_image(grid, voxels.astype(np.uint8)), as_image(grid, stored * slope + intercept))
    assert found.units == "HU"
    assert found.mean == pytest.approx(theirs.GetMean(1), abs=1e-6)
    assert (found.minimum, found.maximum) == (theirs.GetMinimum(1), theirs.GetMaximum(1))
    if voxels.sum() > 1:
        assert found.sd == pytest.approx(theirs.GetStandardDeviation(1), rel=1e-6, abs=1e-6)
    else:
        assert found.sd is None


def test_slopes_of_slices_and_lookup_tables_are_seen_to() -> None:
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    everything = Mask.of(np.ones((2, 3, 3), np.bool_))
    steep = values(everything, volume(stored, slope=[1.0, 10.0], intercept=[0.0, -5.0]))
    assert (steep.minimum, steep.maximum) == (0.0, 165.0)
    lut = Lut(0, np.full(18, 7.0))
    flat = values(everything, volume(stored, modality_lut=lut))
    assert (flat.mean, flat.sd, flat.units) == (7.0, 0.0, "")


def test_where_millimetres_do_not_hold_only_values_are_given() -> None:
    grid = box_grid((2, 3, 3))
    odd = volume(np.ones((2, 3, 3), np.int16), grid, problems=(Problem("gap", "A gap.", measurable=False),))
    found = figures(Mask.of(np.ones((2, 3, 3), np.bool_)), odd)
    assert found is not None
    assert (found.measures, found.long_3d_mm, found.short_3d_mm) == (None, None, None)
    assert found.values is not None
    assert found.count == 18
    colour = volume(np.zeros((1, 3, 3, 3), np.uint8))
    painted = figures(Mask.of(np.ones((1, 3, 3), np.bool_)), replace(colour))
    assert painted is not None
    assert painted.values is None
    assert figures(Mask.of(np.zeros((1, 3, 3), np.bool_)), colour) is None
