"""Grid arithmetic and planes, judged by SimpleITK's own."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, example, given
from hypothesis import strategies as st

from overread.domain.geometry import (
    Grid,
    Plane,
    acquired_plane,
    body_axes,
    edge_letters,
    letters,
    nearest,
    plane_axes,
)
from support.values import as_image, box_grid, grids

INDICES = st.tuples(*[st.floats(-50, 50)] * 3)


@given(grids(), INDICES)
def test_positions_are_those_of_simpleitk(grid: Grid, index: tuple[float, float, float]) -> None:
    image = as_image(grid)
    there = image.TransformContinuousIndexToPhysicalPoint(index[::-1])
    assert np.allclose(grid.to_lps(index), there, atol=1e-6)
    assert np.allclose(grid.to_index(there), index, atol=1e-6)
    ends = product(*[(0, n - 1) for n in grid.shape])
    corners = [image.TransformIndexToPhysicalPoint((i, j, k)) for k, j, i in ends]
    assert np.allclose(grid.corners, corners, atol=1e-6)
    assert np.allclose(grid.spacing, image.GetSpacing()[::-1])
    assert grid.voxel_mm3 == pytest.approx(np.prod(image.GetSpacing()))


@given(grids(sheared=True), INDICES)
def test_there_and_back_again_on_sheared_grids(grid: Grid, index: tuple[float, float, float]) -> None:
    assert np.allclose(grid.to_index(grid.to_lps(index)), index, atol=1e-7)
    many = np.array([[index, index], [index, index]])
    assert grid.to_lps(many).shape == (2, 2, 3)
    assert np.allclose(grid.to_lps(many), grid.to_lps(index))
    assert np.allclose(np.linalg.norm(grid.directions, axis=0), 1)


def test_a_gantry_tilt_keeps_the_volume_of_a_voxel() -> None:
    tilted = box_grid((2, 2, 2), (4, 0.5, 0.5)).affine.copy()
    tilted[1, 0] = 1.3  # each slice lies that much further back
    assert Grid((2, 2, 2), tilted).voxel_mm3 == pytest.approx(1.0)
    assert Grid((2, 2, 2), tilted).spacing[0] == pytest.approx(np.hypot(4, 1.3))


def test_grids_are_values() -> None:
    affine = np.eye(4)
    grid = Grid((2, 3, 4), affine)
    affine[0, 3] = 7
    assert grid == Grid((2, 3, 4), np.eye(4)), "a grid keeps numbers of its own"
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 2
    assert grid != Grid((2, 3, 5), np.eye(4))
    assert grid != Grid((2, 3, 4), affine)
    assert grid != Grid((2, 3, 4), np.eye(4), oriented=False)
    assert grid != Grid((2, 3, 4), np.eye(4), calibrated=False)
    assert grid != "grid"


def test_equal_grids_have_equal_hashes_whatever_the_sign_of_zero() -> None:
    minus = np.where(np.eye(4) == 0, -0.0, np.eye(4))
    assert Grid((1, 1, 1), minus) == Grid((1, 1, 1), np.eye(4))
    assert len({Grid((1, 1, 1), minus), Grid((1, 1, 1), np.eye(4))}) == 1


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((1, 1, 1), np.eye(3)),
        ((1, 1, 1), np.diag([1.0, np.nan, 1, 1])),
        ((1, 1, 1), np.diag([1.0, np.inf, 1, 1])),
        ((1, 1, 1), np.diag([1.0, 0, 1, 1])),
        ((0, 1, 1), np.eye(4)),
        ((1, 1), np.eye(4)),
    ],
)
def test_no_grid_without_three_axes_and_a_voxel(shape: tuple[int, int, int], affine: np.ndarray) -> None:
    with pytest.raises(ValueError, match="grid"):
        Grid(shape, affine)


@given(grids())
def test_the_same_place_within_a_tolerance(grid: Grid) -> None:
    moved = grid.affine.copy()
    moved[:3, 3] += 5e-4
    assert grid.same_as(Grid(grid.shape, moved))
    moved[:3, 3] += 5e-3
    assert not grid.same_as(Grid(grid.shape, moved))
    k, j, i = grid.shape
    assert not grid.same_as(Grid((k + 1, j, i), grid.affine))


def test_half_way_between_voxels_no_voxel_is_left_out() -> None:
    assert nearest([-0.5, 0.5, 1.5]).tolist() == [0, 1, 2]
    assert nearest([2.5, 3.49, -0.51]).tolist() == [3, 3, -1]


@given(grids(), INDICES)
def test_the_nearest_voxel_is_on_the_grid(grid: Grid, index: tuple[float, float, float]) -> None:
    clamped = grid.clamp(index)
    every = np.array(list(product(*map(range, grid.shape))))
    off = np.abs(every - index).sum(axis=1)
    assert off[np.ravel_multi_index(clamped, grid.shape)] <= off.min() + 1e-9


def as_lps(grid: Grid, voxels: np.ndarray) -> np.ndarray:
    """The voxels in the order (S, P, L), as SimpleITK turns them."""
    return sitk.GetArrayFromImage(sitk.DICOMOrient(as_image(grid, voxels), "LPS"))


@given(grids(most=7))
def test_pictures_lie_as_radiologists_expect(grid: Grid) -> None:
    """Patient's right on the left of the screen; the oracle is SimpleITK's turning into the axes L, P, S."""
    strongest = np.abs(grid.directions).argmax(axis=0)
    assume(sorted(strongest) == [0, 1, 2])  # else two ways of naming the axes are as good
    voxels = np.arange(np.prod(grid.shape), dtype=np.int32).reshape(grid.shape)
    spl = as_lps(grid, voxels)
    expected = {
        Plane.AXIAL: list(spl),
        Plane.CORONAL: list(spl[::-1].swapaxes(0, 1)),
        Plane.SAGITTAL: list(spl[::-1].transpose(2, 0, 1)),
    }
    for plane, pictures in expected.items():
        axes = plane_axes(grid, plane)
        count = grid.shape[axes.through]
        shown = [axes.picture(voxels, index) for index in range(count)]
        assert sorted(picture.tobytes() for picture in pictures) == sorted(picture.tobytes() for picture in shown)
        assert shown[0].shape == axes.size(grid.shape)
        assert all(np.shares_memory(picture, voxels) for picture in shown)
        slabs = [axes.picture(voxels[axes.slab(index)], 0) for index in range(count)]
        assert all(np.array_equal(slab, picture) for slab, picture in zip(slabs, shown, strict=True))


@given(grids(most=9), st.sampled_from(Plane), st.data())
def test_a_place_in_the_picture_is_a_voxel(grid: Grid, plane: Plane, data: st.DataObject) -> None:
    axes = plane_axes(grid, plane)
    assert sorted((axes.through, axes.down, axes.across)) == [0, 1, 2]
    index = data.draw(st.tuples(*[st.integers(0, n - 1) for n in grid.shape]))
    voxels = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    row, column = axes.to_picture(index, grid.shape)
    assert axes.picture(voxels, index[axes.through])[int(row), int(column)] == voxels[index]
    assert tuple(axes.to_index(row, column, index[axes.through], grid.shape)) == index


@given(grids())
def test_letters_on_the_edges_say_where_the_picture_points(grid: Grid) -> None:
    """Walking to an edge moves the patient's position the way its letters say."""
    for plane in Plane:
        axes = plane_axes(grid, plane)
        named = edge_letters(grid, axes)
        here = grid.to_lps(axes.to_index(0, 0, 0, grid.shape))
        for letter, (row, column) in zip(named, ((0, -1), (0, 1), (-1, 0), (1, 0)), strict=True):
            way = grid.to_lps(axes.to_index(row, column, 0, grid.shape)) - here
            assert 1 <= len(letter) <= 2
            for name in letter:
                axis, sign = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "H": (2, 1), "F": (2, -1)}[name]
                assert way[axis] * sign > 0
            assert abs(way["LPH".index(letters(np.abs(way))[0])]) == np.abs(way).max()


