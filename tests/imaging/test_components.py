"""Separate things are told apart as SimpleITK does it, the largest first; grey values come to a model alike."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from overread.imaging.components import components, joined
from overread.imaging.intensity import IntensityRule, Normaliser, normaliser
from support.values import box_grid, masks


@given(masks(10), st.floats(0, 0.02), st.tuples(*[st.floats(0.3, 5)] * 3))
def test_components_are_those_of_simpleitk(
    voxels: np.ndarray, least_ml: float, spacing: tuple[float, float, float]
) -> None:
    grid = box_grid(voxels.shape, spacing)
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(voxels.astype(np.uint8)), True))
    parts = [labels == label for label in range(1, int(labels.max()) + 1)]
    expected = sorted(
        (part.tobytes() for part in parts if part.sum() * grid.voxel_mm3 / 1000 >= least_ml),
    )
    found = list(components(voxels, grid, least_ml))
    assert sorted(mask.voxels.tobytes() for mask in found) == expected
    assert [mask.count for mask in found] == sorted((mask.count for mask in found), reverse=True)
    assert all(mask.shape == grid.shape for mask in found)


def test_what_only_touches_at_a_corner_is_one_thing_and_the_limit_is_kept_exactly() -> None:
    voxels = np.zeros((4, 4, 4), np.bool_)
    voxels[0, 0, 0] = voxels[1, 1, 1] = voxels[3, 3, 3] = True
    grid = box_grid(voxels.shape, (2, 2, 2))
    assert [mask.count for mask in components(voxels, grid, 0.0)] == [2, 1]
    assert [mask.count for mask in components(voxels, grid, 0.016)] == [2]
    assert list(components(voxels, grid, 0.0161)) == []


HEAD = IntensityRule("median-spread", (-3.0, 6.0))


def head(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    voxels = rng.integers(0, 40, (6, 40, 40))
    voxels[:, 8:30, 10:32] += rng.integers(200, 500, (6, 22, 22))
    return voxels.astype(np.int16)


@given(st.floats(0.01, 50), st.floats(-2000, 2000))
def test_a_model_sees_the_same_whatever_the_scale_of_the_scanner(gain: float, offset: float) -> None:
    voxels = head()
    other = voxels * gain + offset
    one = normaliser(HEAD, voxels)(voxels)
    assert np.allclose(normaliser(HEAD, other)(other), one, atol=2e-3)
    assert one.dtype == np.float32


def test_the_head_lies_around_zero_with_a_spread_of_one() -> None:
    voxels = head()
    seen = normaliser(HEAD, voxels)(voxels)
    body = seen[voxels > voxels.mean()]
    low, middle, high = np.percentile(body, (10, 50, 90))
    assert middle == pytest.approx(0, abs=1e-5)
    assert high - low == pytest.approx(1, abs=1e-5)
    assert seen.min() >= -3.0
    assert seen.max() <= 6.0


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
def test_any_stored_type_is_normalised_alike(dtype: str) -> None:
    voxels = head().clip(0, 255)
    assert np.allclose(normaliser(HEAD, voxels.astype(dtype))(voxels.astype(dtype)), normaliser(HEAD, voxels)(voxels))


def test_a_window_maps_its_ends_to_nought_and_one() -> None:
    seen = normaliser(IntensityRule("window", (0.0, 1.0), low=-1000, high=400), head())
    assert seen(np.array([-2000.0, -1000.0, -300.0, 400.0, 3000.0])).tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("voxels", [np.zeros((2, 3, 3)), np.full((2, 3, 3), 7)])
def test_an_even_image_is_nothing_to_measure_but_breaks_nothing(voxels: np.ndarray) -> None:
    made = normaliser(HEAD, voxels)
    assert not made(voxels).any()


def test_the_image_itself_is_left_alone() -> None:
    real = np.array([1.0, 2.0], np.float32)
    Normaliser(1.0, 0.5, (0.0, 1.0))(real)
    assert real.tolist() == [1.0, 2.0]


def test_rules_have_names() -> None:
    with pytest.raises(ValueError, match="unknown intensity rule 'histogram'"):
        normaliser(IntensityRule("histogram", (0, 1)), head())


def test_parts_that_belong_together_are_one() -> None:
    voxels = np.zeros((3, 8, 8), np.bool_)
    voxels[0, 1:3, 1:3] = True
    voxels[2, 5:8, 5:8] = True
    voxels[1, 0, 7] = True
    (whole,) = joined(components(voxels, box_grid((3, 8, 8)), 0.0, keep=0.2))
    voxels[1, 0, 7] = False
    assert np.array_equal(whole.voxels, voxels)
    assert list(joined([])) == []
