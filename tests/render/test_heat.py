"""A heatmap lies on the part of the image that it speaks of, and leaves the rest as it is."""

from __future__ import annotations

import numpy as np

from overread.domain.geometry import Plane
from overread.domain.heatmap import Heatmap
from overread.domain.study import Window
from overread.domain.view import Camera
from overread.render.heat import draw_heat, shares, shown_here, table
from overread.render.projection import project
from overread.render.slices import compose
from support.values import box_grid, volume


def heat(values: np.ndarray, extent: tuple[float, float, float, float] = (0, 0, 40, 40), index: int = 0) -> Heatmap:
    return Heatmap.of(values, extent, Plane.AXIAL, index, "Pneumonia", "CAM", "last")


def painted(
    values: np.ndarray,
    extent: tuple[float, float, float, float] = (0, 0, 40, 40),
    grey: int = 100,
    opacity: float = 0.65,
):
    made = project(box_grid((1, 40, 40)), Plane.AXIAL, 0, (200, 200), Camera())
    rgb = np.full((200, 200, 3), grey, np.uint8)
    draw_heat(rgb, heat(values, extent), made, opacity)
    return made, rgb


def test_the_hot_cell_is_where_it_is_and_the_cold_ones_show_the_image() -> None:
    values = np.full((4, 4), -1.0)
    values[1, 2] = 2.0
    made, rgb = painted(values)
    x, y = made.to_screen((0, 15 - 0.5, 25 - 0.5))  # the middle of cell (1, 2): rows 10 to 20, columns 20 to 30
    changed = (rgb != 100).any(axis=-1)
    hottest = np.abs(rgb.astype(int) - 100).sum(axis=-1)
    at = np.argwhere(hottest == hottest.max()).mean(axis=0)
    assert np.abs(at - (y, x)).max() < 3
    rows, columns = np.argwhere(changed).min(axis=0), np.argwhere(changed).max(axis=0)
    assert rows[0] >= y - 51, "no further than to the middles of the cells around"
    assert columns[0] <= y + 51
    assert np.array_equal(rgb[round(y), 20], (100, 100, 100))


def test_what_speaks_against_it_is_not_painted() -> None:
    _, rgb = painted(np.full((3, 3), -0.5))
    assert (rgb == 100).all()
    assert shares(heat(np.zeros((2, 2)))).max() == 0
    assert shares(heat(np.array([[1.0, -3.0], [0.5, 0.0]]))).tolist() == [[1.0, 0.0], [0.5, 0.0]]


def test_the_map_ends_where_the_models_canvas_and_the_picture_end() -> None:
    made, rgb = painted(np.ones((2, 2)), (10, 20, 30, 60))
    changed = np.argwhere((rgb != 100).any(axis=-1))
    left, top = made.corner
    across, down = made.scale
    first, last = changed.min(axis=0), changed.max(axis=0) + 1
    assert np.abs(first - (top + 10 * down, left + 20 * across)).max() <= 1
    assert np.abs(last - (top + 30 * down, left + 40 * across)).max() <= 1


def test_the_image_still_shows_through_the_hottest_place() -> None:
    _, dark = painted(np.ones((2, 2)), grey=20)
    _, bright = painted(np.ones((2, 2)), grey=220)
    assert (bright.astype(int) - dark)[100, 100].min() >= 60


def test_the_colours_grow_brighter_all_the_way() -> None:
    luminance = table() @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > -0.5).all()
    assert luminance[-1] - luminance[0] > 200


def test_it_shows_on_its_own_slice_alone() -> None:
    image = volume(np.zeros((3, 40, 40), np.int16))
    for index in range(3):
        made = project(image.grid, Plane.AXIAL, index, (80, 80), Camera())
        assert shown_here(heat(np.ones((2, 2)), index=1), made) is (index == 1)
        rgb = compose(image, made, Window(500, 1000), heatmap=heat(np.ones((2, 2)), index=1))
        assert rgb.any() == (index == 1)
    side = project(image.grid, Plane.SAGITTAL, 1, (80, 80), Camera())
    assert not shown_here(heat(np.ones((2, 2)), index=1), side)


def test_the_strength_is_that_of_the_hottest_place() -> None:
    hottest = table()[255].astype(float)
    for opacity in (0.0, 0.3, 1.0):
        _, rgb = painted(np.ones((2, 2)), grey=20, opacity=opacity)
        assert np.abs(rgb[100, 100] - ((1 - opacity) * 20 + opacity * hottest)).max() <= 1.5
