"""Grey values on the screen are those of the standard, judged by pydicom's own windowing."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.pixels import apply_windowing

from overread.domain.geometry import Plane, plane_axes
from overread.domain.study import Lut, Window
from overread.render.grey import grey, shaded, windowed
from support.values import box_grid, stack, volume


def by_pydicom(real: np.ndarray, window: Window) -> np.ndarray:
    image = Dataset()
    image.PhotometricInterpretation, image.BitsStored, image.PixelRepresentation = "MONOCHROME2", 16, 0
    image.WindowCenter, image.WindowWidth, image.VOILUTFunction = window.center, window.width, window.function
    with np.errstate(over="ignore"):
        return np.asarray(apply_windowing(real, image)) / 65535


@given(
    st.lists(st.floats(-3000, 5000), min_size=1, max_size=40),
    st.floats(-1000, 3000).map(lambda n: round(n, 2)),
    st.floats(1, 4000).map(lambda n: round(n, 2)),
    st.sampled_from(("LINEAR", "LINEAR_EXACT", "SIGMOID")),
)
@example([39.4, 39.5, 39.6, 40.0, 40.5], 40.0, 1.0, "LINEAR")
@example([-1.0, 0.0, 0.5, 1.0, 2.0], 0.5, 1.0, "LINEAR_EXACT")
def test_windows_are_those_of_the_standard(values: list[float], center: float, width: float, function: str) -> None:
    real, window = np.array(values), Window(center, width, "", function)
    assert np.allclose(windowed(real, window), by_pydicom(real, window), atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("width", [0.25, 1e-3, 0.0, -5.0])
def test_a_narrow_or_senseless_window_still_splits_dark_from_bright(function: str, width: float) -> None:
    shade = windowed(np.array([-1e4, 0.5, 1e4]), Window(0.5, width, "", function))
    assert np.allclose(shade, [0.0, 0.5, 1.0])


def test_a_window_narrower_than_one_shows_fractions() -> None:
    """Maps of fractions (0 … 1) need windows that LINEAR does not define."""
    shade = windowed(np.array([0.2, 0.4, 0.5, 0.6, 0.8]), Window(0.5, 0.4))
    assert np.allclose(shade, [0, 0.25, 0.5, 0.75, 1])


WINDOWS = (Window(40, 80), Window(10, 1), Window(30, 60, "", "SIGMOID"), Window(0.5, 0.2), Window(0, 1, "", "LUT"))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "float32"])
@pytest.mark.parametrize("plane", Plane)
@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -10.0), ([1, 2, 0.5, -1], [0, -20, 5, 60])])
def test_every_kind_of_voxel_goes_through_the_same_three_steps(
    dtype: str, plane: Plane, slope: Any, intercept: Any
) -> None:
    """Modality, then values of interest, then polarity; the fast table gives what the long way gives."""
    low, high = (-100, 100) if dtype.startswith("i") else (0, 200)
    voxels = np.random.default_rng(4).integers(low, high, (4, 5, 6)).astype(dtype)
    real = voxels.astype(np.float64) * np.reshape(slope, (-1, 1, 1)) + np.reshape(intercept, (-1, 1, 1))
    falling = Lut(-5, np.arange(30.0)[::-1])
    for photometric, window, invert in product(("MONOCHROME1", "MONOCHROME2"), WINDOWS, (False, True)):
        made = volume(voxels, slope=slope, intercept=intercept, photometric=photometric, voi_lut=falling)
        axes = plane_axes(made.grid, plane)
        index = made.grid.shape[axes.through] - 1
        picture = axes.picture(real, index)
        shade = windowed(picture, window)
        if window.function == "LUT":
            shade = 1 - np.clip(np.rint(picture) + 5, 0, 29) / 29
        if invert != (photometric == "MONOCHROME1"):
            shade = 1 - shade
        got = shaded(made, axes, index, window, invert)
        assert got.dtype == np.uint8
        assert np.abs(got - shade * 255).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_the_whole_range_of_stored_values_is_there(dtype: str) -> None:
    info = np.iinfo(dtype)
    voxels = np.array([info.min, -1 if info.min else 1, 0 if info.min else 2, info.max], dtype).reshape(1, 2, 2)
    made = volume(voxels)
    width = float(info.max) - float(info.min)
    window = Window(info.min + width / 2, width, "", "LINEAR_EXACT")
    got = shaded(made, plane_axes(made.grid, Plane.AXIAL), 0, window, False)
    assert (got[0, 0], got[1, 1]) == (0, 255)
    assert (np.diff(got.ravel().astype(int)) >= 0).all()


def test_a_modality_table_is_used_in_every_plane() -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    table = Lut(0, np.arange(24.0)[::-1] * 10)
    made = volume(voxels, slope=[1.0, 2.0], modality_lut=table)
    for plane in Plane:
        axes = plane_axes(made.grid, plane)
        expected = windowed(axes.picture(230 - voxels * 10.0, 1), Window(115, 230))
        got = shaded(made, axes, 1, Window(115, 230), False)
        assert np.abs(got - expected * 255).max() <= 0.5 + 1e-6


def test_two_stacks_never_share_a_table() -> None:
    """The same stored values of two images that differ only in what they mean."""
    voxels = np.array([[[5, 10]]], np.int16)
    for table in (None, Lut(0, np.full(11, 7.0))):
        made = volume(voxels, modality_lut=table)
        got = shaded(made, plane_axes(made.grid, Plane.AXIAL), 0, Window(7, 4, "", "LINEAR_EXACT"), False)
        assert got.tolist() == ([[0, 255]] if table is None else [[128, 128]])


def test_a_flat_table_shows_one_grey() -> None:
    made = stack(box_grid((1, 1, 1)), voi_lut=Lut(0, np.full(4, 9.0)))
    assert grey(np.array([0.0, 3.0, 99.0]), made, Window(0, 1, "", "LUT"), False).tolist() == [0, 0, 0]
