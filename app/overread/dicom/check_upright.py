"""The derived series on an upright grid among the products, and the self-check of what is laid on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset

from overread.dicom.check_sc import derived_from, one_series, same_pixels
from overread.dicom.product import Parcel, Product, require
from overread.dicom.scan import scanned
from overread.dicom.source import SourceHeaders
from overread.dicom.upright import filling, laid, new_series, planned, said, write_upright
from overread.dicom.write_fused import CLASSIC
from overread.domain.finding import Finding
from overread.domain.study import Stack
from overread.imaging.upright import Upright, images

_PLACE_MM = 1e-3
# So many places in each slice are interpolated once more, by somebody else's code and from the images' own headers.
_PROBES = 200
_TIE = 1e-6


def _write(parcel: Parcel) -> list[Path]:
    made, series = planned(parcel.headers), new_series()
    return [
        parcel.save(write_upright(parcel.headers, parcel.volume, made, series, parcel.number, k), f"{k + 1:04d}")
        for k in range(made.grid.shape[0])
    ]


def _check(parcel: Parcel, paths: Sequence[Path]) -> None:
    made, headers = planned(parcel.headers), []
    require(len(paths) == made.grid.shape[0], "slices are missing")
    fill, padding = filling(parcel.volume)
    frame = parcel.headers.first.FrameOfReferenceUID
    for k, path in enumerate(paths):
        image = pydicom.dcmread(path)
        require(image.SOPClassUID == CLASSIC[parcel.stack.sop_class_uid], "it is another kind of image")
        same_pixels(image, images(parcel.volume.voxels, made, k, fill, padding))
        derived_from(image, parcel.headers, made.sources(k))
        require(image.ImageComments == said(made), "it does not say how it was made")
        require(image.FrameOfReferenceUID == frame, "it has another frame of reference")
        source = parcel.stack.frames[made.sources(k)[0]]
        scale = float(image.get("RescaleSlope", 1)), float(image.get("RescaleIntercept", 0))
        require(np.allclose(scale, (source.slope, source.intercept)), "its values mean something else")
        _probe(image, parcel, made.sources(k), fill, padding)
        headers.append(image)
    one_series(headers)
    places = np.array([image.ImagePositionPatient for image in headers], float)
    steps = np.diff(places, axis=0)
    require(bool(np.abs(steps - steps[0]).max() < _PLACE_MM), "its slices are uneven")
    row, column = np.array(headers[0].ImageOrientationPatient, float).reshape(2, 3)
    require(bool(max(abs(steps[0] @ row), abs(steps[0] @ column)) < _PLACE_MM), "its slices are sheared")


def _probe(image: Dataset, parcel: Parcel, sources: Sequence[int], fill: int, padding: tuple[int, int] | None) -> None:
    """Interpolate some places of a slice anew, where it is made of image alone."""
    from scipy import ndimage

    chance, pixels = np.random.default_rng(int(image.InstanceNumber)), image.pixel_array
    at = (chance.random((_PROBES, 2)) * pixels.shape).astype(int)
    row, column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
    down, across = (float(mm) for mm in image.PixelSpacing)
    where = np.array(image.ImagePositionPatient, float) + at[:, :1] * column * down + at[:, 1:] * row * across
    axes, values, away, inner = parcel.stack.grid.affine[:3, 1:3], [], [], np.ones(_PROBES, bool)
    for s in sources:
        offset = where - parcel.headers.positions[s]
        flat = offset @ np.linalg.pinv(axes).T
        held: NDArray[np.float64] = parcel.volume.voxels[s].astype(np.float64)
        inner &= np.all((flat >= 0) & (flat <= np.array(held.shape) - 1), axis=1)
        if padding is not None:
            empty = ((held >= padding[0]) & (held <= padding[1])).astype(float)
            inner &= ndimage.map_coordinates(empty, flat.T, order=1, mode="nearest") < _TIE
        values.append(ndimage.map_coordinates(held, flat.T, order=1, mode="nearest"))
        away.append(np.abs(offset @ np.cross(row, column)))
    expected = values[0]
    if len(values) == 2:
        expected = (values[0] * away[1] + values[1] * away[0]) / (away[0] + away[1])
    found = pixels[at[:, 0], at[:, 1]]
    require(
        bool((np.abs(found - expected)[inner] < 0.51).all()), "it shows something else than the slices it is made of"
    )


def lying(parcel: Parcel, paths: Sequence[Path], unpacked: Path) -> tuple[Stack, Upright]:
    """The derived series as it is read from disk, and how it was made. Wrong where it is no upright stack."""
    made = planned(parcel.headers)
    found = list(scanned(tuple(paths), unpacked).stacks)
    require(len(found) == 1, "it opens as several images")
    require(found[0].grid.same_as(made.grid, tolerance_mm=1e-2), "it opens on another grid")
    require(not {problem.code for problem in found[0].problems} & {"gantry-tilt", "variable-spacing"}, "it is sheared")
    return found[0], made


def check_laid(finding: Finding, on: Finding, headers: SourceHeaders, made: Upright) -> None:
    """That every voxel of a finding on the upright grid lies on a voxel of the acquired slice next to it. Wrong if not.

    Where slices are even their voxels are as many, so none is missing either.
    """
    voxels, grid = finding.mask.voxels, headers.stack.grid
    index = np.argwhere(on.mask.voxels)
    if not made.weight.any():
        require(len(index) == finding.mask.count, f"{finding.title} lost or gained voxels")
    axes = np.linalg.pinv(grid.affine[:3, 1:3])
    for k in np.unique(index[:, 0]):
        s = made.nearest(int(k))
        flat = (made.grid.to_lps(index[index[:, 0] == k]) - headers.positions[s]) @ axes.T
        held = np.zeros(len(flat), bool)
        for tie in (-_TIE, _TIE):  # half way between two pixels either is right
            at = np.floor(flat + 0.5 + tie).astype(int).clip(0, np.array(grid.shape[1:]) - 1)
            held |= voxels[s][at[:, 0], at[:, 1]]
        require(bool(held.all()), f"{finding.title} lies elsewhere on the upright grid")


def on_upright(findings: Sequence[Finding], headers: SourceHeaders, made: Upright, onto: Stack) -> tuple[Finding, ...]:
    """Findings laid on the upright grid, each checked. Wrong where one lies elsewhere."""
    found = []
    for finding in findings:
        on = laid(finding, made, onto)
        check_laid(finding, on, headers, made)
        found.append(on)
    return tuple(found)


UPRIGHT = Product("upright", "The series on an upright grid (derived)", _write, _check, lambda stack, finding: "")
