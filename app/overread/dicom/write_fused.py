"""A series with the findings in its own grey values → MR or CT images, for systems that take nothing else.

Navigation and planning systems make objects of an image by a threshold. Here every voxel of a finding gets a value
above all others of the series, a value of its own for each finding, and all else stays as it is stored. One window
holds for the whole series. Single frames in the classic kinds, also where the source is enhanced multi-frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, EnhancedMRImageStorage, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from overread.dicom.source import SourceHeaders
from overread.dicom.write_sc import derived_image, place
from overread.domain.errors import UserError
from overread.domain.finding import Finding
from overread.domain.study import Stack, Window
from overread.domain.volume import Volume

CLASSIC: dict[str, str] = {
    MRImageStorage: MRImageStorage,
    EnhancedMRImageStorage: MRImageStorage,
    CTImageStorage: CTImageStorage,
    EnhancedCTImageStorage: CTImageStorage,
}
# Findings lie so far above the image and each other, as a part of the image's range.
_GAP = 0.1
_MOST = (1 << 15) - 1  # many readers take 16 bits for signed
# What says how a classic image was made (PS3.3 C.8.2.1, C.8.3.1), copied as it is; empty where it may be empty.
_MR = ("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime")
_MR_MORE = ("EchoTrainLength", "InversionTime", "TriggerTime", "MagneticFieldStrength", "FlipAngle")
_CT = ("KVP", "AcquisitionNumber")
_PULSES = {"SPIN": "SE", "GRADIENT": "GR", "BOTH": ["SE", "GR"]}


@dataclass(frozen=True)
class Levels:
    """Stored values: the image's own run from `least` to `greatest`; `values` are those of the findings, in order."""

    least: int
    greatest: int
    values: tuple[int, ...]

    @property
    def threshold(self) -> int:
        """All that is a finding lies at this value or above, all else below."""
        return self.values[0]


