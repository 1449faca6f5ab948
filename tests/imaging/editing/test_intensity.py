"""Ranges, edges and seeds on images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.segmentation import random_walker

from overread.domain.errors import Cancelled, UserError
from overread.domain.finding import Mask
from overread.imaging.editing.intensity import along_edges, flooded, seeded_box, walked, within
from support.values import box_grid, volume

RNG = np.random.default_rng(7)


def two_halves(noise: float, shape: tuple[int, int, int] = (1, 41, 41)) -> np.ndarray:
    """Left 100, right 200."""
    values = np.full(shape, 100.0)
    values[..., shape[2] // 2 :] = 200.0
    return values + RNG.normal(0, noise, shape)


def disc(shape: tuple[int, int, int], radius: float) -> np.ndarray:
    k, j, i = np.indices(shape)
    return np.sqrt((k - shape[0] // 2) ** 2 + (j - shape[1] // 2) ** 2 + (i - shape[2] // 2) ** 2) <= radius


def test_a_range_holds_real_values_of_the_region_alone() -> None:
    stored = RNG.integers(0, 100, (9, 12, 13)).astype(np.int16)
    image = volume(stored, slope=2.0, intercept=-50.0)
    region = RNG.random(stored.shape) < 0.5
    real = stored * 2.0 - 50
    got = within(image, Mask.of(region), -10, 60)
    assert np.array_equal(got.voxels, region & (real >= -10) & (real <= 60))


@pytest.mark.parametrize("noise", [0.0, 5.0, 15.0])
def test_the_smart_brush_stays_on_its_side_of_an_edge(noise: float) -> None:
    values = two_halves(noise)
    brush = disc(values.shape, 12)
    for column, right in ((16, False), (25, True)):
        got = along_edges(values, brush, (0, 20, column))
        side = np.indices(values.shape)[2] >= 20
        same = brush & (side == right)
        assert got[same].mean() > 0.97
        assert got[brush & ~same].mean() < 0.02


def test_the_smart_brush_in_three_dimensions_and_through_a_gap() -> None:
    values = np.full((21, 21, 21), 50.0)
    values[10, :, :] = 250.0  # a wall
    brush = disc(values.shape, 8)
    got = along_edges(values + RNG.normal(0, 4, values.shape), brush, (6, 10, 10))
    assert got[:10][brush[:10]].mean() > 0.97
    assert not got[11:].any(), "the other side has the same values, but hangs together with nothing"


@pytest.mark.parametrize("kind", ["flat", "noise", "ramp"])
def test_where_there_is_no_edge_the_smart_brush_is_a_brush(kind: str) -> None:
    values = {
        "flat": np.full((1, 31, 31), 7.0),
        "noise": RNG.normal(0, 20, (1, 31, 31)),
        "ramp": np.indices((1, 31, 31))[2] * 3.0,
    }[kind]
    brush = disc(values.shape, 10)
    assert np.array_equal(along_edges(values, brush, (0, 15, 15)), brush)
    assert np.array_equal(along_edges(values, brush, (0, 0, 0)), brush), "the pen is not under its own brush"


def seeds(shape: tuple[int, int, int]) -> tuple[Mask, Mask]:
    """A dot in the middle of each of three slices, and a frame around."""
    inside, outside = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for k in (2, 4, 6):
        inside[k, 28:33, 28:33] = True
        outside[k, 8:53, (8, 52)] = True
        outside[k, (8, 52), 8:53] = True
    return Mask.of(inside), Mask.of(outside)


def square_image(noise: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    truth = np.zeros((9, 60, 60), np.bool_)
    truth[:, 18:44, 20:40] = True
    return truth, np.where(truth, 180, 80) + RNG.normal(0, noise, truth.shape)


@pytest.mark.parametrize("grow", [flooded, walked])
def test_seeds_grow_up_to_the_edge_and_no_further_than_they_were_drawn(grow) -> None:
    truth, values = square_image()
    image = volume(values.astype(np.int16), box_grid(truth.shape, (3, 0.9, 0.9)))
    got = grow(image, *seeds(truth.shape), 0).voxels
    assert not got[:2].any()
    assert not got[7:].any()
    both = 2 * (got & truth)[2:7].sum() / (got[2:7].sum() + truth[2:7].sum())
    assert both > 0.97


def test_the_random_walker_answers_as_the_librarys() -> None:
    truth, values = square_image(noise=30.0)
    inside, outside = seeds(truth.shape)
    spacing = (3.0, 0.9, 0.9)
    image = volume(values.astype(np.float64), box_grid(truth.shape, spacing))
    got = walked(image, inside, outside, 0)
    box = seeded_box(inside, outside, 0)
    labels = inside.voxels[box] + 2 * outside.voxels[box].astype(int)
    own = values[box]
    peer = random_walker(
        own / own.std(), labels, beta=130, mode="cg_j", tol=1e-6, spacing=np.divide(spacing, spacing[2])
    )
    assert (got.voxels[box] == (peer == 1)).mean() > 0.999


@pytest.mark.parametrize("grow", [flooded, walked])
def test_seeds_that_make_no_sense_are_told_so(grow) -> None:
    truth, values = square_image()
    image = volume(values.astype(np.int16))
    inside, outside = seeds(truth.shape)
    empty = Mask.of(np.zeros(truth.shape, np.bool_))
    for pair in ((inside, empty), (empty, outside), (inside, Mask.of(np.ones(truth.shape, np.bool_)))):
        with pytest.raises(UserError, match="Both sides"):
            grow(image, *pair, 0)
    large = np.zeros((40, 400, 400), np.bool_)
    large[0, 0, 0] = large[-1, -1, -1] = True
    wide = volume(np.zeros(large.shape, np.int16))
    with pytest.raises(UserError, match="million"):
        grow(wide, Mask.of(large), Mask.of(np.roll(large, 1, axis=1)), 0)

    def stop(fraction: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        grow(image, inside, outside, 0, stop)


def test_seeds_in_one_slice_of_another_plane_answer_for_that_slice() -> None:
    truth, values = square_image()
    turned = np.ascontiguousarray(np.moveaxis(values, 0, 1))
    image = volume(turned.astype(np.int16))
    inside, outside = (Mask.of(np.moveaxis(mask.voxels, 0, 1)) for mask in seeds(truth.shape))
    one = [np.zeros(turned.shape, np.bool_) for _ in range(2)]
    for mask, voxels in zip((inside, outside), one, strict=True):
        voxels[:, 4] = mask.voxels[:, 4]
    got = walked(image, Mask.of(one[0]), Mask.of(one[1]), 1).voxels
    assert np.unique(np.argwhere(got)[:, 1]).tolist() == [4]
    assert abs(got.sum() / (26 * 20) - 1) < 0.03
