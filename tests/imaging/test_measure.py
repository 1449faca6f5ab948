"""What is measured by the program is what a ruler would measure; the rulers here are slow and simple."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import find_contours

from overread.domain.finding import Mask
from overread.domain.geometry import Grid
from overread.imaging.measure import measure
from support.values import as_image, box_grid, grids, masks

SPACINGS = st.tuples(*[st.floats(0.3, 6)] * 3)


def outline_mm(pixels: np.ndarray, grid: Grid) -> np.ndarray:
    """Every point of every outline, by marching squares."""
    lines = find_contours(np.pad(pixels, 1).astype(float), 0.5)
    return np.concatenate(lines) * grid.spacing[1:]


def ruled(points: np.ndarray) -> tuple[float, list[float]]:
    """The greatest distance between two points; across each pair that far apart, the longest chord of the hull.

    Points of the hull beyond a line are found by walking over all pairs: a chord at right angles that goes through a
    point ends where the segment between two others crosses its line.
    """
    between = points[:, None] - points[None]
    distances = np.hypot(between[..., 0], between[..., 1])
    longest = distances.max()
    breadths = []
    for a, b in np.argwhere(distances > longest - 1e-9):
        if a < b:
            along = (points[b] - points[a]) / longest
            x, y = points @ along, points @ np.array([-along[1], along[0]])
            breadths.append(max(chord(x, y, at) for at in np.unique(x)))
    return float(longest), breadths


def chord(x: np.ndarray, y: np.ndarray, at: float) -> float:
    left, right = np.flatnonzero(x <= at), np.flatnonzero(x >= at)
    width = x[right][None] - x[left][:, None]
    share = np.divide(at - x[left][:, None], width, out=np.zeros_like(width), where=width > 0)
    crossed = y[left][:, None] + share * (y[right][None] - y[left][:, None])
    return float(max(crossed.max(), y[x == at].max()) - min(crossed.min(), y[x == at].min()))


@given(masks(7).filter(lambda voxels: voxels.any()), SPACINGS)
def test_axes_are_those_of_a_ruler(voxels: np.ndarray, spacing: tuple[float, float, float]) -> None:
    grid = box_grid(voxels.shape, spacing)
    found = measure(Mask.of(voxels), grid)
    assert found is not None
    slices = [ruled(outline_mm(pixels, grid)) for pixels in voxels if pixels.any()]
    longest = max(length for length, _ in slices)
    assert found.long_axis_mm == pytest.approx(longest, abs=0.006)
    breadths = [breadth for length, each in slices if length > longest - 1e-9 for breadth in each]
    assert found.short_axis_mm == pytest.approx(max(breadths), abs=0.006)
    assert found.short_axis_mm <= found.long_axis_mm + 0.01


@given(grids(most=6), st.data())
def test_volume_is_that_of_simpleitk(grid: Grid, data: st.DataObject) -> None:
    voxels = data.draw(st.integers(1, int(np.prod(grid.shape)))) > np.arange(np.prod(grid.shape)).reshape(grid.shape)
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(as_image(grid, voxels.astype(np.uint8)))
    found = measure(Mask.of(voxels), grid)
    assert found is not None
    assert found.volume_ml == pytest.approx(shapes.GetPhysicalSize(1) / 1000, abs=6e-4)


@given(masks(6).filter(lambda voxels: voxels.any()), SPACINGS, st.tuples(*[st.sampled_from((1, -1))] * 3))
def test_a_mirror_changes_no_number(
    voxels: np.ndarray, spacing: tuple[float, float, float], steps: tuple[int, int, int]
) -> None:
    grid = box_grid(voxels.shape, spacing)
    seen = voxels[:: steps[0], :: steps[1], :: steps[2]]
    one, other = measure(Mask.of(voxels), grid), measure(Mask.of(seen), grid)
    assert one is not None
    assert other is not None
    numbers = [(m.volume_ml, m.long_axis_mm, m.short_axis_mm, m.area_mm2) for m in (one, other)]
    assert np.allclose(*numbers, atol=0.011)


@given(masks(6).filter(lambda voxels: voxels.any()), SPACINGS)
def test_the_largest_slice_is_a_slice_of_the_grid(voxels: np.ndarray, spacing: tuple[float, float, float]) -> None:
    found = measure(Mask.of(voxels), box_grid(voxels.shape, spacing))
    counts = voxels.sum(axis=(1, 2))
    assert found is not None
    assert counts[found.largest_slice] == counts.max()
    assert found.area_mm2 == pytest.approx(counts.max() * spacing[1] * spacing[2], abs=0.06)


def test_an_ellipse_has_its_own_axes() -> None:
    grid = box_grid((5, 220, 220), (5.0, 0.6, 0.4))
    j, i = np.indices((220, 220))
    y, x = (j - 110) * 0.6, (i - 110) * 0.4
    along, across = x * 0.8 + y * 0.6, y * 0.8 - x * 0.6
    voxels = np.zeros(grid.shape, np.bool_)
    voxels[2] = (along / 35) ** 2 + (across / 20) ** 2 <= 1
    found = measure(Mask.of(voxels), grid)
    assert found is not None
    assert found.long_axis_mm == pytest.approx(70, abs=0.8)
    assert found.short_axis_mm == pytest.approx(40, abs=0.8)
    assert found.volume_ml == pytest.approx(np.pi * 35 * 20 * 5 / 1000, rel=0.01)
    assert found.largest_slice == 2


def test_the_longest_diameter_may_lie_in_a_slice_of_small_area() -> None:
    voxels = np.zeros((2, 30, 30), np.bool_)
    voxels[0, 5:15, 5:15] = True
    voxels[1, 2, 1:29] = True
    found = measure(Mask.of(voxels), box_grid((2, 30, 30)))
    assert found is not None
    assert (found.largest_slice, found.area_mm2) == (0, 100.0)
    assert (found.long_axis_mm, found.short_axis_mm) == (28.0, 1.0)


def test_a_tilted_stack_is_measured_within_its_slices() -> None:
    tilted = box_grid((3, 8, 8), (4, 1, 1)).affine.copy()
    tilted[1, 0] = 2.0
    voxels = np.zeros((3, 8, 8), np.bool_)
    voxels[:, 1:7, 2] = True
    found = measure(Mask.of(voxels), Grid((3, 8, 8), tilted))
    assert found is not None
    assert (found.long_axis_mm, found.area_mm2, found.volume_ml) == (6.0, 6.0, 0.072)


def test_nothing_has_no_measures() -> None:
    assert measure(Mask.of(np.zeros((3, 3, 3), np.bool_)), box_grid((3, 3, 3))) is None
