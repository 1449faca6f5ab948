"""Neighbouring slices, stretched and fitted images, colour, percentiles and reversed grey come as the model wants."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from overread.domain.geometry import Plane
from overread.domain.study import Lut
from overread.domain.volume import Volume
from overread.imaging.components import components
from overread.imaging.intensity import IntensityRule, normaliser
from overread.infer.manifest import Prepare
from overread.infer.slices import Slicer
from support.values import box_grid, volume

WINDOW = IntensityRule("window", (0.0, 1.0), 0.0, 200.0)
RNG = np.random.default_rng(4)


def prepare(size: tuple[int, int], fit: str = "stretch", rule: IntensityRule = WINDOW, **more: object) -> Prepare:
    return replace(Prepare(Plane.AXIAL, None, size, rule, fit), **more)  # type: ignore[arg-type]


def test_neighbours_are_the_slices_before_and_after_and_the_ends_are_repeated() -> None:
    made = volume(RNG.integers(0, 200, (5, 12, 10)).astype(np.int16))
    plain = Slicer.of(made, prepare((12, 10)))
    near = Slicer.of(made, prepare((12, 10), neighbours=2))
    single = [plain.tensor(k)[0, 0] for k in range(5)]
    for k, wanted in {0: (0, 0, 0, 1, 2), 1: (0, 0, 1, 2, 3), 2: (0, 1, 2, 3, 4), 4: (2, 3, 4, 4, 4)}.items():
        tensor = near.tensor(k)
        assert (tensor.shape, tensor.dtype) == ((1, 5, 12, 10), np.float32)
        np.testing.assert_array_equal(tensor[0], [single[at] for at in wanted])


def test_stretched_edges_lie_on_edges() -> None:
    """Twice and three times as large: a ramp stays a ramp, to the outermost half pixel, and the way back undoes it."""
    ramp = np.add.outer(np.arange(20.0), 2 * np.arange(10.0))
    slicer = Slicer.of(volume(ramp[None].astype(np.int16)), prepare((40, 30)))
    seen = slicer.tensor(0)[0, 0] * 200
    expected = np.add.outer((np.arange(40) + 0.5) / 2 - 0.5, 2 * ((np.arange(30) + 0.5) / 3 - 0.5))
    np.testing.assert_allclose(seen[1:-1, 2:-2], expected[1:-1, 2:-2], atol=0.1)  # beyond, there is half of outside
    back = slicer.where.onto_slice(seen)
    np.testing.assert_allclose(back[1:-1, 1:-1], ramp[1:-1, 1:-1], atol=0.1)
    assert slicer.where.extent == pytest.approx((0, 0, 20, 10))


def test_an_image_fits_inside_with_its_aspect_and_nothing_beside_it() -> None:
    tall = volume(np.full((1, 80, 20), 100, np.int16))
    slicer = Slicer.of(tall, prepare((40, 40), "inside"))
    seen = slicer.tensor(0)[0, 0]
    assert (seen[1:-1, 16:24] == 0.5).all()
    assert (seen[:, :14] == 0).all()
    assert (seen[:, 26:] == 0).all()
    assert slicer.where.extent == pytest.approx((0, -30, 80, 50))
    box = slicer.where.edges_on_slice((10, 15, 20, 25))
    assert box == pytest.approx((20, 0, 40, 20))


def test_an_axis_that_does_not_shrink_is_not_smoothed() -> None:
    """Rows of noise become four times fewer, columns stay: what differs from column to column is still there."""
    columns = np.resize([0, 200], 32)
    seen = Slicer.of(volume(np.tile(columns, (128, 1))[None].astype(np.int16)), prepare((32, 32))).tensor(0)[0, 0]
    np.testing.assert_allclose(seen[4:-4], np.tile(columns / 200, (24, 1)), atol=1e-5)


@pytest.mark.parametrize("shrink", [3, 4, 5.5, 9.1])
def test_a_place_stays_where_it_is_however_much_the_image_shrinks(shrink: float) -> None:
    rows, columns = round(60 * shrink), round(80 * shrink)
    y, x = np.mgrid[:rows, :columns]
    at = 0.37 * rows, 0.61 * columns
    spot = 1000 * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * (2 * shrink) ** 2))
    seen = Slicer.of(volume(spot[None].astype(np.int16)), prepare((60, 80))).tensor(0)[0, 0]
    rows_seen, columns_seen = np.mgrid[:60, :80]
    weight = seen - seen.min()
    centre = [float((weight * axis).sum() / weight.sum()) for axis in (rows_seen, columns_seen)]
    expected = [
        (place + 0.5) * small / large - 0.5 for place, small, large in zip(at, (60, 80), (rows, columns), strict=True)
    ]
    assert centre == pytest.approx(expected, abs=0.05)


def test_colour_comes_as_red_green_and_blue() -> None:
    voxels = RNG.integers(0, 256, (2, 9, 7, 3)).astype(np.uint8)
    grid = box_grid((2, 9, 7), oriented=False, calibrated=False)
    rule = IntensityRule("window", (0.0, 1.0), 0.0, 255.0)
    slicer = Slicer.of(volume(voxels, grid), prepare((9, 7), "inside", rule, channels="rgb"))
    tensor = slicer.tensor(1)
    assert tensor.shape == (1, 3, 9, 7)
    np.testing.assert_allclose(tensor[0], voxels[1].transpose(2, 0, 1) / 255, atol=1e-6)
    beside = Slicer.of(volume(voxels, grid), prepare((9, 21), "inside", replace(rule, clip=(0.1, 0.9)), channels="rgb"))
    np.testing.assert_allclose(beside.tensor(0)[0, :, :, :6], 0.1, atol=1e-6)


def test_percentiles_of_the_image_become_0_and_1() -> None:
    values = RNG.permutation(np.arange(1001.0))
    rule = normaliser(IntensityRule("percentile", (0.0, 1.0), 1.0, 99.0), values)
    np.testing.assert_allclose(rule(np.array([0, 10, 500, 990, 1000])), [0, 0, 0.5, 1, 1], atol=1e-6)
    flat = normaliser(IntensityRule("percentile", (0.0, 1.0), 1.0, 99.0), np.full(9, 7.0))
    assert np.isfinite(flat(np.array([7.0, 8.0]))).all()


def _reversed(made: Volume) -> Volume:
    encoding = replace(made.stack.encoding, photometric="MONOCHROME1")
    return replace(made, stack=replace(made.stack, encoding=encoding))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_the_model_sees_reversed_grey_as_any_other(dtype: str) -> None:
    """The same picture stored the other way round, with rescale and padding: the same tensor."""
    ends = np.iinfo(dtype)
    stored = RNG.integers(0, 200, (2, 8, 8)).astype(dtype)
    stored[0, 0, 0] = 0
    turned = (int(ends.max) + int(ends.min) - stored.astype(np.int64)).astype(dtype)
    rule = IntensityRule("window", (0.0, 1.0), 20.0, 300.0)
    plain = Slicer.of(volume(stored, slope=2.0, intercept=-30.0), prepare((8, 8), rule=rule))
    other = Slicer.of(_reversed(volume(turned, slope=2.0, intercept=-30.0)), prepare((8, 8), rule=rule))
    np.testing.assert_array_equal(other.tensor(1), plain.tensor(1))
    turned[:, :, :3] = ends.min
    padded = _reversed(volume(turned, slope=2.0, intercept=-30.0, padding=(ends.min, ends.min)))
    assert (Slicer.of(padded, prepare((8, 8), rule=rule)).tensor(0)[0, 0, :, :3] == 0).all(), "padding is white"


def test_reversed_grey_of_a_table_is_turned_within_the_table() -> None:
    voxels = RNG.integers(0, 100, (1, 6, 6)).astype(np.int16)
    table = Lut(0, np.arange(100) * 3.0 + 7)
    picture = Slicer.of(_reversed(volume(voxels, modality_lut=table)), prepare((6, 6))).picture(0)
    np.testing.assert_allclose(picture, 7 + 99 * 3 - voxels[0] * 3)


def test_parts_much_smaller_than_the_largest_are_dropped() -> None:
    voxels = np.zeros((3, 12, 12), bool)
    voxels[0, :4, :5], voxels[2, 8:, :2], voxels[2, 0, 8:] = True, True, True  # 20, 8 and 4 voxels
    grid = box_grid(voxels.shape)

    def kept(keep: float, least: float = 0.0) -> list[int]:
        return [mask.count for mask in components(voxels, grid, least, keep)]

    assert kept(0.0) == kept(0.2) == [20, 8, 4]
    assert kept(0.21) == kept(0.4) == [20, 8]
    assert kept(0.0, 0.005) == [20, 8]
    assert kept(0.41) == kept(1.0) == [20]


def test_a_volume_is_freed_with_the_last_who_looks_at_it() -> None:
    made = volume(RNG.integers(0, 200, (5, 12, 10)).astype(np.int16))
    gone = weakref.ref(made)
    slicer = Slicer.of(made, prepare((12, 10), neighbours=1))
    slicer.tensor(2)
    gc.disable()
    try:
        del made, slicer
        assert gone() is None
    finally:
        gc.enable()