@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3))
@example((1.0, 1.0, 1.0))
@example((-1.0, 0.0, -0.0))
def test_the_opposite_direction_has_the_opposite_letters(direction: tuple[float, float, float]) -> None:
    swapped = letters(direction).translate(str.maketrans("LRPAHF", "RLAPFH"))
    assert letters(-np.array(direction)) == swapped


@pytest.mark.parametrize(
    ("direction", "name"),
    [
        ((1, 0, 0), "L"),
        ((-1, 0, 0), "R"),
        ((0, 1, 0), "P"),
        ((0, -1, 0), "A"),
        ((0, 0, 1), "H"),
        ((0, 0, -2), "F"),
        ((np.cos(0.3), -np.sin(0.3), 0), "LA"),
        ((0, np.sin(0.3), -np.cos(0.3)), "FP"),
        ((0, np.sin(0.05), np.cos(0.05)), "H"),
        ((-0.8, 0.5, 0.33), "RP"),
    ],
)
def test_letters_of_a_direction(direction: tuple[float, float, float], name: str) -> None:
    assert letters(direction) == name


@pytest.mark.parametrize(
    ("plane", "named"),
    [(Plane.AXIAL, "RLAP"), (Plane.CORONAL, "RLHF"), (Plane.SAGITTAL, "APHF")],
)
def test_the_radiological_convention(plane: Plane, named: str) -> None:
    grid = box_grid((4, 4, 4))
    assert "".join(edge_letters(grid, plane_axes(grid, plane))) == named


@given(grids())
def test_slices_are_acquired_in_the_plane_that_names_them(grid: Grid) -> None:
    assert plane_axes(grid, acquired_plane(grid)).through == 0
    assert sorted(body_axes(grid)) == [0, 1, 2]


@given(grids(), st.sampled_from(Plane))
def test_an_image_without_orientation_lies_as_it_was_stored(grid: Grid, plane: Plane) -> None:
    loose = Grid(grid.shape, grid.affine, oriented=False)
    axes = plane_axes(loose, plane)
    voxels = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    assert np.array_equal(axes.picture(voxels, 0), voxels[0])
    assert edge_letters(loose, axes) == ("", "", "", "")
    assert acquired_plane(loose) is Plane.AXIAL


@given(grids(), st.sampled_from(Plane), st.data())
def test_pieces_of_pictures_go_back_to_their_voxels(grid: Grid, plane: Plane, data: st.DataObject) -> None:
    """A piece cut out of the pictures, and put back as voxels at the box it is said to fill, is what was there."""
    axes = plane_axes(grid, plane)
    voxels = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    sizes = (grid.shape[axes.through], *axes.size(grid.shape))
    starts = tuple(data.draw(st.integers(0, size - 1)) for size in sizes)
    stops = tuple(data.draw(st.integers(a + 1, size)) for a, size in zip(starts, sizes, strict=True))
    piece = np.stack(
        [axes.picture(voxels, k)[starts[1] : stops[1], starts[2] : stops[2]] for k in range(starts[0], stops[0])]
    )
    (k0, j0, i0), (k1, j1, i1) = axes.to_box(starts, stops, grid.shape)  # type: ignore[arg-type]
    np.testing.assert_array_equal(axes.to_voxels(piece), voxels[k0:k1, j0:j1, i0:i1])
