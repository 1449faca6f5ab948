"""Boxes are drawn round what they hold, on every slice that they cross, in any plane."""

from __future__ import annotations

import numpy as np
import pytest

from overread.domain.finding import Kind, Mask, Status
from overread.domain.geometry import Grid, Plane, plane_axes
from overread.domain.view import Camera
from overread.render.boxes import BoxMark, box_marks, box_text, draw_boxes
from overread.render.overlay import COLOURS, finding_layers
from overread.render.projection import project
from support.values import box_grid, finding

BOX = (2, 3, 4, 5, 9, 12)


def detection(shape: tuple[int, int, int], voxels: np.ndarray | None = None, **facts: object):
    whole = np.zeros(shape, np.bool_)
    whole[2:5, 3:9, 4:12] = True
    return finding(Mask.of(whole if voxels is None else voxels), kind=Kind.DETECTION, box=BOX, **facts)


@pytest.mark.parametrize("mirror", [(1, 1, 1), (1, -1, 1), (-1, 1, -1)])
@pytest.mark.parametrize("plane", Plane)
def test_a_box_is_where_its_voxels_are(plane: Plane, mirror: tuple[int, int, int]) -> None:
    shape = (8, 14, 16)
    affine = box_grid(shape, (3, 1, 1)).affine.copy()
    affine[:3, :3] *= np.array(mirror)
    grid = Grid(shape, affine)
    axes, seen = plane_axes(grid, plane), detection(shape)
    for index in range(shape[axes.through]):
        picture = axes.picture(seen.mask.voxels, index)
        marks = box_marks([seen], axes, index, None)
        if not picture.any():
            assert marks == []
            continue
        rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
        (mark,) = marks
        assert mark.edges == (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
        assert mark.text == "Tumour 1  0.50"


def test_a_box_without_outline_is_a_box_and_one_with_is_both() -> None:
    shape = (8, 14, 16)
    axes = plane_axes(box_grid(shape), Plane.AXIAL)
    assert finding_layers([detection(shape)], axes, 3, None, original=False) == []
    inner = np.zeros(shape, np.bool_)
    inner[3, 5:7, 6:9] = True
    outlined = detection(shape, inner)
    assert len(finding_layers([outlined], axes, 3, None, original=False)) == 1
    assert [bool(box_marks([outlined], axes, k, None)) for k in range(8)] == [False, False, True, True, True] + 3 * [
        False
    ]


def test_what_is_no_detection_has_no_box_and_the_selected_one_lies_on_top() -> None:
    shape = (8, 14, 16)
    axes = plane_axes(box_grid(shape), Plane.AXIAL)
    plain = finding(Mask.of(np.ones(shape, np.bool_)))
    assert box_marks([plain], axes, 3, None) == []
    marks = box_marks([detection(shape, id="a"), detection(shape, id="b")], axes, 3, "a")
    assert [mark.selected for mark in marks] == [False, True]
    assert box_text("Nodule", None) == "Nodule"


@pytest.mark.parametrize("status", Status)
def test_the_line_runs_round_the_box_and_leaves_it_free(status: Status) -> None:
    grid = box_grid((1, 40, 40))
    made = project(grid, Plane.AXIAL, 0, (200, 200), Camera())
    rgb = np.zeros((200, 200, 3), np.uint8)
    mark = BoxMark((10, 12, 20, 30), "x", status)
    draw_boxes(rgb, [mark], made, 2.0)
    left, top, right, bottom = mark.on_screen(made)
    lit = np.argwhere(rgb.any(axis=-1))
    assert np.abs(lit.min(axis=0) - (top, left)).max() <= 6
    assert np.abs(lit.max(axis=0) - (bottom, right)).max() <= 6
    assert not rgb[top + 7 : bottom - 6, left + 7 : right - 6].any()
    assert np.abs(rgb.astype(int) - COLOURS[status]).max(axis=-1).min() < 60


def test_boxes_off_the_pane_and_huge_ones_break_nothing() -> None:
    grid = box_grid((1, 40, 40))
    made = project(grid, Plane.AXIAL, 0, (100, 100), Camera(20.0, (9.0, -9.0)))
    rgb = np.zeros((100, 100, 3), np.uint8)
    draw_boxes(rgb, [BoxMark((0, 0, 40, 40), "x"), BoxMark((0, 0, 1, 1), "x")], made, 2.0)
    assert not rgb.any()
