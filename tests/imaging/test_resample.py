"""From grid to grid: SimpleITK and scikit-image say where values belong, and labels come back as they went."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.transform import resize

from overread.domain.errors import Cancelled
from overread.domain.geometry import Grid, letters
from overread.domain.ports import Cancel
from overread.imaging.resample import lone_axis, moved, orientation, refitted, respaced, turned
from support.values import as_image, box_grid, grids

ORIENTATIONS = ("HPL", "FAR", "LPH", "PHL", "RHA", "HLP")


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(grids(8, sheared=True), st.sampled_from(ORIENTATIONS))
def test_a_turned_grid_has_every_voxel_where_it_was(grid: Grid, wanted: str) -> None:
    turn = turned(grid, wanted)
    other = turn.grid(grid)
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    places = np.stack([turn.view(index[..., axis]) for axis in range(3)], axis=-1)
    assert np.abs(other.to_lps(np.moveaxis(np.indices(other.shape), 0, -1)) - grid.to_lps(places)).max() < 1e-6
    assert np.shares_memory(turn.view(index[..., 0]), index)


@given(grids(4))
def test_turned_axes_point_the_nearest_way(grid: Grid) -> None:
    other = turned(grid, "HPL").grid(grid)
    cosines = other.directions[[2, 1, 0], [0, 1, 2]]
    best = max(
        np.abs(grid.directions[[2, 1, 0], order]).sum()
        for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
    )
    assert cosines.sum() == pytest.approx(best)


def test_letters_that_leave_an_axis_out_are_refused() -> None:
    assert orientation("FAR") == "FAR"
    for wrong in ("HPP", "HP", "HPS", "RAL", ""):
        with pytest.raises(ValueError, match="orientation"):
            orientation(wrong)
    straight = turned(box_grid((2, 3, 4)), "FAR").grid(box_grid((2, 3, 4)))
    assert [letters(straight.directions[:, n]) for n in range(3)] == ["F", "A", "R"]


@given(grids(12, sheared=True), st.tuples(*[st.floats(0.3, 9)] * 3))
def test_a_respaced_grid_covers_the_same_box(grid: Grid, spacing: tuple[float, float, float]) -> None:
    other = respaced(grid, spacing)
    for corner in ((0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 1)):
        ours = other.to_lps(np.array(corner) * other.shape - 0.5)
        assert np.abs(ours - grid.to_lps(np.array(corner) * grid.shape - 0.5)).max() < 1e-6
    for n, had, wanted, new in zip(other.shape, grid.shape, spacing, grid.spacing, strict=True):
        assert n == max(1, round(had * new / wanted))


@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("shape", [(7, 33, 31), (20, 20, 50), (11, 20, 31), (1, 1, 1), (40, 6, 9)])
def test_refitted_is_what_scikit_image_makes_of_it(shape: tuple[int, int, int], cubic: bool) -> None:
    values = noise((11, 20, 31))
    theirs = resize(
        values.astype(np.float64), shape, order=3 if cubic else 1, mode="edge", anti_aliasing=False, clip=False
    )
    assert np.abs(refitted(values, shape, Cancel(), cubic=cubic) - theirs).max() < 2e-6


def nnunet_apart(values: np.ndarray, shape: tuple[int, ...], axis: int, order: int) -> np.ndarray:
    """`resample_data_or_seg` of nnU-Net v2 with `do_separate_z` and `order_z` 0, for one channel."""
    planes = [np.take(values, n, axis).astype(np.float64) for n in range(values.shape[axis])]
    flat = tuple(n for at, n in enumerate(shape) if at != axis)
    fitted = np.stack(
        [resize(p, flat, order=order, mode="edge", anti_aliasing=False, clip=False) for p in planes], axis
    )
    scale = values.shape[axis] / shape[axis]
    places = np.indices(shape, dtype=np.float64)
    places[axis] = scale * (places[axis] + 0.5) - 0.5
    return np.asarray(ndimage.map_coordinates(fitted, places, order=0, mode="nearest"))


@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(7, 33, 31), (20, 11, 50), (22, 40, 15)])
def test_a_lone_axis_is_resampled_as_nnunet_does_it(shape: tuple[int, int, int], axis: int, cubic: bool) -> None:
    values = noise((11, 20, 31))
    theirs = nnunet_apart(values, shape, axis, 3 if cubic else 1)
    assert np.abs(refitted(values, shape, Cancel(), cubic=cubic, nearest=axis) - theirs).max() < 2e-6


def test_which_axis_is_alone() -> None:
    assert lone_axis((5.0, 1.0, 1.0), (1.0, 1.0, 1.0)) == 0
    assert lone_axis((1.0, 1.0, 1.0), (1.0, 1.0, 3.5)) == 2
    assert lone_axis((3.0, 1.0, 1.0), (3.0, 1.0, 1.0)) is None  # three times is not more than three times
    assert lone_axis((4.0, 4.0, 1.0), (5.0, 1.0, 1.0)) is None  # two are the coarsest
    assert lone_axis((1.0, 7.0, 2.0), (5.0, 1.0, 1.0)) == 1


@settings(max_examples=30)
@given(grids(9), st.tuples(*[st.floats(0.5, 4)] * 3))
def test_refitted_is_what_simpleitk_makes_of_an_oblique_grid(grid: Grid, spacing: tuple[float, float, float]) -> None:
    other = respaced(grid, spacing)
    values = noise(grid.shape)
    theirs = sitk.Resample(as_image(grid, values), as_image(other), sitk.Transform(), sitk.sitkLinear, float("nan"))
    theirs = sitk.GetArrayFromImage(theirs)
    ours = refitted(values, other.shape, Cancel())
    inside = np.isfinite(theirs)  # at the very edge SimpleITK may round a voxel out of the image
    assert inside.mean() > 0.5
    assert np.abs(ours - theirs)[inside].max() < 2e-4 * max(1, np.abs(values).max())


@pytest.mark.parametrize("seed", range(4))
def test_moved_is_what_simpleitk_makes_of_it(seed: int) -> None:
    chance = np.random.default_rng(seed)

    def lying(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
        turn = sitk.Euler3DTransform((0.0, 0.0, 0.0), *chance.uniform(-0.4, 0.4, 3).tolist())
        affine = np.eye(4)
        affine[:3, :3] = np.array(turn.GetMatrix()).reshape(3, 3)[:, ::-1] * spacing
        affine[:3, 3] = chance.uniform(-5, 5, 3) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
        return Grid(shape, affine)

    grid, onto = lying((11, 20, 31), (5, 1, 0.9)), lying((25, 24, 23), (2, 1.3, 1.1))
    motion = sitk.Euler3DTransform((1.0, 2.0, 3.0), *chance.uniform(-0.2, 0.2, 3).tolist(), (3.0, -4.0, 5.0))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(motion.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = motion.TransformPoint((0.0, 0.0, 0.0))
    values = noise(grid.shape)
    theirs = sitk.Resample(as_image(grid, values), as_image(onto), motion, sitk.sitkLinear, -9.0, sitk.sitkFloat32)
    ours = moved(values, grid, onto, matrix, Cancel(), fill=-9.0)
    assert 0.02 < (ours > -9).mean() < 1
    assert np.abs(ours - sitk.GetArrayFromImage(theirs)).max() < 1e-4


def test_labels_come_back_as_they_went() -> None:
    """Round things keep their voxels on a grid as fine as theirs, and all but their rim on a coarser one."""
    k, j, i = np.indices((30, 60, 64)).astype(np.float32)
    labels = np.zeros(k.shape, np.uint8)
    labels[(k * 2 - 28) ** 2 + (j - 28) ** 2 + (i - 30) ** 2 < 22**2] = 1
    labels[(k * 2 - 30) ** 2 + (j - 24) ** 2 + (i - 34) ** 2 < 11**2] = 2
    grid = box_grid(labels.shape, (2, 1, 1))
    for spacing, least in (((2.0, 1.0, 1.0), 1.0), ((1.0, 0.7, 0.7), 1.0), ((2.5, 1.5, 1.5), 0.97)):
        shape = respaced(grid, spacing).shape
        there = [refitted((labels == n).astype(np.float32), shape, Cancel()) for n in range(3)]
        back = np.argmax([refitted(part, grid.shape, Cancel()) for part in there], axis=0)
        for n in (1, 2):
            assert 2 * ((back == n) & (labels == n)).sum() / ((back == n).sum() + (labels == n).sum()) >= least
            assert ndimage.label(back == n)[1] == 1


def test_called_off_it_ends_at_once() -> None:
    values, grid = np.zeros((60, 128, 128), np.float32), box_grid((60, 128, 128))
    cancel = Cancel()
    threading.Timer(0.01, cancel.cancel).start()
    with pytest.raises(Cancelled):
        refitted(values, (400, 700, 700), cancel)
    with pytest.raises(Cancelled):
        moved(values, grid, grid, np.eye(4), cancel)
