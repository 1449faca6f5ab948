"""Lasso, polygon and scissors: pixel centres decide, in any plane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon

from overread.domain.finding import Mask
from overread.imaging.editing.outline import added, cut, enclosed, slab, taken

CORNERS = st.lists(st.tuples(st.floats(-3, 15), st.floats(-3, 15)), min_size=3, max_size=8)


def circle(radius: float, at: tuple[float, float], points: int = 720) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([at[0] + radius * np.sin(turn), at[1] + radius * np.cos(turn)], axis=1)


def test_a_circle_holds_the_centres_that_lie_in_it() -> None:
    inside = enclosed(circle(20.3, (30.2, 40.7)), (64, 96))
    r, c = np.indices(inside.shape)
    off = np.hypot(r - 30.2, c - 40.7)
    assert inside[off < 20.29].all()
    assert not inside[off > 20.31].any()
    assert abs(inside.sum() / (np.pi * 20.3**2) - 1) < 0.01


def test_squares_that_touch_share_no_pixel_and_leave_none_out() -> None:
    first = enclosed([(2, 2), (2, 6), (8, 6), (8, 2)], (12, 12))
    second = enclosed([(2, 6), (2, 9), (8, 9), (8, 6)], (12, 12))
    both = np.zeros((12, 12), np.bool_)
    both[2:8, 2:9] = True
    assert not (first & second).any()
    assert np.array_equal(first | second, both)
    assert first.sum() == 6 * 4


def test_an_outline_that_crosses_itself_leaves_out_what_it_goes_round_twice() -> None:
    twice = [(0.5, 0.5), (0.5, 8.5), (8.5, 8.5), (8.5, 0.5), (0.5, 0.5), (2.5, 2.5), (2.5, 6.5), (6.5, 6.5), (6.5, 2.5),
             (2.5, 2.5)]  # fmt: skip
    inside = enclosed(twice, (10, 10))
    assert inside[1, 1]
    assert not inside[4, 4]


@given(CORNERS)
def test_the_library_agrees_off_the_line(points: list[tuple[float, float]]) -> None:
    ours = enclosed(points, (13, 13))
    theirs = np.zeros((13, 13), np.bool_)
    theirs[polygon(*np.array(points).T, shape=(13, 13))] = True
    corners = np.array(points)
    begin, way = corners, np.roll(corners, -1, axis=0) - corners
    centres = np.argwhere(np.ones((13, 13))).astype(float)
    length = np.maximum((way**2).sum(1), 1e-300)
    share = np.clip(((centres[:, None] - begin) * way).sum(-1) / length, 0, 1)
    off = np.linalg.norm(centres[:, None] - begin - share[..., None] * way, axis=-1).min(1).reshape(13, 13)
    assert np.array_equal(ours[off > 1e-6], theirs[off > 1e-6])


@pytest.mark.parametrize("through", [0, 1, 2])
def test_an_outline_fills_one_slice_of_any_plane(through: int) -> None:
    shape = (9, 40, 30)
    flat = [axis for axis in range(3) if axis != through]
    points = np.empty((4, 3))
    points[:, through] = 3.4
    points[:, flat] = [(1.5, 2.5), (1.5, 7.5), (6.5, 7.5), (6.5, 2.5)]
    box, voxels = slab(points, through, shape)
    got = added(Mask.of(np.zeros(shape, np.bool_)), box, voxels).voxels
    expected = np.zeros(shape, np.bool_)
    where = [slice(3, 4)] * 3
    where[flat[0]], where[flat[1]] = slice(2, 7), slice(3, 8)
    expected[tuple(where)] = True
    assert np.array_equal(got, expected)
    whole = Mask.of(np.ones(shape, np.bool_))
    assert np.array_equal(taken(whole, box, voxels).voxels, ~expected)


def test_what_lies_off_the_image_is_left_out() -> None:
    shape = (3, 10, 10)
    box, voxels = slab([(1, -5, -5), (1, -5, 4.5), (1, 4.5, 4.5), (1, 4.5, -5)], 0, shape)
    got = added(Mask.of(np.zeros(shape, np.bool_)), box, voxels).voxels
    assert (got.sum(), got[1, :5, :5].sum()) == (25, 25)
    for off in ([(1, 20, 20), (1, 20, 30), (1, 30, 30)], [(9, 1, 1), (9, 1, 5), (9, 5, 5)], [(1, 1, 1), (1, 2, 2)]):
        assert slab(off, 0, shape)[1].size == 0


@pytest.mark.parametrize("through", [0, 1, 2])
@pytest.mark.parametrize("keep_inside", [False, True])
def test_scissors_cut_through_all_slices_or_a_range(through: int, keep_inside: bool) -> None:
    rng = np.random.default_rng(through)
    voxels = rng.random((12, 11, 10)) < 0.6
    flat = [axis for axis in range(3) if axis != through]
    points = np.full((3, 3), 2.0)
    points[:, flat] = [(1.3, 1.2), (2.1, 8.4), (8.6, 4.7)]
    drawn = enclosed(points[:, flat], tuple(voxels.shape[axis] for axis in flat))
    gone = np.broadcast_to(np.expand_dims(drawn != keep_inside, through), voxels.shape)
    assert np.array_equal(cut(Mask.of(voxels), points, through, keep_inside=keep_inside).voxels, voxels & ~gone)
    some = np.indices(voxels.shape)[through]
    ranged = voxels & ~(gone & (some >= 3) & (some <= 5))
    assert np.array_equal(cut(Mask.of(voxels), points, through, (3, 5), keep_inside=keep_inside).voxels, ranged)
