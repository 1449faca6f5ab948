"""The self-check of pictures: what was composed is what lies on disk, and it lies where its source lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset

from overread.dicom.product import require
from overread.dicom.source import SourceHeaders

_PLACE_MM = 1e-3


def check_capture(
    path: Path, headers: SourceHeaders, pixels: NDArray[np.uint8], index: int, *, in_place: bool
) -> Dataset:
    """Read a capture of slice `index` back and compare it with what was composed; returns its header.

    `in_place` says whether it has to lie in the patient as that slice does, or nowhere. Wrong where anything differs.
    """
    written = pydicom.dcmread(path)
    require(written.get("ConversionType") == "WSD", "it does not say that a workstation made it")
    require(written.get("BurnedInAnnotation") == "YES", "it does not say that something is burned in")
    require(written.PhotometricInterpretation == "RGB", "it is not in colour")
    same_pixels(written, pixels)
    derived_from(written, headers, [index])
    lies(written, headers, index, in_place=in_place)
    return written


def one_series(headers: Sequence[Dataset]) -> None:
    """That images form one series in which each has a number and a UID of its own."""
    require(len({str(header.SeriesInstanceUID) for header in headers}) == 1, "they are not one series")
    numbers = {int(header.InstanceNumber) for header in headers}
    uids = {str(header.SOPInstanceUID) for header in headers}
    require(len(numbers) == len(uids) == len(headers), "two of them have one number or one UID")


def same_pixels(written: Dataset, pixels: NDArray[Any]) -> None:
    """That an image holds these stored values."""
    require(np.array_equal(written.pixel_array, pixels), "its pixels are not those that were composed")


def derived_from(written: Dataset, headers: SourceHeaders, indices: Sequence[int]) -> None:
    """That an image is marked as derived and names the slices it was made from, and no others."""
    require(written.ImageType[0] == "DERIVED", "it is not marked as derived")
    frames = [headers.stack.frames[k] for k in indices]
    named = [
        (str(item.ReferencedSOPInstanceUID), int(item.get("ReferencedFrameNumber", 1)) - 1)
        for item in written.SourceImageSequence
    ]
    expected = [(frame.sop_instance_uid, frame.index) for frame in frames]
    require(named == expected, "it refers to other images than it was made from")


def lies(written: Dataset, headers: SourceHeaders, index: int, *, in_place: bool) -> None:
    """That an image lies where slice `index` of the source lies; with `in_place` off, that it claims no place."""
    grid = headers.stack.grid
    if in_place and grid.oriented:
        frame = headers.first.FrameOfReferenceUID
        require(written.get("FrameOfReferenceUID") == frame, "it has another frame of reference")
        position = np.array(written.ImagePositionPatient, float)
        require(bool(np.abs(position - headers.positions[index]).max() < _PLACE_MM), "it lies in another place")
        expected = np.concatenate([grid.directions[:, 2], grid.directions[:, 1]])
        turned = np.array(written.ImageOrientationPatient, float)
        require(bool(np.abs(turned - expected).max() < 1e-4), "it is turned in another way")
    else:
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
            require(keyword not in written, f"it claims a place that it does not have ({keyword})")
    if in_place and grid.calibrated:
        spacing = np.array(written.PixelSpacing, float)
        require(bool(np.allclose(spacing, grid.spacing[1:], rtol=1e-4)), "it has another pixel spacing")
    else:
        require("PixelSpacing" not in written, "it claims a pixel spacing that it does not have")
