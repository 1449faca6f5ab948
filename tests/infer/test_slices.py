"""A slice comes to the model's canvas in true millimetres and back to where it was. SimpleITK is the judge."""

from __future__ import annotations

import gc
import weakref
from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from overread.domain.geometry import Grid, Plane, plane_axes
from overread.domain.study import Lut
from overread.imaging.intensity import IntensityRule
from overread.infer import slices
from overread.infer.manifest import Prepare
from overread.infer.slices import Slicer, placement
from support.values import box_grid, volume

RULE = IntensityRule("median-spread", (-3.0, 6.0))
sizes = st.tuples(st.integers(8, 90), st.integers(8, 90))
spacings = st.tuples(st.floats(0.3, 3.0), st.floats(0.3, 3.0))


def prepare(spacing: tuple[float, float] = (0.9, 0.9), size: tuple[int, int] = (96, 128)) -> Prepare:
    return Prepare(Plane.AXIAL, spacing, size, RULE)


def centred(pixels: NDArray[np.float32], spacing: tuple[float, float]) -> sitk.Image:
    """A picture whose centre lies at 0 mm."""
    image = sitk.GetImageFromArray(pixels)
    image.SetSpacing(spacing[::-1])
    image.SetOrigin([-(n - 1) / 2 * mm for n, mm in zip(pixels.shape[::-1], spacing[::-1], strict=True)])
    return image


def smooth(size: tuple[int, int], seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    return sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(noise), 1.5)) * 10


def resampled(picture: sitk.Image, onto: sitk.Image) -> NDArray[np.float32]:
    return sitk.GetArrayFromImage(sitk.Resample(picture, onto))


