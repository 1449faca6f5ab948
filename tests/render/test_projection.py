"""Screen and voxels agree: on the way there, on the way back, and in what is painted between."""

from __future__ import annotations

import tracemalloc
from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.domain.geometry import Grid, Plane, plane_axes
from overread.domain.view import Camera, Layout, ViewState, slice_index
from overread.render.projection import Projection, project, resized
from support.values import box_grid, grids

PLANES = st.sampled_from(Plane)
SIZES = st.tuples(st.integers(1, 400), st.integers(1, 400))
CAMERAS = st.builds(Camera, st.floats(0.2, 20), st.tuples(*[st.floats(-150, 150)] * 2))


def middle(grid: Grid, plane: Plane) -> int:
    return grid.shape[plane_axes(grid, plane).through] // 2


@given(grids(sheared=True), PLANES, SIZES, CAMERAS, st.tuples(st.floats(-50, 450), st.floats(-50, 450)))
def test_there_and_back_again(
    grid: Grid, plane: Plane, size: tuple[int, int], camera: Camera, at: tuple[float, float]
) -> None:
    made = project(grid, plane, middle(grid, plane), size, camera)
    index = made.to_index(*at)
    assert np.allclose(made.to_screen(index), at, atol=1e-6)
    assert index[made.axes.through] == made.index


@given(grids(), st.tuples(st.integers(40, 300), st.integers(40, 300)), st.data())
def test_the_crosshair_goes_through_one_voxel_in_all_planes(
    grid: Grid, size: tuple[int, int], data: st.DataObject
) -> None:
    """A click on the crosshair of any plane gives the cursor back."""
    cursor = data.draw(st.tuples(*[st.integers(0, n - 1) for n in grid.shape]))
    view = ViewState(cursor=cursor, layout=Layout.THREE)
    crossed = []
    for plane in view.planes:
        made = project(grid, plane, slice_index(view, grid, plane), size, Camera())
        x, y = made.to_screen(cursor)
        assert made.inside(x, y)
        assert grid.clamp(made.to_index(x, y)) == cursor
        crossed.append(grid.to_lps(made.to_index(x, y)))
    assert np.ptp(crossed, axis=0).max() < 1e-6


@given(grids(most=12), PLANES, st.integers(1, 4))
def test_every_pixel_of_a_voxel_names_that_voxel(grid: Grid, plane: Plane, zoom: int) -> None:
    """At a whole number of pixels for a voxel, even at one, pixel centres never fall between two voxels."""
    even = Grid(grid.shape, np.vstack([np.column_stack([grid.directions, grid.origin]), [0, 0, 0, 1]]))
    axes = plane_axes(even, plane)
    rows, columns = axes.size(even.shape)
    made = Projection(even, axes, 0, (90, 90), rows, columns, (columns * zoom, rows * zoom), (3, 5))
    named = np.arange(np.prod(even.shape)).reshape(even.shape)
    picture = axes.picture(named, 0).repeat(zoom, axis=0).repeat(zoom, axis=1)
    for y, x in product(range(rows * zoom), range(columns * zoom)):
        assert named[even.clamp(made.to_index(3 + x + 0.5, 5 + y + 0.5))] == picture[y, x]


@given(grids(), PLANES, st.tuples(st.integers(50, 400), st.integers(50, 400)), CAMERAS)
def test_a_millimetre_is_as_long_across_as_down(
    grid: Grid, plane: Plane, size: tuple[int, int], camera: Camera
) -> None:
    fitted = project(grid, plane, 0, size, Camera())
    rows, columns = fitted.axes.size(grid.shape)
    wide, high = columns * grid.spacing[fitted.axes.across], rows * grid.spacing[fitted.axes.down]
    per_mm = 0.98 * min(size[0] / wide, size[1] / high)
    for made, zoom in ((fitted, 1.0), (project(grid, plane, 0, size, camera), camera.zoom)):
        assert abs(made.drawn[0] - max(1, wide * per_mm * zoom)) <= 0.5 + 1e-6
        assert abs(made.drawn[1] - max(1, high * per_mm * zoom)) <= 0.5 + 1e-6
    assert fitted.drawn[0] <= size[0]
    assert fitted.drawn[1] <= size[1]
    shifted = project(grid, plane, 0, size, Camera(1.0, camera.shift))
    moved = np.array(shifted.corner) - fitted.corner
    assert np.abs(moved - np.array(camera.shift) * per_mm).max() <= 1.0 + 1e-6


