"""Outlines go around what is there, no more and no less, whoever fills them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from overread.imaging.outlines import enclosed_by, keyholed, outlines, patch

PICTURES = npst.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def _filled(lines: list[NDArray[Any]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    inside = np.zeros(shape, bool)
    for line in lines:
        rows, columns, within = patch(line - 0.5, shape)
        inside[rows, columns] ^= within
    return inside


def _area(line: NDArray[np.intp]) -> float:
    """Of a closed line by the shoelace formula; positive where it goes clockwise on the screen."""
    row, column = line.T
    return 0.5 * float(np.sum(column * np.roll(row, -1) - row * np.roll(column, -1)))


@given(PICTURES)
def test_lines_enclose_the_pixels_and_nothing_else(pixels: NDArray[np.bool_]) -> None:
    found = outlines(pixels)
    assert np.array_equal(_filled([line for part in found for line in part.lines], pixels.shape), pixels)
    # The library's count of parts that touch along sides, not ours.
    count, _ = cv2.connectedComponents(pixels.astype(np.uint8), connectivity=4)
    assert len(found) == count - 1
    for part in found:
        assert _area(part.outer) > 0
        assert all(_area(hole) < 0 for hole in part.holes)
        for line in part.lines:
            steps = np.roll(line, -1, axis=0) - line
            assert ((steps != 0).sum(axis=1) == 1).all()
    assert sum(_area(line) for part in found for line in part.lines) == pixels.sum()


@given(PICTURES)
def test_a_keyhole_takes_no_pixel_away_whoever_fills_it(pixels: NDArray[np.bool_]) -> None:
    lines = [keyholed(part) for part in outlines(pixels)]
    assert np.array_equal(_filled(lines, pixels.shape), pixels)
    assert sum(map(_area, lines)) == pixels.sum()
    parts = [polygon2mask(pixels.shape, line - 0.5) for line in lines]
    assert np.array_equal(np.any(parts, axis=0) if parts else np.zeros_like(pixels), pixels)
    assert sum(int(part.sum()) for part in parts) == pixels.sum()


def test_holes_within_holes_are_entered_one_through_the_other() -> None:
    row, column = np.indices((40, 60))
    pixels = np.ones((40, 60), bool)
    for at in range(4, 56, 4):
        pixels[2 + at // 4 : 6 + at // 4, at : at + 3] = False
    pixels[30:36, 10:50] = (row + column)[30:36, 10:50] % 2 == 0
    (whole,) = [part for part in outlines(pixels) if len(part.outer) == 4 and _area(part.outer) == 2400]
    assert len(whole.holes) > 10
    single = keyholed(whole)
    assert _area(single) == 2400 + sum(map(_area, whole.holes))
    inside = _filled([single], pixels.shape)
    assert inside.sum() == _area(single)
    assert not (inside & ~pixels).any()


def test_one_pixel_is_a_square_and_none_is_nothing() -> None:
    pixels = np.zeros((5, 6), bool)
    assert outlines(pixels) == []
    pixels[2, 3] = True
    (part,) = outlines(pixels)
    assert sorted(map(tuple, part.outer.tolist())) == [(2, 3), (2, 4), (3, 3), (3, 4)]
    assert part.holes == ()


def test_lines_may_leave_the_picture_and_need_not_run_along_edges() -> None:
    triangle = np.array([(-4.0, -3.0), (20.0, 5.0), (3.0, 30.0)])
    ours = _filled([triangle + 0.5], (12, 14))
    theirs = polygon2mask((40, 50), triangle + 10)[10:22, 10:24]
    assert np.array_equal(ours, theirs)
    assert 0 < ours.sum() < ours.size
    rows, columns, inside = patch(triangle + 100, (12, 14))
    assert inside.size == 0
    assert rows.start == 12
    assert columns.start == 14


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_a_full_picture_has_the_frame_as_its_outline(shape: tuple[int, int]) -> None:
    (part,) = outlines(np.ones(shape, bool))
    assert _area(part.outer) == np.prod(shape)
    assert len(part.outer) == 4


def test_all_lines_of_a_slice_at_once_are_filled_like_one_after_the_other() -> None:
    chance = np.random.default_rng(4)
    for _ in range(20):
        picture = chance.random((17, 23)) < chance.uniform(0.2, 0.7)
        lines = [keyholed(outline) - 0.5 for outline in outlines(picture)]
        sizes = np.array([len(line) for line in lines])
        voxels, apart = enclosed_by(np.concatenate(lines), sizes, picture.shape)
        assert apart
        assert np.array_equal(voxels, picture)
        moved = [line + chance.uniform(-3, 3, 2) for line in (lines[0], lines[0] + 0.25)]
        whole = np.zeros(picture.shape, int)
        for line in moved:
            rows, columns, inside = patch(line, picture.shape)
            whole[rows, columns] += inside
        voxels, apart = enclosed_by(np.concatenate(moved), np.array([len(line) for line in moved]), picture.shape)
        assert np.array_equal(voxels, whole % 2 == 1)
        assert apart == (whole.max() < 2)
