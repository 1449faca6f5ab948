"""Pictures with findings burned in → DICOM Secondary Capture Images (PS3.3 A.8.1), for viewers that show nothing else.

Key pictures (`write_key_picture`) are captures and claim no place in the patient. A whole series
(`write_series_picture`) lies where its source lies: one file a slice with its position, orientation, spacing and frame
of reference, so that viewers scroll, link and reformat it like the source. Single frames on purpose, whatever their
number: few receivers read the geometry of a multi-frame true colour capture.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from overread import __version__
from overread.dicom.derived import derived, reference, with_side
from overread.dicom.equipment import MANUFACTURER, MODEL_NAME
from overread.dicom.source import SourceHeaders, carry_over
from overread.domain.geometry import letters

Bytes = NDArray[np.uint8]


def write_key_picture(
    headers: SourceHeaders,
    pixels: Bytes,
    index: int,
    derivation: str,
    series_uid: str,
    series_number: int,
    instance_number: int,
    *,
    edges: tuple[str, str, str, str] = ("", "", "", ""),
    aspect: float = 1.0,
) -> Dataset:
    """A capture (rows, columns, 3) of slice `index`, RGB, without a place in the patient.

    `edges` are the letters at its left, right, top and bottom; `aspect` is a pixel's height over its width;
    `derivation` says what is on it.
    """
    capture = _capture(headers, pixels, index, derivation, series_uid, series_number, instance_number)
    capture.SeriesDescription = f"AI {headers.stack.identity.series_description} key images".strip()[:64]
    _, right, _, bottom = edges
    capture.PatientOrientation = [right, bottom] if right and bottom else None
    if abs(aspect - 1) > 1e-3:
        ratio = Fraction(aspect).limit_denominator(1000)
        capture.PixelAspectRatio = [ratio.numerator, ratio.denominator]
    return capture


def write_series_picture(
    headers: SourceHeaders,
    pixels: Bytes,
    index: int,
    derivation: str,
    series_uid: str,
    series_number: int,
) -> Dataset:
    """Slice `index` with its findings, (rows, columns, 3), RGB, pixel on pixel where the source's slice lies."""
    capture = _capture(headers, pixels, index, derivation, series_uid, series_number, index + 1)
    capture.SeriesDescription = f"AI {headers.stack.identity.series_description} overlay".strip()[:64]
    place(capture, headers, index)
    return capture


def _capture(
    headers: SourceHeaders,
    pixels: Bytes,
    index: int,
    derivation: str,
    series_uid: str,
    series_number: int,
    instance_number: int,
) -> Dataset:
    capture = derived_image(
        headers, SecondaryCaptureImageStorage, [index], derivation, series_uid, series_number, instance_number
    )
    capture.ConversionType = "WSD"
    capture.BurnedInAnnotation = "YES"
    capture.DateOfSecondaryCapture, capture.TimeOfSecondaryCapture = capture.ContentDate, capture.ContentTime
    capture.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    capture.SecondaryCaptureDeviceManufacturerModelName = MODEL_NAME
    capture.SecondaryCaptureDeviceSoftwareVersions = __version__
    capture.Rows, capture.Columns = pixels.shape[:2]
    capture.SamplesPerPixel, capture.PlanarConfiguration = 3, 0
    capture.PhotometricInterpretation = "RGB"
    capture.BitsAllocated = capture.BitsStored = 8
    capture.HighBit, capture.PixelRepresentation = 7, 0
    data = pixels.tobytes()
    capture.PixelData = data + b"\0" * (len(data) % 2)
    return capture


def derived_image(
    headers: SourceHeaders,
    sop_class: str,
    sources: Sequence[int],
    derivation: str,
    series_uid: str,
    series_number: int,
    instance_number: int,
) -> Dataset:
    """An image of the same patient and study, derived from slices of the source, that has no pixels yet."""
    modality = headers.stack.identity.modality or "OT"
    image = derived(headers, sop_class, modality, series_number, ExplicitVRLittleEndian)
    now, first = datetime.now(), headers.first
    image.SeriesInstanceUID, image.InstanceNumber = series_uid, instance_number
    image.ContentDate, image.ContentTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.LossyImageCompression = "00"
    carry_over(first, image)
    with_side(headers, image)
    image.DerivationDescription = derivation[:1024]
    image.SourceImageSequence = [source_item(headers, k) for k in sources]
    image.PatientOrientation = first.get("PatientOrientation")
    return image


def source_item(headers: SourceHeaders, index: int) -> Dataset:
    """A reference to the source's slice `index`, as the image that something was computed from."""
    item = reference(headers.first, headers.stack.frames[index])
    item.PurposeOfReferenceCodeSequence = [
        hd.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
    ]
    return item


def place(image: Dataset, headers: SourceHeaders, index: int) -> None:
    """Put an image where the source's slice `index` lies, in the words of its header; nowhere if that lies nowhere.

    Spacing stays where the source has it without a place (PS3.3 10.7).
    """
    grid, first = headers.stack.grid, headers.first
    if headers.multiframe:
        shared = first.SharedFunctionalGroupsSequence[0]
        own = first.PerFrameFunctionalGroupsSequence[index]
        measures, turned, at = (
            (own.get(macro) or shared.get(macro) or [Dataset()])[0]
            for macro in ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence")
        )
    else:
        file = headers.stack.paths.index(headers.stack.frames[index].path)
        measures = turned = at = headers.images[file]
    if grid.calibrated:
        image.PixelSpacing = measures.PixelSpacing
    if not grid.oriented:
        return
    image.ImagePositionPatient = at.ImagePositionPatient
    image.ImageOrientationPatient = turned.ImageOrientationPatient
    image.SliceThickness = measures.SliceThickness
    image.FrameOfReferenceUID = first.FrameOfReferenceUID
    image.PositionReferenceIndicator = first.get("PositionReferenceIndicator")
    if first.get("PatientPosition"):
        image.PatientPosition = first.PatientPosition
    image.PatientOrientation = [letters(grid.directions[:, 2]), letters(grid.directions[:, 1])]
