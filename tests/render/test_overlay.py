"""Masks are drawn on the voxels they hold: at any zoom, in any plane, at any border, and never out of sight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import ndimage

from overread.domain.finding import Mask, Status
from overread.domain.geometry import Grid, Plane, plane_axes
from overread.domain.view import Camera
from overread.render.overlay import COLOURS, Layer, draw, finding_layers, mask_layer
from overread.render.projection import Projection, project
from support.values import box_grid, finding, grids, masks

PLANES = st.sampled_from(Plane)
BEYOND = 60  # screen pixels around the pane


@given(masks(6), grids(), PLANES)
def test_a_layer_is_the_mask_in_that_slice(voxels: np.ndarray, turned: Grid, plane: Plane) -> None:
    grid = Grid(voxels.shape, turned.affine)
    axes = plane_axes(grid, plane)
    for index in range(voxels.shape[axes.through]):
        whole = np.zeros(axes.size(grid.shape), np.bool_)
        layer = mask_layer(Mask.of(voxels), axes, index, Status.PROPOSED)
        if layer is not None:
            (row, column), (rows, columns) = layer.start, layer.pixels.shape
            assert whole[row : row + rows, column : column + columns].shape == layer.pixels.shape
            whole[row : row + rows, column : column + columns] = layer.pixels
        assert np.array_equal(whole, axes.picture(voxels, index))


def layer_of(pixels: np.ndarray, status: Status = Status.ACCEPTED, **how: bool) -> Layer:
    return Layer(pixels, (0, 0), status, **how)


def depth(made: Projection, pixels: np.ndarray) -> np.ndarray:
    """How far each screen pixel lies from the edge of the mask, in pixels: positive inside, negative outside.

    The mask on the screen is made by asking for the voxel under the middle of each pixel, some way beyond the pane too.
    """
    width, height = made.size
    seen = np.zeros((height + 2 * BEYOND, width + 2 * BEYOND), np.bool_)
    across = np.arange(-BEYOND, width + BEYOND) + 0.5 - made.corner[0]
    down = np.arange(-BEYOND, height + BEYOND) + 0.5 - made.corner[1]
    rows, columns = np.floor(down / made.scale[1]).astype(int), np.floor(across / made.scale[0]).astype(int)
    y, x = (np.flatnonzero((at >= 0) & (at < n)) for at, n in zip((rows, columns), pixels.shape, strict=True))
    seen[np.ix_(y, x)] = pixels[np.ix_(rows[y], columns[x])]
    inside = ndimage.distance_transform_edt(seen) if not seen.all() else BEYOND
    outside = ndimage.distance_transform_edt(~seen) if seen.any() else BEYOND
    return (inside - outside)[BEYOND:-BEYOND, BEYOND:-BEYOND]


def blobs(rows: int, columns: int, seed: int) -> np.ndarray:
    """Smooth blobs, some of them at the border."""
    noise = np.random.default_rng(seed).normal(size=(rows, columns))
    return ndimage.gaussian_filter(noise, 2.0) > 0.08


SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))
SIZES = st.tuples(st.integers(40, 160), st.integers(40, 160))


@given(
    SHAPES,
    SIZES,
    st.tuples(st.floats(0.5, 3), st.floats(0.5, 3)),
    st.floats(1, 6),
    st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    st.integers(0, 99),
)
def test_the_fill_covers_what_the_mask_holds_and_nothing_else(
    shape: tuple[int, int],
    size: tuple[int, int],
    spacing: tuple[float, float],
    zoom: float,
    off: tuple[float, float],
    seed: int,
) -> None:
    rows, columns = shape
    grid = box_grid((1, rows, columns), (3, *spacing))
    shift = off[0] * columns * spacing[1] / 2, off[1] * rows * spacing[0] / 2
    made = project(grid, Plane.AXIAL, 0, size, Camera(zoom, shift))
    pixels = blobs(rows, columns, seed)
    assume(pixels.any() and min(made.scale) >= 1)  # below that, one voxel of several is under a pixel's middle
    rgb = np.zeros((size[1], size[0], 3), np.uint8)
    draw(rgb, [layer_of(pixels)], made, 1.0, 1.0)
    filled = rgb[..., 1] > 100
    away = depth(made, pixels)
    # The outline's width, and the corners that smoothing takes off voxels.
    slack = 4.5 + 0.9 * max(made.scale)
    assert filled[away > slack].all()
    assert not rgb[away < -slack].any()


@given(
    st.integers(10, 60),
    st.tuples(st.integers(60, 200), st.integers(60, 200)),
    st.floats(1.0, 12.0),
    st.integers(0, 99),
    st.sampled_from((Status.ACCEPTED, Status.PROPOSED, Status.EDITED, Status.REJECTED)),
)
def test_the_outline_keeps_its_width_at_any_zoom(
    rows: int, size: tuple[int, int], zoom: float, seed: int, status: Status
) -> None:
    grid = box_grid((1, rows, rows))
    made = project(grid, Plane.AXIAL, 0, size, Camera(zoom))
    pixels = blobs(rows, rows, seed)
    rgb = np.full((size[1], size[0], 3), 80, np.uint8)
    draw(rgb, [layer_of(pixels, status)], made, 0.0, 1.0)
    changed = (rgb != 80).any(axis=-1)
    away = np.abs(depth(made, pixels))
    slack = 0.9 * max(made.scale) + 4.0
    assert not changed[away > slack].any()
    if status is Status.ACCEPTED:
        smooth = away <= 0.5 + 1e-9
        near = ndimage.binary_dilation(changed, iterations=int(slack) + 1)
        assert near[smooth].all()


@pytest.mark.parametrize("zoom", [1.0, 2.0, 3.7, 8.0])
def test_a_line_of_one_pixel_is_one_pixel(zoom: float) -> None:
    grid = box_grid((1, 50, 50))
    made = project(grid, Plane.AXIAL, 0, (100, 100), Camera(zoom))
    pixels = np.zeros((50, 50), np.bool_)
    pixels[:, 25:] = True  # its edge runs down the middle of the pane
    rgb = np.zeros((100, 100, 3), np.uint8)
    draw(rgb, [layer_of(pixels)], made, 0.0, 1.0)
    lines = (rgb[40:60, 20:80] > 100).any(axis=-1)
    assert (lines.sum(axis=1) == 1).all()
    assert np.unique(np.argwhere(lines)[:, 1]).tolist() in ([29], [30])


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("pane", [40, 61, 100, 130, 255, 333, 512, 700])
def test_a_single_voxel_is_never_out_of_sight(status: Status, pane: int) -> None:
    """However small the pane and whatever the plane, the smallest finding still shows."""
    grid = box_grid((20, 256, 256), (5, 1, 1))
    for at in ((7, 100, 131), (0, 0, 0), (19, 255, 255)):
        voxels = np.zeros(grid.shape, np.bool_)
        voxels[at] = True
        proposed = finding(Mask.of(voxels), status=status)
        for plane in Plane:
            axes = plane_axes(grid, plane)
            made = project(grid, plane, at[axes.through], (pane, pane), Camera())
            rgb = np.zeros((pane, pane, 3), np.uint8)
            draw(rgb, finding_layers([proposed], axes, at[axes.through], None, original=False), made, 0.2, 2.0)
            drawn = np.argwhere((rgb > 90).any(axis=-1))
            assert len(drawn), (plane, at)
            x, y = made.to_screen(at)
            assert np.abs(drawn + 0.5 - (y, x)).max() <= 4.5 + max(made.scale)


@pytest.mark.parametrize("scale", [1.0, 1.2, 1.34, 1.5, 1.7, 1.99, 2.3, 3.0])
def test_a_voxel_beside_a_large_mask_does_not_vanish(scale: float) -> None:
    grid = box_grid((1, 60, 60))
    side = round(60 * scale)
    made = Projection(grid, plane_axes(grid, Plane.AXIAL), 0, (side, side), 60, 60, (side, side), (0, 0))
    for column in range(30, 58):
        pixels = np.zeros((60, 60), np.bool_)
        pixels[10:50, 3:20] = pixels[30, column] = True
        rgb = np.zeros((side, side, 3), np.uint8)
        draw(rgb, [layer_of(pixels, filled=True)], made, 1.0, 1.0)
        x, y = made.to_screen((0, 30, column))
        assert rgb[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].any()


def test_a_mask_that_was_moved_off_the_pane_draws_nothing_and_breaks_nothing() -> None:
    grid = box_grid((1, 200, 200))
    pixels = np.ones((3, 3), np.bool_)
    off = 0
    for across in (-230, -112, -111, -108, -104, -101, -95, 0, 95, 99, 104, 112, 230):
        for down in range(-125, 126, 1):
            made = project(grid, Plane.AXIAL, 0, (200, 200), Camera(1.0, (across, down)))
            for start in ((0, 0), (197, 197)):
                rgb = np.zeros((200, 200, 3), np.uint8)
                draw(rgb, [Layer(pixels, start, Status.PROPOSED)], made, 0.5, 1.0)
                x, y = (made.corner[n] + start[1 - n] * made.scale[n] for n in (0, 1))
                outside = x < -8 or y < -8 or x > 205 or y > 205
                off += outside
                assert not (outside and rgb.any())
    assert off


def test_lines_say_what_became_of_a_finding() -> None:
    """Dashed = proposed, solid = accepted, double = edited, dotted = what the model had drawn; colours follow."""
    grid = box_grid((1, 60, 60))
    made = project(grid, Plane.AXIAL, 0, (300, 300), Camera())
    pixels = np.zeros((60, 60), np.bool_)
    pixels[10:50, 10:50] = True
    lengths = {}
    for status in Status:
        for dotted in (False, True):
            rgb = np.full((300, 300, 3), 10, np.uint8)
            draw(rgb, [layer_of(pixels, status, filled=False, dotted=dotted)], made, 0.5, 2.0)
            coloured = np.abs(rgb.astype(int) - COLOURS[status]).max(axis=-1) < 60
            lengths[status, dotted] = int(coloured.sum())
            assert not np.array_equal(rgb[150, 150], COLOURS[status]), "what is not filled shows the image"
    solid = lengths[Status.ACCEPTED, False]
    assert solid >= 4 * 40 * made.scale[0], "all the way around"
    assert lengths[Status.EDITED, False] > 1.3 * solid
    assert 0.5 * solid < lengths[Status.PROPOSED, False] == lengths[Status.REJECTED, False] < 0.75 * solid
    assert 0.2 * solid < lengths[Status.PROPOSED, True] < 0.45 * solid
    assert len(set(COLOURS.values())) == len(Status)


def test_the_selected_finding_lies_on_top_and_the_original_beneath_it() -> None:
    voxels = np.ones((1, 4, 4), np.bool_)
    axes = plane_axes(box_grid((1, 4, 4)), Plane.AXIAL)
    first, second = (finding(Mask.of(voxels), id=name) for name in ("a", "b"))
    layers = finding_layers([first, second], axes, 0, "a", original=False)
    assert [layer.selected for layer in layers] == [False, True]
    smaller = voxels.copy()
    smaller[0, 0] = False
    edited = finding(Mask.of(smaller), status=Status.EDITED, original=Mask.of(voxels))
    shown = finding_layers([edited], axes, 0, None, original=True)
    assert [(layer.dotted, layer.filled, layer.pixels.shape) for layer in shown] == [
        (True, False, (4, 4)),
        (False, True, (3, 4)),
    ]
    emptied = finding(Mask.of(np.zeros((1, 4, 4), np.bool_)), status=Status.REJECTED)
    assert finding_layers([emptied], axes, 0, None, original=True) == []
