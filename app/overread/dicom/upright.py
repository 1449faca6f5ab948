"""A series sheared by a tilted gantry on an upright grid: its images as a derived series, and findings laid on it.

SEG, label maps, structure sets and series for navigation are then made on the derived series and refer to it, which
always leaves with them: dcmqi, 3D Slicer and navigation systems lay voxels on one upright grid in the patient, and all
readers look for the images that an object names. Its own images name the acquired ones (Source Image Sequence).
"""

from __future__ import annotations

from dataclasses import replace

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.valuerep import format_number_as_ds

from overread.dicom.source import SourceHeaders
from overread.dicom.write_fused import CLASSIC, grey_image, one_scale, windowed
from overread.domain.finding import Finding, Kind, Mask
from overread.domain.probability import Probabilities
from overread.domain.study import Stack
from overread.domain.volume import Volume
from overread.imaging.upright import Upright, images, masks, straightened, upright

TILTED = (
    "Its slices are sheared by a tilted gantry, so have it resampled onto an upright grid (--resample), "
    "or choose another kind."
)
SAID = (
    "Resampled onto an upright grid because of a tilted gantry: the image linearly, outlines by the nearest pixel, "
    "at most half a pixel off."
)
_UNEVEN = " Slices were uneven: between them the image is linear, and outlines are those of the nearest slice."
_TILT = "gantry-tilt"
# With these, too, the planes of the slices are known and parallel, and nothing is missing between them.
_HARMLESS = frozenset({_TILT, "variable-spacing", "lossy", "several-images", "mixed-orientation"})


def sheared(stack: Stack) -> bool:
    """Whether the slices of a stack do not lie right above each other, as most readers take for granted."""
    return stack.grid.oriented and any(problem.code == _TILT for problem in stack.problems)


def cannot(stack: Stack) -> str:
    """Why a sheared stack cannot be resampled, "" where it can."""
    for problem in stack.problems:
        if problem.code not in _HARMLESS:
            return f"Its slices are sheared by a tilted gantry and cannot be resampled. {problem.text}"
    if stack.sop_class_uid not in CLASSIC or stack.encoding.samples != 1 or not one_scale(stack):
        return "Its slices are sheared, and only CT and MR images with one scale of values are resampled."
    return ""


def straight(stack: Stack) -> Stack:
    """A sheared stack as it will be once it is resampled, but for its size: to ask what has a place in it."""
    rest = tuple(problem for problem in stack.problems if problem.code not in (_TILT, "variable-spacing"))
    return replace(stack, grid=straightened(stack.grid), problems=rest)


def said(made: Upright) -> str:
    """What was done, in words."""
    return SAID + _UNEVEN * bool(made.weight.any())


def planned(headers: SourceHeaders) -> Upright:
    """The upright grid of a sheared stack, by the places that its headers give."""
    return upright(headers.stack.grid, np.array(headers.positions))


def filling(volume: Volume) -> tuple[int, tuple[int, int] | None]:
    """The stored value that stands for what lies beyond the slices, and the range of those that stand for no image."""
    if volume.stack.padding is None:
        return int(volume.voxels.min()), None
    low, high = (int(value) for value in volume.stack.padding)
    return low, (low, high)


def write_upright(
    headers: SourceHeaders, volume: Volume, made: Upright, series_uid: str, series_number: int, k: int
) -> Dataset:
    """Slice `k` of the upright grid as a CT or MR image, derived from the slices that it was made of."""
    stack, grid = headers.stack, made.grid
    fill, padding = filling(volume)
    pixels = images(volume.voxels, made, k, fill, padding)
    image = grey_image(headers, pixels, made.sources(k), k + 1, said(made), series_uid, series_number)
    image.SeriesDescription = f"{stack.identity.series_description[:46]} upright, derived".strip()
    # What the acquired slices' own headers say of their direction holds: the planes are the same.
    image.ImagePositionPatient = [_ds(mm) for mm in grid.to_lps((k, 0, 0))]
    image.ImageOrientationPatient = [_ds(part) for part in (*grid.directions[:, 2], *grid.directions[:, 1])]
    image.PixelSpacing = [_ds(mm) for mm in grid.spacing[1:]]
    image.SliceThickness = image.SpacingBetweenSlices = _ds(grid.spacing[0])
    image.FrameOfReferenceUID = headers.first.FrameOfReferenceUID
    image.PositionReferenceIndicator = headers.first.get("PositionReferenceIndicator")
    image.PatientPosition = headers.first.get("PatientPosition")
    window = next((window for window in stack.windows if window.width > 0), None)
    if window is not None:
        windowed(image, window)
    return image


def _ds(value: float) -> str:
    return format_number_as_ds(float(value))


def new_series() -> str:
    """A UID for a derived series."""
    return str(hd.UID())


def laid(finding: Finding, made: Upright, onto: Stack) -> Finding:
    """A finding with an outline on the upright grid, whose images are `onto`; of voxels alone, with the same UID.

    What was measured on the acquired slices stays: whole pixels move within their planes, so it holds here as well.
    """
    mask = Mask.of(masks(finding.mask.voxels, made))
    box = None
    if finding.kind is Kind.DETECTION:
        (k, j, i), (slices, rows, columns) = mask.start, mask.extent
        box = (k, j, i, k + slices, j + rows, i + columns)
    sure = finding.probabilities
    if sure is not None:
        values, where = masks(sure.voxels, made), Mask.of(masks(_solid(sure), made))
        sure = Probabilities.of(values[where.box], where.start, made.grid.shape)
    return replace(
        finding,
        stack_uid=onto.uid,
        series_uid=onto.identity.series_uid,
        mask=mask,
        original=None,
        box=box,
        moved=None,
        heatmap=None,
        marks=(),
        probabilities=sure,
    )


def _solid(sure: Probabilities) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The box of probabilities as voxels of their grid."""
    whole = np.zeros(sure.shape, np.bool_)
    whole[sure.box] = True
    return whole


def room(stack: Stack, finding: Finding) -> str:
    """Why a finding of a sheared stack has no place on an upright grid, "" where it has."""
    if finding.boxed:
        return "It is a box on sheared slices, which is none on an upright grid."
    return cannot(stack)
