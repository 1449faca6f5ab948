"""The pane's picture: the right voxels in the right place, with findings on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.domain.finding import Mask, Status
from overread.domain.geometry import Grid, Plane, plane_axes
from overread.domain.study import Window
from overread.domain.view import Camera
from overread.render.overlay import COLOURS, Layer
from overread.render.projection import project
from overread.render.slices import compose, thumbnail
from support.values import box_grid, finding, grids, volume

FULL = Window(127.5, 255, "", "LINEAR_EXACT")


@given(grids(most=6), st.sampled_from(Plane), st.data())
def test_every_voxel_is_seen_where_the_projection_puts_it(grid: Grid, plane: Plane, data: st.DataObject) -> None:
    """Geometry, turning, windowing and resampling together; the middle of a voxel shows the voxel."""
    even = Grid(grid.shape, np.vstack([np.column_stack([grid.directions, grid.origin]), [0, 0, 0, 1]]))
    voxels = np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, 256, grid.shape).astype(np.uint8)
    axes = plane_axes(even, plane)
    index = data.draw(st.integers(0, grid.shape[axes.through] - 1))
    made = project(even, plane, index, (201, 160), Camera())
    rgb = compose(volume(voxels, even), made, FULL)
    assert rgb.shape == (160, 201, 3)
    for at in np.argwhere(np.ones(grid.shape)):
        if at[axes.through] == index:
            x, y = made.to_screen(at)
            # The very middle of a voxel has no part of its neighbours but for the half pixel that it may be off.
            assert np.abs(rgb[int(y), int(x)].astype(int) - voxels[tuple(at)]).max() <= 255 * 1.3 / min(made.scale) + 1


def test_colour_shows_as_it_is_and_inverts() -> None:
    voxels = np.zeros((1, 2, 2, 3), np.uint8)
    voxels[0, 0, 1] = (200, 100, 50)
    made = project(box_grid((1, 2, 2)), Plane.AXIAL, 0, (100, 100), Camera())
    x, y = (int(n) for n in made.to_screen((0, 0, 1)))
    for invert, colour in ((False, (200, 100, 50)), (True, (55, 155, 205))):
        rgb = compose(volume(voxels), made, FULL, invert=invert)
        assert np.abs(rgb[y, x].astype(int) - colour).max() <= 12
        assert not rgb[:1].any(), "the margin stays black"


def test_findings_and_fresh_answers_lie_on_the_slice_they_belong_to() -> None:
    voxels = np.zeros((3, 20, 20), np.bool_)
    voxels[1, 5:15, 5:15] = True
    image = volume(np.full((3, 20, 20), 100, np.int16))
    found = finding(Mask.of(voxels), status=Status.ACCEPTED)
    for index in range(3):
        made = project(image.grid, Plane.AXIAL, index, (200, 200), Camera())
        bare = compose(image, made, FULL)
        seen = compose(image, made, FULL, findings=[found], opacity=0.5)
        assert (seen != bare).any() == (index == 1)
    expected = 0.5 * 100 + 0.5 * np.array(COLOURS[Status.ACCEPTED])
    made = project(image.grid, Plane.AXIAL, 1, (200, 200), Camera())
    assert np.abs(compose(image, made, FULL, findings=[found], opacity=0.5)[100, 100] - expected).max() <= 2
    outline = compose(image, made, FULL, findings=[found], opacity=0.0)
    assert np.array_equal(outline[100, 100], (100, 100, 100))
    live = compose(image, made, FULL, live=[Layer(voxels[1], (0, 0), Status.PROPOSED)], opacity=1.0)
    assert np.array_equal(live[100, 100], COLOURS[Status.PROPOSED])


def test_composing_leaves_the_volume_and_the_mask_alone() -> None:
    stored = np.random.default_rng(0).integers(0, 200, (2, 9, 9)).astype(np.int16)
    voxels = stored > 100
    image, mask = volume(stored.copy()), Mask.of(voxels)
    made = project(image.grid, Plane.SAGITTAL, 4, (50, 70), Camera(2.0))
    one = compose(image, made, FULL, findings=[finding(mask)], invert=True)
    assert np.array_equal(compose(image, made, FULL, findings=[finding(mask)], invert=True), one)
    assert np.array_equal(image.voxels, stored)
    assert mask == Mask.of(voxels)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 300, 2), (40, 3, 300)])
@pytest.mark.parametrize("plane", Plane)
def test_odd_shapes_and_panes_are_drawn(size: tuple[int, int], shape: tuple[int, int, int], plane: Plane) -> None:
    image = volume(np.full(shape, 255, np.uint8))
    everything = finding(Mask.of(np.ones(shape, np.bool_)))
    for zoom in (0.2, 1.0, 6.0):
        made = project(image.grid, plane, 0, size, Camera(zoom))
        assert compose(image, made, FULL).any()
        rgb = compose(image, made, FULL, findings=[everything], opacity=0.5)
        assert rgb.shape == (size[1], size[0], 3)


@pytest.mark.parametrize("aspect", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64"])
def test_a_thumbnail_is_square_and_keeps_the_aspect(aspect: float, dtype: str) -> None:
    pixels = np.tile(np.linspace(0, 100, 40), (30, 1)).astype(dtype)
    small = thumbnail(pixels, Window(50, 60), aspect, 64)
    assert small.shape == (64, 64, 3)
    bright = (small == 255).all(axis=-1)
    larger = max(40, 30 * aspect)
    assert bright.any(axis=1).sum() == pytest.approx(64 * 30 * aspect / larger, abs=1)
    assert bright.any(axis=0).sum() == pytest.approx(64 * 40 / larger * 0.2, abs=2)


@pytest.mark.parametrize("pixels", [np.zeros((5, 5), np.int16), np.full((1, 300), 7, np.uint16), np.ones((300, 1))])
def test_an_even_or_thin_image_has_a_thumbnail(pixels: np.ndarray) -> None:
    assert not thumbnail(pixels, None, 1.0, 32).any()


def test_a_thumbnail_finds_its_own_window_and_shows_colour() -> None:
    pixels = np.tile(np.linspace(-1000, 3000, 64), (64, 1))
    small = thumbnail(pixels, None, 1.0, 64)
    assert small.min() == 0
    assert small.max() == 255
    colour = np.full((8, 8, 3), (10, 200, 90), np.uint8)
    assert np.array_equal(np.unique(thumbnail(colour, None, 1.0, 16).reshape(-1, 3), axis=0), [[10, 200, 90]])
