"""Brush and eraser touch the voxels whose centres lie under the pen, and those the pen passes over; no others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from overread.domain.finding import Mask
from overread.domain.geometry import Box, Grid
from overread.imaging.paint import Stroke, capsule, empty
from support.values import box_grid, grids

PLACES = st.tuples(*[st.floats(-4, 16)] * 3)
THROUGH = st.sampled_from((None, 0, 1, 2))


def distances_mm(grid: Grid, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How far the centre of every voxel lies from a segment, by trying a thousand points of it."""
    centres = grid.to_lps(np.argwhere(np.ones(grid.shape))).reshape(*grid.shape, 3)
    points = grid.to_lps(np.linspace(start, end, 1001))
    a, b = points[0], points[-1]
    way = b - a
    share = np.clip((centres - a) @ way / max(way @ way, 1e-12), 0, 1)
    return np.linalg.norm(centres - (a + share[..., None] * way), axis=-1)


def drawn(grid: Grid, start: tuple[float, ...], end: tuple[float, ...], diameter: float, through: int | None):
    box, inside = capsule(grid, start, end, diameter, through)
    whole = np.zeros(grid.shape, np.bool_)
    whole[box] = inside
    return whole


@given(grids(most=12, sheared=True), PLACES, PLACES, st.floats(0.5, 30), THROUGH)
def test_the_pen_draws_what_lies_under_it(
    grid: Grid, start: tuple[float, ...], end: tuple[float, ...], diameter: float, through: int | None
) -> None:
    got = drawn(grid, start, end, diameter, through)
    first, last = np.array(start), np.array(end)
    where = np.ones(grid.shape, np.bool_)
    if through is not None:
        slices = np.indices(grid.shape)[through]
        first[through] = last[through] = np.floor(last[through] + 0.5)
        where = slices == first[through]
    off = distances_mm(grid, first, last)
    assert got[where & (off <= diameter / 2 - 1e-6)].all()
    beyond = got & ~(where & (off <= diameter / 2 + 1e-6))
    # What lies further off is a voxel that the pen's very middle went through.
    on_the_way = np.floor(np.linspace(first, last, 2001) + 0.5)
    assert {tuple(index) for index in np.argwhere(beyond)} <= {tuple(index) for index in on_the_way}


@given(grids(most=12), st.data())
def test_a_thin_pen_leaves_no_gap(grid: Grid, data: st.DataObject) -> None:
    start, end = (
        data.draw(st.tuples(*[st.floats(-0.49, n - 0.51) for n in grid.shape]), label=name) for name in ("start", "end")
    )
    got = drawn(grid, start, end, 0.01, None)
    assert got[grid.clamp(start)]
    assert got[grid.clamp(end)]
    assert ndimage.label(got, np.ones((3, 3, 3)))[1] == 1


@given(grids(most=12), st.floats(0.5, 60), st.data())
def test_a_dab_is_as_round_as_its_grid(grid: Grid, diameter: float, data: st.DataObject) -> None:
    """A dab on a voxel's centre is the same seen from both ends of every axis."""
    at = data.draw(st.tuples(*[st.integers(0, n - 1) for n in grid.shape]))
    offsets = np.argwhere(drawn(grid, at, at, diameter, None)) - at
    held = {tuple(offset) for offset in offsets}
    size = np.array(grid.shape)
    for offset in held:
        opposite = np.array(at) - offset
        if ((opposite >= 0) & (opposite < size)).all():
            assert tuple(-n for n in offset) in held


@given(grids(), st.integers(1, 9), st.sampled_from((0, 1, 2)))
def test_centres_on_the_rim_belong_to_the_brush_on_every_side(turned: Grid, reach: int, axis: int) -> None:
    """Whatever rounding makes of oblique directions."""
    grid = Grid((21, 21, 21), turned.affine)
    ball = drawn(grid, (10, 10, 10), (10, 10, 10), 2 * reach * grid.spacing[axis], None)
    line = np.moveaxis(ball, axis, 0)[:, 10, 10]
    assert np.flatnonzero(line).tolist() == list(range(10 - reach, 11 + reach))


def test_a_flat_pen_stays_in_its_slice_and_a_pen_off_the_image_draws_nothing() -> None:
    grid = box_grid((9, 9, 9))
    for through in (0, 1, 2):
        got = drawn(grid, (4, 4, 4), (4.2, 4.3, 4.4), 6, through)
        assert np.unique(np.argwhere(got)[:, through]).tolist() == [4]
    assert not drawn(grid, (-9, 4, 4), (-9, 4, 8), 6, None).any()
    assert not drawn(grid, (40, 4, 4), (40, 4, 4), 6, 0).any()
    assert drawn(grid, (4, -3, 4), (4, -3, 4), 8, 0).any(), "half of the pen is still on the image"


STROKES = st.lists(st.tuples(*[st.floats(-3, 12)] * 3), min_size=1, max_size=6)


@given(STROKES, st.floats(0.5, 6), THROUGH, st.booleans(), st.integers(0, 3))
def test_a_stroke_is_the_sum_of_its_steps(
    places: list[tuple[float, ...]], diameter: float, through: int | None, erase: bool, seed: int
) -> None:
    grid = box_grid((10, 9, 8), (2, 1, 0.7))
    rng = np.random.default_rng(seed)
    before = ndimage.zoom(rng.random((3, 3, 3)), (10 / 3, 3, 8 / 3), order=0) < 0.3 * seed
    allowed = rng.random(grid.shape) < 0.8
    base = Mask.of(before)

    def within(box: Box, inside: np.ndarray) -> np.ndarray:
        return inside & allowed[box]

    stroke = Stroke(grid, base, diameter, erase=erase, through=through, touched=within)
    expected = before.copy()
    for last, place in zip([places[0], *places], places, strict=False):
        stroke.extend(place)
        touched = drawn(grid, last, place, diameter, through) & allowed
        expected = expected & ~touched if erase else expected | touched
        assert np.array_equal(stroke.mask.voxels, expected)
        assert stroke.mask == Mask.of(expected)
        for axis in range(3):
            whole = np.zeros(grid.shape, np.bool_)
            for n in range(grid.shape[axis]):
                (k, j, i), part = stroke.section(axis, n)
                whole[k : k + part.shape[0], j : j + part.shape[1], i : i + part.shape[2]] |= part
            assert np.array_equal(whole, expected)
    assert np.array_equal(base.voxels, before), "what was there before stays as it was"


def test_erasing_everything_leaves_nothing_and_one_may_draw_on() -> None:
    grid = box_grid((3, 20, 20))
    whole = np.zeros(grid.shape, np.bool_)
    whole[1, 5:8, 5:8] = True
    rubber = Stroke(grid, Mask.of(whole), 20, erase=True, through=0)
    rubber.extend((1, 6, 6))
    assert rubber.mask == empty(grid.shape)
    pen = Stroke(grid, rubber.mask, 1, erase=False, through=0)
    pen.extend((2, 19.3, 0))
    assert np.argwhere(pen.mask.voxels).tolist() == [[2, 19, 0]]


@pytest.mark.parametrize("shape", [(1, 1, 1), (30, 512, 512)])
def test_an_empty_mask_costs_nothing(shape: tuple[int, int, int]) -> None:
    assert (empty(shape).shape, empty(shape).count, empty(shape).packed) == (shape, 0, b"")
