"""Boxes of voxels: their arithmetic against that of voxels themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.domain.finding import Mask, VoxelBox
from overread.domain.geometry import Plane, plane_axes
from overread.imaging import boxes
from support.values import box_grid, grids, masks

SHAPE = (6, 20, 24)
BOX: VoxelBox = (1, 4, 5, 4, 10, 15)


def voxels(box: VoxelBox, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    held = np.zeros(shape, bool)
    held[box[0] : box[3], box[1] : box[4], box[2] : box[5]] = True
    return held


def test_moving_keeps_the_size_and_stops_at_the_edge() -> None:
    assert boxes.shifted(BOX, (1, -2, 3), SHAPE) == (2, 2, 8, 5, 8, 18)
    assert boxes.shifted(BOX, (9, -9, 99), SHAPE) == (3, 0, 14, 6, 6, 24)


def test_growing_keeps_at_least_one_voxel() -> None:
    assert boxes.grown(BOX, 0, (1, 1), SHAPE) == (0, 4, 5, 5, 10, 15)
    assert boxes.grown(BOX, 0, (5, 5), SHAPE) == (0, 4, 5, 6, 10, 15)
    assert boxes.grown(BOX, 2, (0, -99), SHAPE) == (1, 4, 5, 4, 10, 6)
    assert boxes.grown(BOX, 2, (-99, 0), SHAPE) == (1, 4, 14, 4, 10, 15)


@given(grids(most=12), st.data())
def test_edges_on_the_slice_and_back(grid: object, data: st.DataObject) -> None:
    assert hasattr(grid, "shape")
    shape = grid.shape
    start = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    stop = tuple(data.draw(st.integers(a + 1, size)) for a, size in zip(start, shape, strict=True))
    box = (*start, *stop)
    for plane in Plane:
        axes = plane_axes(grid, plane)  # type: ignore[arg-type]
        edges = boxes.edges_of(box, axes, shape)
        # The picture of the box's voxels is set just there.
        row0, column0, row1, column1 = (int(edge) for edge in edges)
        picture = axes.picture(voxels(box, shape), start[axes.through])
        assert picture[row0:row1, column0:column1].all()
        assert picture.sum() == (row1 - row0) * (column1 - column0)
        assert boxes.on_slices(edges, start[axes.through], stop[axes.through], axes, shape) == box
        # Drawn from the other corner it is the same.
        assert (
            boxes.on_slices(
                (edges[2], edges[3], edges[0], edges[1]), start[axes.through], stop[axes.through], axes, shape
            )
            == box
        )


def test_a_new_box_is_as_deep_as_it_is_wide_and_high() -> None:
    grid = box_grid((40, 64, 64), (2.5, 0.5, 1.0))
    axes = plane_axes(grid, Plane.AXIAL)
    # 20 rows of 0.5 mm and 20 columns of 1 mm: 15 mm on the average, which is 6 slices; an odd number has a middle.
    first, end = boxes.deep((10.0, 10.0, 30.0, 30.0), 20, axes, grid)
    assert (first, end) == (18, 23)
    assert abs((end - first) * 2.5 - 15) <= 2.5
    assert boxes.deep((10.0, 10.0, 30.0, 30.0), 0, axes, grid) == (0, 3), "cut at the first slice"
    assert boxes.deep((10.0, 10.0, 11.0, 11.0), 5, axes, grid) == (5, 6)


@given(st.integers(0, 2), st.data())
def test_halves_are_the_whole_and_share_nothing(axis: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(BOX[axis] + 1, BOX[3 + axis] - 1))
    first, second = boxes.halves(BOX, axis, at)
    assert not (voxels(first) & voxels(second)).any()
    assert np.array_equal(voxels(first) | voxels(second), voxels(BOX))
    assert boxes.around([first, second]) == BOX
    assert boxes.common(first, second) == 0


def test_nothing_is_split_where_a_half_would_be_empty() -> None:
    with pytest.raises(ValueError, match="between two"):
        boxes.halves(BOX, 0, 1)
    with pytest.raises(ValueError, match="one voxel"):
        boxes.longest((0, 0, 0, 1, 1, 1), box_grid(SHAPE))


def test_the_longest_axis_is_so_in_mm() -> None:
    assert boxes.longest(BOX, box_grid(SHAPE)) == 2
    assert boxes.longest(BOX, box_grid(SHAPE, (5, 1, 1))) == 0
    assert boxes.longest((1, 4, 5, 2, 10, 15), box_grid(SHAPE, (50, 1, 1))) == 2, "one slice cannot be split"


@given(masks(), st.data())
def test_cut_and_united_as_numpy_does(held: np.ndarray, data: st.DataObject) -> None:
    shape = held.shape
    start = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    stop = tuple(data.draw(st.integers(a + 1, size)) for a, size in zip(start, shape, strict=True))
    box = (*start, *stop)
    inside = boxes.cut(Mask.of(held), box)  # type: ignore[arg-type]
    assert np.array_equal(inside.voxels, held & voxels(box, shape))  # type: ignore[arg-type]
    filled = boxes.filled(box, shape)  # type: ignore[arg-type]
    assert np.array_equal(filled.voxels, voxels(box, shape))  # type: ignore[arg-type]
    assert boxes.common(box, box) == filled.count  # type: ignore[arg-type]
    together = boxes.united([Mask.of(held), filled])
    assert np.array_equal(together.voxels, held | voxels(box, shape))  # type: ignore[arg-type]
