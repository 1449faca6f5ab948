"""The map of agreement can be told apart without its colours."""

from __future__ import annotations

import numpy as np

from overread.domain.finding import Mask
from overread.domain.geometry import Plane
from overread.domain.view import Camera
from overread.imaging.compare import agreement
from overread.render.agreement import BOTH, ONLY_A, ONLY_B, draw_agreement, hatched
from overread.render.projection import Projection, project
from support import values

GRID = values.box_grid((3, 60, 60))


def drawn(opacity: float, index: int = 1) -> tuple[np.ndarray, Projection]:
    one, other = np.zeros((2, *GRID.shape), np.bool_)
    one[1, 10:50, 5:40] = True
    other[1, 10:50, 20:55] = True
    projection = project(GRID, Plane.AXIAL, index, (600, 600), Camera())
    picture = np.full((600, 600, 3), 60, np.uint8)
    draw_agreement(picture, agreement(Mask.of(one), Mask.of(other), GRID), projection, opacity, 2.0)
    return picture, projection


def patch(picture: np.ndarray, projection: Projection, column: float) -> np.ndarray:
    """A piece of the middle of a region, away from lines."""
    x, y = projection.to_screen((1.0, 30.0, column))
    return picture[round(y) - 30 : round(y) + 30, round(x) - 30 : round(x) + 30]


def test_hatches_lean_either_way_and_what_both_hold_is_filled() -> None:
    picture, projection = drawn(0.2)
    touched = {
        name: np.abs(patch(picture, projection, column).astype(int) - 60).max(axis=-1) > 8
        for name, column in (("a", 12.0), ("both", 30.0), ("b", 48.0))
    }
    assert touched["both"].all()
    for name in "ab":
        assert 0.25 < touched[name].mean() < 0.42, "a third of the ground"
    falls = {name: (touched[name][1:, :-1] == touched[name][:-1, 1:]).mean() for name in "ab"}
    rises = {name: (touched[name][1:, 1:] == touched[name][:-1, :-1]).mean() for name in "ab"}
    assert falls["a"] == rises["b"] == 1.0, "the hatches lean opposite ways"
    assert falls["b"] < 0.9
    assert rises["a"] < 0.9


def test_lines_differ_and_stay_without_a_fill() -> None:
    picture, projection = drawn(0.0)
    assert (patch(picture, projection, 12.0) == 60).all()
    _, top = (round(n) for n in projection.to_screen((1.0, 9.5, 30.0)))
    shares = []
    for region, columns in ((ONLY_A, (7, 18)), (BOTH, (22, 37)), (ONLY_B, (42, 53))):
        left, right = (round(projection.to_screen((1.0, 10.0, float(column)))[0]) for column in columns)
        near = np.abs(picture[top - 4 : top + 5, left:right].astype(int) - region.colour).max(axis=-1) < 60
        shares.append(near.any(axis=0).mean())
    dashed, solid, dotted = shares
    assert solid > 0.98
    assert 0.4 < dashed < 0.95
    assert dotted < dashed


def test_other_slices_are_left_alone() -> None:
    assert (drawn(0.3, index=0)[0] == 60).all()


def test_hatches_of_neighbouring_patches_go_on() -> None:
    whole = hatched(40, 60, 100, 200, ONLY_A)
    assert np.array_equal(whole[10:, 25:], hatched(30, 35, 125, 210, ONLY_A))
