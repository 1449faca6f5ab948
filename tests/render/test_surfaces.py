"""Surfaces are closed, enclose what the voxels hold, and lie where the voxels lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from vtkmodules.vtkFiltersCore import vtkFeatureEdges, vtkMassProperties
from vtkmodules.vtkIOGeometry import vtkSTLReader

from overread.domain.finding import Mask
from overread.domain.geometry import Grid
from overread.render.surfaces import Surface, read_surface, surface_of, write_surface
from support.values import grids, masks

K, J, I = np.indices((40, 40, 40)) - 19.5  # noqa: E741  a grid's own names
BALL = K**2 + J**2 + I**2 <= 15**2
SHAPES = {
    "ball": BALL,
    "small ball": K**2 + J**2 + I**2 <= 9,
    "box": (abs(K) < 8) & (abs(J) < 5) & (abs(I) < 10),
    "torus": (np.hypot(J, I) - 12) ** 2 + K**2 <= 25,
    "shell": BALL & (K**2 + J**2 + I**2 >= 100),
    "plate": (abs(K) < 0.6) & (abs(J) < 10) & (abs(I) < 10),
    "voxel": (abs(K - 0.5) < 0.5) & (abs(J - 0.5) < 0.5) & (abs(I - 0.5) < 0.5),
}
OBLIQUE = np.array([[0.1, -0.3, 0.9], [0.3, 0.85, 0.2], [4.8, -0.2, 0.1]])


def lying(shape: tuple[int, ...], axes: np.ndarray) -> Grid:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, (-80, 12, 33)
    return Grid((shape[0], shape[1], shape[2]), affine)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("axes", [np.eye(3), OBLIQUE, OBLIQUE[:, ::-1]], ids=["straight", "oblique", "left-handed"])
def test_a_surface_is_closed_and_holds_the_volume_of_the_voxels(name: str, axes: np.ndarray) -> None:
    grid = lying(SHAPES[name].shape, axes)
    mask = Mask.of(SHAPES[name])
    made = surface_of(mask, grid)
    assert made.closed
    assert made.volume_mm3 == pytest.approx(mask.count * grid.voxel_mm3, rel=2e-3)


def test_a_surface_lies_on_the_ball_that_it_is_drawn_around() -> None:
    grid = lying(BALL.shape, np.diag([2.0, 0.8, 0.8]))
    index = grid.to_index(surface_of(Mask.of(BALL), grid).points) - 19.5
    assert np.abs(np.linalg.norm(index, axis=1) - 15).max() < 1
    assert np.abs(np.linalg.norm(index, axis=1).mean() - 15) < 0.1


def test_what_vtk_says_of_it(tmp_path: Path) -> None:
    made = surface_of(Mask.of(SHAPES["torus"]), lying(BALL.shape, np.eye(3)))
    write_surface(tmp_path / "torus.stl", made)
    reader = vtkSTLReader()
    reader.SetFileName(str(tmp_path / "torus.stl"))
    edges = vtkFeatureEdges()
    edges.SetInputConnection(reader.GetOutputPort())
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    edges.Update()
    assert edges.GetOutput().GetNumberOfCells() == 0, "edges of one triangle, or of more than two"
    mass = vtkMassProperties()
    mass.SetInputConnection(reader.GetOutputPort())
    assert mass.GetVolume() == pytest.approx(made.volume_mm3, rel=1e-4)


@settings(max_examples=60)
@given(masks(8), grids())
def test_any_mask_has_a_closed_surface_with_its_volume(voxels: np.ndarray, turned: Grid) -> None:
    assume(voxels.any())
    grid = Grid(voxels.shape, turned.affine)
    mask = Mask.of(voxels)
    made = surface_of(mask, grid)
    assert made.closed
    assert made.volume_mm3 == pytest.approx(mask.count * grid.voxel_mm3, rel=0.02)


@pytest.mark.parametrize("ending", ["stl", "obj"])
def test_files_hold_what_was_written(tmp_path: Path, ending: str) -> None:
    made = surface_of(Mask.of(BALL), lying(BALL.shape, OBLIQUE))
    path = tmp_path / f"ball.{ending}"
    write_surface(path, made)
    read = read_surface(path)
    assert read.closed
    assert np.abs(read.points[read.triangles] - made.points[made.triangles]).max() < 2e-3
    if ending == "stl":
        assert b"SPACE=LPS" in path.read_bytes()[:80]
        assert len(path.read_bytes()) == 84 + 50 * len(made.triangles)
    else:
        lines = path.read_text().splitlines()
        assert sum(line.startswith("v ") for line in lines) == len(made.points)
        assert sum(line.startswith("f ") for line in lines) == len(made.triangles)


def test_nothing_has_no_surface(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing"):
        surface_of(Mask.of(np.zeros((3, 3, 3), bool)), lying((3, 3, 3), np.eye(3)))
    made = surface_of(Mask.of(SHAPES["voxel"]), lying(BALL.shape, np.eye(3)))
    open_ = Surface(made.points, made.triangles[1:])
    assert not open_.closed
