"""One attribute of a header at a time: what is garbage, what is missing, and what cannot be done without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_description
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from overread.dicom.roles import HasValues
from overread.domain.study import Lut

_KEYWORDS = """
SOPClassUID SOPInstanceUID ImageType SpecificCharacterSet Modality StudyDate StudyDescription SeriesDescription
PatientName PatientID PatientBirthDate PatientSex BodyPartExamined ProtocolName SequenceName PulseSequenceName
ContrastBolusAgent EchoTime RepetitionTime InversionTime SliceThickness SpacingBetweenSlices TriggerTime
DiffusionBValue StudyInstanceUID SeriesInstanceUID SeriesNumber InstanceNumber AcquisitionNumber
TemporalPositionIdentifier ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID SamplesPerPixel
PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns PixelSpacing BitsAllocated BitsStored
PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit WindowCenter WindowWidth WindowCenterWidthExplanation
VOILUTFunction VOILUTSequence ModalityLUTSequence RescaleSlope RescaleIntercept RescaleType LossyImageCompression
LossyImageCompressionRatio SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence ImagerPixelSpacing
PixelSpacingCalibrationType EstimatedRadiographicMagnificationFactor
"""
# SyntheticData has been in the standard since 2024; a dictionary may not know it yet.
_TAG_OF = {keyword: Tag(keyword) for keyword in _KEYWORDS.split()} | {"SyntheticData": Tag(0x0008001C)}
TAGS: list[Any] = list(_TAG_OF.values())
T = TypeVar("T")


class NotAnImage(Exception):
    """The file is no image that can be shown; the text says what it is."""


def damaged(keyword: str) -> NotAnImage:
    """Says which attribute is garbage; not what it holds, which may be a name."""
    return NotAnImage(f"damaged header: {dictionary_description(_TAG_OF[keyword])} cannot be read")


def or_none(value: Callable[[], T]) -> T | None:
    """What the header says about something that an image can do without; None where that is garbage."""
    try:
        return value()
    except Exception:  # noqa: BLE001  pydicom and numpy raise whatever garbage leads to
        return None


class Header:
    """A header whose values are converted once for all files that say the same: slices of a series mostly do."""

    def __init__(self, dataset: Dataset, known: dict[tuple[Any, ...], Any]) -> None:
        self._dataset, self._known = dataset, known
        charset = dataset.get_item("SpecificCharacterSet")
        self._charset = None if charset is None else bytes(charset.value or b"") if charset.is_raw else None
        self._cacheable = charset is None or charset.is_raw

    def __contains__(self, keyword: str) -> bool:
        return _TAG_OF[keyword] in self._dataset

    def get(self, keyword: str) -> Any:
        """The value of an attribute, None where it is missing. NotAnImage where it is garbage."""
        try:
            return self._get(keyword)
        except Exception as error:  # converting garbage raises whatever it leads to
            raise damaged(keyword) from error

    @property
    def little_endian(self) -> bool:
        """The byte order of binary values."""
        return self._dataset.original_encoding[1] is not False

    def _get(self, keyword: str) -> Any:
        tag = _TAG_OF[keyword]
        raw = self._dataset.get_item(tag) if tag in self._dataset else None
        if raw is None:
            return None
        if (
            not self._cacheable
            or not isinstance(raw, RawDataElement)
            or not isinstance(raw.value, bytes)
            or len(raw.value) > 256
        ):
            return self._dataset[tag].value
        key = (tag, raw.VR, raw.value, self._charset, raw.is_implicit_VR, raw.is_little_endian)
        if key not in self._known:
            self._known[key] = self._dataset[tag].value
        return self._known[key]


def text(header: HasValues, keyword: str) -> str:
    """What an attribute says, "" where it is missing."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def whole(header: HasValues, keyword: str) -> int | None:
    """A whole number, None where it is missing or garbage."""
    return or_none(lambda: int(str(header.get(keyword)).strip()))


def count(header: HasValues, keyword: str, *allowed: int, default: int | None = None) -> int:
    """A number that pixels cannot be read without: one of `allowed`, or any above 0."""
    value = header.get(keyword)
    number = default if value in (None, "") else whole(header, keyword)
    if number is None or number < 1 or (allowed and number not in allowed):
        raise NotAnImage(f"{dictionary_description(_TAG_OF[keyword])} {value}: such pixels are not read here")
    return number


def floats(value: Any, count: int) -> tuple[float, ...] | None:
    """So many finite numbers, None where it is anything else. Nothing in a patient lies a kilometre away."""
    numbers = or_none(lambda: tuple(float(part) for part in value))
    if numbers is None or len(numbers) != count or not np.isfinite(numbers).all():
        return None
    return numbers if max(map(abs, numbers)) < 1e6 else None


def several(value: Any) -> list[Any]:
    """The values of an attribute that may hold none, one or more."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, MultiValue | list) else [value]


def group_of(sequence: Sequence[Dataset] | None, index: int) -> Dataset | None:
    """Item `index` of a sequence, None where there is none."""
    return sequence[index] if sequence is not None and index < len(sequence) else None


def lut(header: Header, keyword: str) -> Lut | None:
    """The first table of a Modality or VOI LUT Sequence. Raises whatever garbage leads to."""
    item = group_of(header.get(keyword), 0)
    if item is None or "LUTDescriptor" not in item or "LUTData" not in item:
        return None
    entries, first, bits = (int(value) for value in item.LUTDescriptor)
    entries = entries or 1 << 16
    if item["LUTDescriptor"].VR == "US" and header.get("PixelRepresentation") == 1 and first >= 1 << 15:
        first -= 1 << 16
    data = item.LUTData
    if isinstance(data, bytes):
        narrow = bits <= 8 and len(data) < 2 * entries
        data = np.frombuffer(data, "u1" if narrow else "<u2" if header.little_endian else ">u2")
    values = np.atleast_1d(np.asarray(data))[:entries].astype(np.float64)
    if len(values) < entries:
        raise ValueError("entries are missing")
    return Lut(first, values, str(item.get("LUTExplanation", "") or "")) if bits else None