def reach(
    size: tuple[int, int], mm: tuple[float, float], other: tuple[int, int], other_mm: tuple[float, float]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pixels of the other picture lie between pixels of this one, and which lie more than a pixel beyond it."""
    away = [
        np.abs((np.arange(n) - (n - 1) / 2) * s / t) - (m - 1) / 2
        for n, s, m, t in zip(other, other_mm, size, mm, strict=True)
    ]
    farthest = np.maximum(away[0][:, None], away[1][None])
    return farthest <= 0, farthest > 1.01


@settings(max_examples=60, deadline=None)
@given(sizes, spacings, spacings, sizes, st.integers(0, 99))
def test_onto_the_canvas_and_back_as_simpleitk_resamples(
    size: tuple[int, int], mm: tuple[float, float], model_mm: tuple[float, float], canvas: tuple[int, int], seed: int
) -> None:
    assume(max(m / s for m, s in zip(model_mm, mm, strict=True)) <= 1.5)  # beyond, slices are smoothed first
    where = placement(prepare(model_mm, canvas), size, mm)
    picture, answer = smooth(size, seed), smooth(canvas, seed + 1)
    seen, back = where.onto_canvas(picture, fill=-7), where.onto_slice(answer)
    there, here = centred(picture, mm), centred(answer, model_mm)
    within, beyond = reach(size, mm, canvas, model_mm)
    np.testing.assert_allclose(seen[within], resampled(there, here)[within], atol=0.15)
    assert (seen[beyond] == -7).all()
    within, beyond = reach(canvas, model_mm, size, mm)
    np.testing.assert_allclose(back[within], resampled(here, there)[within], atol=0.15)
    assert (back[beyond] == 0).all()


@settings(max_examples=60, deadline=None)
@given(st.data(), spacings, spacings)
def test_a_disc_goes_and_comes_back_to_its_place_and_size(
    data: st.DataObject, mm: tuple[float, float], model_mm: tuple[float, float]
) -> None:
    """Even where the slice is much finer than the canvas: centre within half a coarse pixel, area within a tenth."""
    coarse = max(*mm, *model_mm)
    radius = data.draw(st.floats(6, 10)) * coarse
    half = 2.2 * radius
    size, canvas = (tuple(int(np.ceil(2 * half / s)) + 2 for s in spacing) for spacing in (mm, model_mm))
    place = np.array(data.draw(st.tuples(st.floats(-1, 1), st.floats(-1, 1)))) * radius
    rows, columns = np.indices(size)
    down, across = (rows - (size[0] - 1) / 2) * mm[0], (columns - (size[1] - 1) / 2) * mm[1]
    disc = ((down - place[0]) ** 2 + (across - place[1]) ** 2 <= radius**2).astype(np.float32)
    where = placement(prepare(model_mm, canvas), size, mm)  # type: ignore[arg-type]
    back = where.onto_slice(where.onto_canvas(disc, fill=0.0)) >= 0.5
    centre = np.array([down[back].mean(), across[back].mean()])
    assert np.abs(centre - place).max() <= coarse / 2
    assert back.sum() * mm[0] * mm[1] == pytest.approx(np.pi * radius**2, rel=0.1)


ORIENTATIONS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


@pytest.mark.parametrize("plane", list(Plane))
def test_every_slice_has_its_own_slope_and_intercept_in_every_plane(plane: Plane) -> None:
    rng = np.random.default_rng(5)
    voxels = rng.integers(-900, 900, (5, 6, 7)).astype(np.int16)
    slope, intercept = rng.uniform(0.5, 3, 5), rng.uniform(-100, 100, 5)
    real = voxels * slope[:, None, None] + intercept[:, None, None]
    for order, signs in ORIENTATIONS:
        affine = np.eye(4)
        affine[:3, :3] = np.eye(3)[:, order] * signs * (4.0, 1.5, 1.0)
        grid = Grid(voxels.shape, affine)
        made = volume(voxels, grid, slope=list(slope), intercept=list(intercept))
        slicer = Slicer.of(made, Prepare(plane, (0.9, 0.9), (32, 32), RULE))
        axes = plane_axes(grid, plane)
        assert slicer.count == voxels.shape[axes.through]
        for index in range(slicer.count):
            np.testing.assert_allclose(slicer.picture(index), axes.picture(real, index), atol=1e-3)


def test_the_model_sees_real_values_however_they_are_stored() -> None:
    """The same head stored with one scale for all slices, with one a slice, and as uint16: the same tensor."""
    rng = np.random.default_rng(6)
    real = np.rint(rng.gamma(2.0, 200.0, (4, 40, 40)))
    plain = volume(real.astype(np.int16), slope=1.0, intercept=0.0)
    slope = np.array([0.5, 0.25, 0.5, 1.0])
    each = volume((real / slope[:, None, None]).astype(np.int16), slope=list(slope))
    shifted = volume((real + 1024).astype(np.uint16), intercept=-1024.0)
    slicers = [Slicer.of(v, prepare()) for v in (plain, each, shifted)]
    for index in range(4):
        first, *others = (slicer.tensor(index) for slicer in slicers)
        assert first.shape == (1, 1, 96, 128)
        assert first.dtype == np.float32
        for other in others:
            np.testing.assert_allclose(other, first, atol=1e-5)


def test_the_model_sees_the_same_whatever_the_unit_of_the_scanner() -> None:
    rng = np.random.default_rng(7)
    stored = rng.integers(0, 2000, (4, 40, 40)).astype(np.int16)
    one, other = volume(stored), volume(stored, slope=0.037, intercept=11.0)
    np.testing.assert_allclose(Slicer.of(one, prepare()).tensor(2), Slicer.of(other, prepare()).tensor(2), atol=1e-4)


def test_outside_the_slice_the_canvas_is_dark() -> None:
    voxels = np.random.default_rng(8).integers(100, 900, (3, 20, 20)).astype(np.int16)
    tensor = Slicer.of(volume(voxels, box_grid((3, 20, 20), (3, 0.9, 0.9))), prepare()).tensor(1)[0, 0]
    outside = np.ones(tensor.shape, bool)
    outside[38:58, 54:74] = False
    assert (tensor[outside] == RULE.clip[0]).all()
    assert (tensor[~outside] > RULE.clip[0]).mean() > 0.9


def test_a_modality_lut_is_as_good_as_a_slope() -> None:
    voxels = np.random.default_rng(11).integers(0, 900, (4, 30, 30)).astype(np.int16)
    table = Lut(0, np.arange(900) * 2.0 + 40)
    plain, looked_up = volume(voxels, slope=2.0, intercept=40.0), volume(voxels, modality_lut=table)
    np.testing.assert_allclose(
        Slicer.of(looked_up, prepare()).tensor(2), Slicer.of(plain, prepare()).tensor(2), atol=1e-5
    )


@pytest.mark.parametrize("value", [-32768, 32767, 0])
@pytest.mark.parametrize("plane", list(Plane))
def test_padding_is_as_dark_as_the_darkest(plane: Plane, value: int) -> None:
    """Whatever value a scanner fills the corners with: the model sees what it would see without the filling."""
    rng = np.random.default_rng(10)
    dark = rng.gamma(2.0, 200.0, (6, 30, 30)).astype(np.int16) + 5
    dark[:, :, :9] = dark[:, :, 9:].min()
    filled = dark.copy()
    filled[:, :, :9] = value
    asked = Prepare(plane, (0.9, 0.9), (64, 64), RULE)
    expected = Slicer.of(volume(dark, slope=0.5), asked)
    seen = Slicer.of(volume(filled, slope=0.5, padding=(value, value)), asked)
    for index in range(seen.count):
        np.testing.assert_array_equal(seen.tensor(index), expected.tensor(index))


@pytest.mark.parametrize("value", [0, 77])
def test_an_empty_image_gives_numbers(value: int) -> None:
    tensor = Slicer.of(volume(np.full((3, 20, 20), value, np.int16)), prepare()).tensor(0)
    assert np.isfinite(tensor).all()


def test_a_fine_slice_is_averaged_not_sampled() -> None:
    """Noise of a slice three times finer than the canvas: averaged over nine pixels little of it is left."""
    noise = np.random.default_rng(9).normal(size=(288, 384)).astype(np.float32)
    seen = placement(prepare((0.9, 0.9)), noise.shape, (0.3, 0.3)).onto_canvas(noise, fill=0.0)
    assert seen[8:-8, 8:-8].std() < 0.35


def test_models_that_want_to_see_the_same_prepare_a_slice_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[float] = []
    real = slices.prepared
    monkeypatch.setattr(slices, "prepared", lambda *words: made.append(1.0) or real(*words))
    shown = volume(np.random.default_rng(1).integers(0, 900, (4, 40, 40)).astype(np.int16))
    one, same, other = (Slicer.of(shown, prepare(size=size)) for size in ((96, 128), (96, 128), (64, 64)))
    assert one is same
    assert one is not other
    np.testing.assert_array_equal(one.tensor(2), same.tensor(2))
    assert len(made) == 1
    other.tensor(2)
    assert len(made) == 2
    assert Slicer.of(volume(shown.voxels), prepare()) is not one, "another volume"


def test_a_volume_that_nobody_reads_any_more_is_let_go() -> None:
    shown = volume(np.zeros((3, 40, 40), np.int16))
    slicer = Slicer.of(shown, prepare())
    slicer.tensor(1)
    gone = weakref.ref(shown)
    del shown, slicer
    gc.collect()
    assert gone() is None


@settings(max_examples=60, deadline=None)
@given(sizes, st.floats(0.4, 2.5), st.tuples(st.floats(-20, 110), st.floats(-20, 110)), st.integers(0, 99))
def test_what_a_canvas_reaches_of_a_slice_is_all_that_comes_back(
    size: tuple[int, int], scale: float, middle: tuple[float, float], seed: int
) -> None:
    """On a part of the slice the same comes back as on all of it, and beyond that part there is nothing."""
    where = slices.centred((scale, scale), middle, size, (16, 24))
    canvas = np.random.default_rng(seed).random((16, 24), np.float32) + 1
    whole = where.onto_slice(canvas)
    row, column, end_row, end_column = window = where.window
    if end_row > row and end_column > column:
        part = where.cut(window).onto_slice(canvas)
        np.testing.assert_allclose(part, whole[row:end_row, column:end_column], atol=0.05)  # OpenCV counts in 1/32
        whole[row:end_row, column:end_column] = 0
    assert not whole.any()
