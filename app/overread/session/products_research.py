"""What leaves for research, as products: NIfTI, NRRD, STL and OBJ.

SimpleITK and VTK are slow imports, wanted with the first export and not at start-up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from overread.dicom.product import Parcel, Product, require
from overread.domain.finding import Finding
from overread.domain.geometry import Grid
from overread.session.research import (
    LabelMap,
    image_of,
    label_maps,
    legend,
    nameless,
    real_voxels,
    sideways_mm,
    slicer_metadata,
    without_surface,
    without_volume,
)

if TYPE_CHECKING:
    import SimpleITK as sitk

    from overread.render.surfaces import Surface

_PLACE_MM = 1e-2
# Formats keep numbers of surfaces with six or seven digits.
_POINT_MM = 2e-3


def _named(parcel: Parcel, ending: str) -> list[tuple[Path, LabelMap]]:
    maps = label_maps(parcel.findings, parcel.stack.grid)
    single = len(maps) == 1
    details = ["labels"] if single else [f"{finding.number:02d}" for finding in parcel.findings]
    return [(nameless(parcel, ending, detail), labels) for detail, labels in zip(details, maps, strict=True)]


def _write_legend(parcel: Parcel, entries: Sequence[tuple[str, int, Finding]]) -> Path:
    path = nameless(parcel, "json", "legend")
    path.write_text(json.dumps(legend(parcel.stack, entries), indent=2) + "\n", "utf-8")
    return path


def _check_legend(path: Path, parcel: Parcel, entries: Sequence[tuple[str, int, Finding]]) -> None:
    meant = json.loads(json.dumps(legend(parcel.stack, entries)))
    require(json.loads(path.read_text("utf-8")) == meant, "its table of labels says something else")


def _entries(named: Sequence[tuple[Path, LabelMap]]) -> list[tuple[str, int, Finding]]:
    return [(path.name, at, f) for path, labels in named for at, f in enumerate(labels.findings, start=1)]


def _write_volumes(ending: str) -> Callable[[Parcel], list[Path]]:
    def write(parcel: Parcel) -> list[Path]:
        import SimpleITK as sitk

        named = _named(parcel, ending)
        for path, labels in named:
            image = image_of(labels.voxels, parcel.stack.grid)
            for key, value in slicer_metadata(labels).items() if ending == "seg.nrrd" else ():
                image.SetMetaData(key, value)
            sitk.WriteImage(image, str(path), useCompression=True)
        return [*(path for path, _ in named), _write_legend(parcel, _entries(named))]

    return write


def _check_volumes(ending: str) -> Callable[[Parcel, Sequence[Path]], None]:
    def check(parcel: Parcel, paths: Sequence[Path]) -> None:
        import SimpleITK as sitk

        named = _named(parcel, ending)
        require([path for path, _ in named] == list(paths[:-1]), "a label map is missing")
        for path, labels in named:
            image = sitk.ReadImage(str(path))
            require(np.array_equal(sitk.GetArrayViewFromImage(image), labels.voxels), "its voxels differ")
            _lies(image, parcel.stack.grid)
            for key, value in slicer_metadata(labels).items() if ending == "seg.nrrd" else ():
                require(image.HasMetaDataKey(key) and image.GetMetaData(key) == value, f"{key} differs")
        _check_legend(paths[-1], parcel, _entries(named))

    return check


def _lies(image: sitk.Image, grid: Grid) -> None:
    """That an image lies where the grid lies; without orientation, that its spacing is the grid's."""
    require(bool(np.allclose(image.GetSpacing(), grid.spacing[::-1], rtol=1e-4)), "its spacing differs")
    if grid.oriented:
        k, j, i = np.meshgrid(*((0, size - 1) for size in grid.shape), indexing="ij")
        ends = zip(i.ravel().tolist(), j.ravel().tolist(), k.ravel().tolist(), strict=True)
        away = np.abs([image.TransformIndexToPhysicalPoint(end) for end in ends] - grid.corners).max()
        require(bool(away < _PLACE_MM + sideways_mm(grid)), "it lies in another place")


def _write_image(parcel: Parcel) -> list[Path]:
    import SimpleITK as sitk

    path = nameless(parcel, "nii.gz", "image")
    sitk.WriteImage(image_of(real_voxels(parcel.volume), parcel.stack.grid), str(path), useCompression=True)
    return [path]


def _check_image(parcel: Parcel, paths: Sequence[Path]) -> None:
    import SimpleITK as sitk

    (path,) = paths
    image = sitk.ReadImage(str(path))
    require(np.array_equal(sitk.GetArrayViewFromImage(image), real_voxels(parcel.volume)), "its voxels differ")
    _lies(image, parcel.stack.grid)


def _surfaces(parcel: Parcel) -> Iterator[tuple[Path, Finding, Surface]]:
    from overread.render.surfaces import surface_of

    for finding in parcel.findings:
        yield (
            nameless(parcel, parcel.product, f"{finding.number:02d}"),
            finding,
            surface_of(finding.mask, parcel.stack.grid),
        )


def _write_surfaces(parcel: Parcel) -> list[Path]:
    from overread.render.surfaces import write_surface

    entries = []
    for path, finding, made in _surfaces(parcel):
        write_surface(path, made)
        entries.append((path, 1, finding))
    said = [(path.name, value, finding) for path, value, finding in entries]
    return [*(path for path, _, _ in entries), _write_legend(parcel, said)]


def _check_surfaces(parcel: Parcel, paths: Sequence[Path]) -> None:
    from overread.render.surfaces import read_surface

    entries = []
    for written, (path, finding, made) in zip(paths[:-1], _surfaces(parcel), strict=True):
        require(written == path, "a surface has another name")
        read = read_surface(path)
        require(read.triangles.shape == made.triangles.shape, "it has another number of triangles")
        corners = read.points[read.triangles] - made.points[made.triangles]
        require(bool(np.abs(corners).max() < _POINT_MM), "a triangle lies in another place")
        require(read.closed, "it has a hole")
        meant = finding.mask.count * parcel.stack.grid.voxel_mm3
        require(abs(read.volume_mm3 - meant) < 0.02 * meant, "it encloses another volume than the voxels have")
        entries.append((path.name, 1, finding))
    _check_legend(paths[-1], parcel, entries)


NIFTI = Product(
    "nifti",
    "Label map (NIfTI)",
    _write_volumes("nii.gz"),
    _check_volumes("nii.gz"),
    without_volume,
    straight=True,
    opaque=True,
)
NIFTI_IMAGE = Product(
    "nifti-image", "The image itself (NIfTI)", _write_image, _check_image, without_volume, straight=True, opaque=True
)
NRRD = Product(
    "nrrd",
    "Segmentation (NRRD, 3D Slicer)",
    _write_volumes("seg.nrrd"),
    _check_volumes("seg.nrrd"),
    without_volume,
    straight=True,
    opaque=True,
)
STL = Product("stl", "Surfaces (STL)", _write_surfaces, _check_surfaces, without_surface, opaque=True)
OBJ = Product("obj", "Surfaces (OBJ)", _write_surfaces, _check_surfaces, without_surface, opaque=True)