def levels(volume: Volume, count: int) -> Levels:
    """Values for so many findings above all of a series. UserError where its 16 bits leave no room for them."""
    least, greatest = int(volume.voxels.min()), int(volume.voxels.max())
    most = _MOST if greatest < _MOST or volume.voxels.dtype.kind == "i" else 2 * _MOST + 1
    step = min(max(1, round(_GAP * (greatest - least))), (most - greatest) // max(count, 1))
    if step < 1:
        raise UserError("The images use all values that they can hold, so nothing can be brighter than they are.")
    return Levels(least, greatest, tuple(greatest + step * number for number in range(1, count + 1)))


def without_place(stack: Stack, finding: Finding) -> str:
    """Why a finding has no place in a fused series, "" where it has."""
    if not finding.mask:
        return "It has no outline."
    if stack.sop_class_uid not in CLASSIC or stack.encoding.samples != 1:
        return "Navigation systems take series of MR and CT images only."
    if not one_scale(stack):
        return "The scale of its values is not one number for all slices, as navigation systems take for granted."
    return "" if stack.measurable else "Its slices do not lie on an even grid, so nobody can navigate by them."


def one_scale(stack: Stack) -> bool:
    """Whether one slope and intercept say what the values of all slices mean, and 16 bits hold them."""
    scales = {(frame.slope, frame.intercept) for frame in stack.frames}
    return len(scales) == 1 and stack.modality_lut is None and stack.encoding.bits_allocated <= 16


def fused(volume: Volume, findings: Sequence[Finding], index: int, marks: Levels) -> NDArray[Any]:
    """Slice `index` in stored values with the findings set above; where two overlap the later one holds.

    int16 where the image is signed, else uint16; shape (rows, columns).
    """
    pixels: NDArray[Any] = volume.voxels[index].astype(np.int16 if volume.voxels.dtype.kind == "i" else np.uint16)
    for finding, value in zip(findings, marks.values, strict=True):
        k, j, i = finding.mask.box
        if k.start <= index < k.stop:
            pixels[j, i][finding.mask.inner[index - k.start]] = value
    return pixels


def write_fused(
    headers: SourceHeaders,
    pixels: NDArray[Any],
    index: int,
    window: Window,
    marks: Levels,
    said: str,
    series_uid: str,
    series_number: int,
) -> Dataset:
    """Slice `index` of a fused series; `said` is what the values mean, in words."""
    image = grey_image(headers, pixels, [index], index + 1, said, series_uid, series_number)
    image.SeriesDescription = f"AI {headers.stack.identity.series_description} fused".strip()[:64]
    place(image, headers, index)
    windowed(image, window)
    image.SmallestPixelValueInSeries, image.LargestPixelValueInSeries = marks.least, marks.values[-1]
    return image


def grey_image(
    headers: SourceHeaders,
    pixels: NDArray[Any],
    sources: Sequence[int],
    number: int,
    said: str,
    series_uid: str,
    series_number: int,
) -> Dataset:
    """Image `number` of a derived series, made from the slices `sources`, without a place: int16 or uint16.

    Its values mean what those of the first source mean; `said` is what was done, in words.
    """
    stack, first, index = headers.stack, headers.first, sources[0]
    kind = CLASSIC[stack.sop_class_uid]
    image = derived_image(headers, kind, sources, said, series_uid, series_number, number)
    image.ImageComments = said[:10240]
    frame = stack.frames[index]
    if kind == MRImageStorage:
        image.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        _as_mr(image, headers, index)
    else:
        image.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        for keyword in _CT:
            setattr(image, keyword, _source(headers, index).get(keyword))
    if kind == CTImageStorage or (frame.slope, frame.intercept) != (1, 0):
        image.RescaleSlope, image.RescaleIntercept = _ds(frame.slope), _ds(frame.intercept)
        image.RescaleType = stack.units or "US"
    signed = pixels.dtype.kind == "i"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, stack.encoding.photometric
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, int(signed)
    if stack.padding is not None and first.get("PixelPaddingValue") is not None:
        image.PixelPaddingValue = int(first.PixelPaddingValue)
        if first.get("PixelPaddingRangeLimit") is not None:
            image.PixelPaddingRangeLimit = int(first.PixelPaddingRangeLimit)
    image.PixelData = pixels.astype("<i2" if signed else "<u2").tobytes()
    return image


def windowed(image: Dataset, window: Window) -> None:
    """Say through which window an image is to be seen."""
    image.WindowCenter, image.WindowWidth = _ds(window.center), _ds(window.width)
    if window.function in ("SIGMOID", "LINEAR_EXACT"):
        image.VOILUTFunction = window.function


def _ds(value: float) -> str:
    return format_number_as_ds(float(value))


def _source(headers: SourceHeaders, index: int) -> Dataset:
    return headers.first if headers.multiframe else headers.images[index]


def _as_mr(image: Dataset, headers: SourceHeaders, index: int) -> None:
    """How the slice was acquired, of an enhanced image as far as a classic one can say it."""
    source = _source(headers, index)
    if not headers.multiframe:
        for keyword in _MR:
            setattr(image, keyword, source.get(keyword))
        for keyword in _MR_MORE:
            if keyword in source:
                setattr(image, keyword, source.get(keyword))
        image.setdefault("EchoTrainLength", None)
        image.ScanningSequence = image.ScanningSequence or "RM"
        image.SequenceVariant = image.SequenceVariant or "NONE"
        return
    own, shared = source.PerFrameFunctionalGroupsSequence[index], source.SharedFunctionalGroupsSequence[0]

    def macro(keyword: str) -> Dataset:
        found: Dataset = (own.get(keyword) or shared.get(keyword) or [Dataset()])[0]
        return found

    timing = macro("MRTimingAndRelatedParametersSequence")
    image.ScanningSequence = _PULSES.get(str(source.get("EchoPulseSequence", "")), "RM")
    image.SequenceVariant, image.ScanOptions = "NONE", None
    image.MRAcquisitionType = source.get("MRAcquisitionType")
    image.RepetitionTime, image.EchoTrainLength = timing.get("RepetitionTime"), timing.get("EchoTrainLength")
    image.EchoTime = _or_none(macro("MREchoSequence").get("EffectiveEchoTime"))


def _or_none(value: float | None) -> str | None:
    return None if value is None else _ds(value)
