"""Masks → closed surfaces in the patient's millimetres, and surfaces as files (STL, OBJ)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkImageData, vtkPolyData
from vtkmodules.vtkFiltersCore import vtkWindowedSincPolyDataFilter
from vtkmodules.vtkFiltersGeneral import vtkDiscreteFlyingEdges3D
from vtkmodules.vtkIOGeometry import vtkOBJReader, vtkOBJWriter, vtkSTLReader, vtkSTLWriter

from overread.domain.finding import Mask
from overread.domain.geometry import Floats, Grid

# Windowed-sinc smoothing (Taubin, Zhang and Golub 1996): takes the steps between voxels away and not the shape.
_ITERATIONS, _PASS_BAND = 20, 0.1
# What smoothing would shrink to less than this part, a few voxels, stays as it is.
_SMOOTHABLE = 0.8
# How near the volume within the surface has to come to that of the voxels, and how often it is tried.
_VOLUME, _TRIES = 1e-3, 25
# A step of the surface is never longer than this part of the shortest side of a voxel.
_STEP = 0.25


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles around something: `points` (n, 3) in LPS mm, `triangles` (m, 3) numbers of points.

    Seen from outside, the corners of a triangle run counter-clockwise.
    """

    points: Floats
    triangles: NDArray[np.int64]

    @property
    def volume_mm3(self) -> float:
        """What it encloses, by the divergence theorem; below 0 where it is turned inside out."""
        a, b, c = (self.points[self.triangles[:, corner]] - self.points.mean(axis=0) for corner in range(3))
        return float(np.einsum("nx,nx->", a, np.cross(b, c)) / 6)

    @property
    def closed(self) -> bool:
        """Whether it has no hole: each edge is that of two triangles, which run along it in opposite directions."""
        edges = np.concatenate([self.triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
        codes = edges[:, 0] * len(self.points) + edges[:, 1]
        back = edges[:, 1] * len(self.points) + edges[:, 0]
        return len(codes) > 0 and len(np.unique(codes)) == len(codes) and np.array_equal(np.sort(codes), np.sort(back))


def surface_of(mask: Mask, grid: Grid) -> Surface:
    """The surface around a mask's voxels, smoothed, with the voxels' own volume inside.

    Flying edges (Schroeder, Maynard and Geveci 2015) half way between voxels inside and outside, windowed-sinc
    smoothing, and then small steps along the normals until the volume is that of the voxels again. ValueError for an
    empty mask.
    """
    if not mask:
        raise ValueError("nothing to draw a surface around")
    made = _edges(mask)
    smooth = _smoothed(made)
    if abs(smooth.volume_mm3) >= _SMOOTHABLE * abs(made.volume_mm3):
        made = smooth
    flat = made.triangles
    made = Surface(grid.to_lps(made.points + np.array(mask.start) - 1), flat)
    if made.volume_mm3 < 0:
        made = Surface(made.points, np.ascontiguousarray(flat[:, ::-1]))
    return _filled(made, mask.count * grid.voxel_mm3, _STEP * min(grid.spacing))


def _edges(mask: Mask) -> Surface:
    """Flying edges over the mask's box with a rim of one voxel; points are (k, j, i) within it."""
    inside = np.pad(mask.inner, 1).astype(np.uint8)
    image = vtkImageData()
    image.SetDimensions(*inside.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(inside.ravel(), deep=True))
    edges = vtkDiscreteFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, 1)
    edges.ComputeNormalsOff()
    edges.ComputeGradientsOff()
    edges.ComputeScalarsOff()
    edges.Update()
    made = _surface(edges.GetOutput())
    return Surface(made.points[:, ::-1], made.triangles)


def _smoothed(raw: Surface) -> Surface:
    smooth = vtkWindowedSincPolyDataFilter()
    smooth.SetInputData(_data(raw))
    smooth.SetNumberOfIterations(_ITERATIONS)
    smooth.SetPassBand(_PASS_BAND)
    smooth.NonManifoldSmoothingOn()
    smooth.BoundarySmoothingOff()
    smooth.FeatureEdgeSmoothingOff()
    smooth.NormalizeCoordinatesOn()
    smooth.Update()
    return _surface(smooth.GetOutput())


def _filled(made: Surface, volume_mm3: float, step_mm: float) -> Surface:
    """Move all points along their normals until so much is enclosed."""
    for _ in range(_TRIES):
        lacking = volume_mm3 - made.volume_mm3
        if abs(lacking) <= _VOLUME * volume_mm3:
            break
        a, b, c = (made.points[made.triangles[:, corner]] for corner in range(3))
        across = np.cross(b - a, c - a)  # twice the triangle's area long
        normals = np.zeros_like(made.points)
        for corner in range(3):
            np.add.at(normals, made.triangles[:, corner], across)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        area = float(np.linalg.norm(across, axis=1).sum()) / 2
        made = Surface(made.points + normals * np.clip(lacking / area, -step_mm, step_mm), made.triangles)
    return made


def _surface(data: vtkPolyData) -> Surface:
    points = np.asarray(vtk_to_numpy(data.GetPoints().GetData()), np.float64)
    triangles = np.asarray(vtk_to_numpy(data.GetPolys().GetConnectivityArray()), np.int64).reshape(-1, 3)
    return Surface(points, triangles)


def _data(made: Surface) -> vtkPolyData:
    points, cells, data = vtkPoints(), vtkCellArray(), vtkPolyData()
    points.SetDataTypeToDouble()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(made.points), deep=True))
    ends = np.arange(0, 3 * len(made.triangles) + 1, 3)
    cells.SetData(numpy_to_vtkIdTypeArray(ends, deep=True), numpy_to_vtkIdTypeArray(made.triangles.ravel(), deep=True))
    data.SetPoints(points)
    data.SetPolys(cells)
    return data


def write_surface(path: Path, made: Surface) -> None:
    """Write a surface as binary STL or as OBJ, by the file's ending; LPS mm. OSError where that fails."""
    writer = vtkSTLWriter() if path.suffix == ".stl" else vtkOBJWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(_data(made))
    if isinstance(writer, vtkSTLWriter):
        writer.SetFileTypeToBinary()
        writer.SetHeader("Overread, not for clinical use. SPACE=LPS")  # as 3D Slicer says it
    if not writer.Write():
        raise OSError(None, "the surface cannot be written", str(path))


def read_surface(path: Path) -> Surface:
    """Read an STL or OBJ file; equal points are one point."""
    reader = vtkSTLReader() if path.suffix == ".stl" else vtkOBJReader()
    reader.SetFileName(str(path))
    reader.Update()
    return _surface(reader.GetOutput())
