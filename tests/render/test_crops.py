"""A finding's crops: in the middle, as large as told, in every plane that there is."""

from __future__ import annotations

import numpy as np
import pytest

from overread.domain.finding import Mask
from overread.domain.geometry import Plane, plane_axes
from overread.domain.study import Window
from overread.imaging.measure import measure
from overread.render.crops import Look, crop_planes, crop_projection, crops
from support import values

SIZE = 120


@pytest.mark.parametrize("plane", list(Plane))
@pytest.mark.parametrize("start", [(1, 2, 3), (14, 40, 5), (7, 20, 50)])
def test_it_lies_in_the_middle_wherever_it_is(plane: Plane, start: tuple[int, int, int]) -> None:
    grid = values.box_grid((20, 60, 60), (3.0, 0.7, 1.1))
    mask = Mask.of(np.ones((3, 9, 5), np.bool_), start, grid.shape)
    finding = values.finding(mask, measures=measure(mask, grid))
    projection = crop_projection(finding, grid, plane, SIZE)
    assert projection is not None
    low, high = np.array(mask.start) - 0.5, np.array(mask.start) + mask.extent - 0.5
    corners = [projection.to_screen(tuple(float(n) for n in at)) for at in (low, high)]
    middle = np.mean(corners, axis=0)
    assert np.abs(middle - SIZE / 2).max() <= 1.5
    span = np.abs(np.subtract(*corners)).max()
    assert span == pytest.approx(0.6 * SIZE, abs=2), "its longer side takes the part that it should"
    through = plane_axes(grid, plane).through
    assert mask.box[through].start <= projection.index < mask.box[through].stop


def test_a_single_slice_has_one_plane_and_what_has_no_place_none() -> None:
    grid = values.box_grid((1, 30, 30))
    assert crop_planes(grid) == (Plane.AXIAL,)
    voxels = np.zeros((1, 30, 30), np.int16)
    voxels[0, 10:14, 20:24] = 100
    held = values.volume(voxels, grid)
    look = Look(Window(50.0, 100.0))
    (picture,) = crops(values.finding(Mask.of(voxels > 0)), held, look, SIZE).values()
    assert picture.shape == (SIZE, SIZE, 3)
    assert picture[SIZE // 2, SIZE // 2].max() > 150
    nothing = values.finding(Mask.of(np.zeros((1, 30, 30), np.bool_)))
    assert crops(nothing, held, look, SIZE) == {}