@given(grids(most=40), PLANES, SIZES, st.floats(0.3, 20), st.tuples(st.floats(-0.7, 0.7), st.floats(-0.7, 0.7)))
def test_the_picture_is_painted_where_the_projection_says(
    grid: Grid, plane: Plane, size: tuple[int, int], zoom: float, off: tuple[float, float]
) -> None:
    """A ramp across and one down: what is seen on a pixel is the value of the place under it."""
    axes = plane_axes(grid, plane)
    rows, columns = axes.size(grid.shape)
    shift = (off[0] * columns * grid.spacing[axes.across], off[1] * rows * grid.spacing[axes.down])
    made = project(grid, plane, 0, size, Camera(zoom, shift))
    for axis, count in enumerate((rows, columns)):
        step = 250 // count
        ramp = np.arange(count, dtype=np.uint8) * np.uint8(step)
        picture = np.ascontiguousarray(np.broadcast_to(ramp[:, None] if axis == 0 else ramp, (rows, columns)))
        y, x, seen = made.stretch(picture, cv2.INTER_LINEAR)
        assert seen.shape == (y.stop - y.start, x.stop - x.start)
        if not seen.size:
            continue
        places = np.arange(y.start, y.stop) if axis == 0 else np.arange(x.start, x.stop)
        scale = made.scale[1 - axis]
        under = (places + 0.5 - made.corner[1 - axis]) / scale - 0.5
        shown = (seen[:, 0] if axis == 0 else seen[0]).astype(float)
        # The picture lies on whole pixels: an edge may be one off, which is 1 / scale of a voxel.
        assert np.abs(shown - np.clip(under, 0, count - 1) * step).max() <= step * (1.01 / scale + 0.51) + 1


@given(grids(most=40), PLANES, SIZES, CAMERAS)
def test_all_of_the_pane_that_lies_on_the_picture_is_painted(
    grid: Grid, plane: Plane, size: tuple[int, int], camera: Camera
) -> None:
    made = project(grid, plane, 0, size, camera)
    y, x, seen = made.stretch(np.full((made.rows, made.columns), 9, np.uint8), cv2.INTER_CUBIC)
    painted = np.zeros(size[::-1], np.bool_)
    painted[y, x] = seen == 9
    rows, columns = np.indices(painted.shape)
    left, top = made.corner
    right, bottom = left + made.drawn[0], top + made.drawn[1]
    on = (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
    # a pixel whose corner lies on an edge to within rounding may count either way
    across = np.abs(np.subtract.outer(np.arange(size[0]), (left, right))).min(axis=1) < 1e-9
    down = np.abs(np.subtract.outer(np.arange(size[1]), (top, bottom))).min(axis=1) < 1e-9
    clear = ~(across[None, :] | down[:, None])
    assert np.array_equal(painted[clear], on[clear])
    assert all(made.inside(px, py) == on[py, px] for px, py in ((0, 0), (size[0] // 2, size[1] // 2)))


@pytest.mark.parametrize("samples", [(), (3,)])
def test_a_few_huge_voxels_cost_no_more_than_the_pane(samples: tuple[int, ...]) -> None:
    """Zoomed in on an image of three by three, of which one voxel fills the pane many times over."""
    made = project(box_grid((1, 3, 3)), Plane.AXIAL, 0, (400, 300), Camera(20.0))
    picture = np.arange(9, dtype=np.uint8).reshape(3, 3) * np.uint8(20)
    picture = np.ascontiguousarray(np.broadcast_to(picture.reshape(3, 3, *[1] * len(samples)), (3, 3, *samples)))
    tracemalloc.start()
    _, _, seen = made.stretch(picture, cv2.INTER_CUBIC)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen.shape == (300, 400, *samples)
    assert np.abs(seen[150, 200].astype(int) - 80).max() <= 1
    assert peak < 3 * seen.size


def test_a_scale_is_in_millimetres() -> None:
    grid = box_grid((1, 100, 50), (5, 0.5, 1.0))
    made = project(grid, Plane.AXIAL, 0, (1000, 1000), Camera(2.0))
    assert made.pixels_per_mm == pytest.approx(0.98 * 20 * 2)


def test_what_shrinks_is_averaged_even_while_the_other_axis_grows() -> None:
    stripes = np.tile(np.array([0, 200], np.uint8), (6, 100))
    for high in (3, 6, 60):
        assert np.unique(resized(stripes, 100, high, cv2.INTER_CUBIC)).tolist() == [100]
    assert resized(stripes, 400, 2, cv2.INTER_LINEAR).shape == (2, 400)
    colour = np.zeros((6, 8, 3), np.uint8)
    assert resized(colour, 3, 9, cv2.INTER_CUBIC).shape == (9, 3, 3)
