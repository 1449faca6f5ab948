"""One header → facts about its frames. Nothing here looks at more than one file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from overread.dicom.roles import HasValues, role
from overread.domain.study import Encoding, Frame, Identity, Lut, Window

_KEYWORDS = """
SOPClassUID SOPInstanceUID ImageType SpecificCharacterSet Modality StudyDate StudyDescription SeriesDescription
PatientName PatientID PatientBirthDate PatientSex BodyPartExamined ProtocolName SequenceName PulseSequenceName
ContrastBolusAgent EchoTime RepetitionTime InversionTime SliceThickness SpacingBetweenSlices TriggerTime
DiffusionBValue StudyInstanceUID SeriesInstanceUID SeriesNumber InstanceNumber AcquisitionNumber
TemporalPositionIdentifier ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID SamplesPerPixel
PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns PixelSpacing BitsAllocated BitsStored
PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit WindowCenter WindowWidth WindowCenterWidthExplanation
VOILUTFunction VOILUTSequence ModalityLUTSequence RescaleSlope RescaleIntercept RescaleType LossyImageCompression
LossyImageCompressionRatio SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
"""
# SyntheticData has been in the standard since 2024; a dictionary may not know it yet.
_TAG_OF = {keyword: Tag(keyword) for keyword in _KEYWORDS.split()} | {"SyntheticData": Tag(0x0008001C)}
_TAGS: list[Any] = list(_TAG_OF.values())


class _Header:
    """A header whose values are converted once for all files that say the same: slices of a series mostly do."""

    def __init__(self, dataset: Dataset, known: dict[tuple[Any, ...], Any]) -> None:
        self._dataset, self._known = dataset, known
        charset = dataset.get_item("SpecificCharacterSet")
        self._charset = None if charset is None else bytes(charset.value or b"") if charset.is_raw else None
        self._cacheable = charset is None or charset.is_raw

    def __contains__(self, keyword: str) -> bool:
        return _TAG_OF[keyword] in self._dataset

    def get(self, keyword: str) -> Any:
        """The value of an attribute, None where it is missing."""
        tag = _TAG_OF.get(keyword)
        if tag is None:
            return self._dataset.get(keyword)
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


class NotAnImage(Exception):
    """The file is no image that can be shown; the text says what it is."""


@dataclass(frozen=True)
class FrameFacts:
    """What one frame's header says. Positions and spacings are mm in LPS; None where the header is silent."""

    patient: tuple[str, str, str]
    identity: Identity
    frame: Frame
    encoding: Encoding
    sop_class_uid: str
    number: int
    position: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float] | None
    thickness: float | None
    split: tuple[tuple[str, float], ...]
    windows: tuple[Window, ...]
    voi_lut: Lut | None
    modality_lut: Lut | None
    units: str
    role: str
    body_part: str
    lossy: str
    synthetic: bool
    mosaic: bool
    padding: tuple[float, float] | None


def read_facts(path: Path, known: dict[tuple[Any, ...], Any]) -> list[FrameFacts]:
    """The facts of every frame of a file. NotAnImage where there is nothing to show.

    `known` holds values that were converted for other files already, and grows.
    """
    try:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=not _has_preamble(file))
            offset = file.tell()
            syntax = _transfer_syntax(header)
            if syntax == DeflatedExplicitVRLittleEndian:
                offset = -1
            elif not _at_pixels(file, offset, header):
                raise NotAnImage(_what_it_is(header))
    except (InvalidDicomError, EOFError) as error:
        raise NotAnImage("not a DICOM file") from error
    except OSError as error:
        raise NotAnImage(f"cannot be read: {error.strerror or error}") from error
    except NotAnImage:
        raise
    except Exception as error:
        raise NotAnImage(f"damaged: {type(error).__name__}") from error
    try:
        return list(_frames(_Header(header, known), str(path), syntax, offset, (stat.st_size, stat.st_mtime_ns)))
    except (KeyError, AttributeError, ValueError, TypeError, IndexError) as error:
        raise NotAnImage(f"damaged header: {error}") from error


def _has_preamble(file: BinaryIO) -> bool:
    """Whether the file is a Part 10 file; files of before 1993 begin with their first element instead."""
    start = file.read(132)
    file.seek(0)
    if start[128:132] == b"DICM":
        return True
    group = int.from_bytes(start[:2], "little")
    if len(start) < 132 or group not in (0x0002, 0x0008):
        raise NotAnImage("not a DICOM file")
    return False


def _transfer_syntax(header: Any) -> str:
    return str(getattr(header.file_meta, "TransferSyntaxUID", ImplicitVRLittleEndian))


def _at_pixels(file: BinaryIO, offset: int, header: Dataset) -> bool:
    """Whether the Pixel Data element starts at `offset`."""
    file.seek(offset)
    tag = file.read(4)
    return tag in (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10") and "Rows" in header


def _what_it_is(header: Any) -> str:
    name = UID(str(header.get("SOPClassUID") or "")).name
    modality = str(header.get("Modality") or "")
    if not name:
        return "a DICOM file without image"
    if "Rows" in header and "Segmentation" not in name:
        return f"{name.removesuffix(' Storage')} without pixel data"
    return f"{name.removesuffix(' Storage')}{f' ({modality})' if modality else ''}, no image of its own"


def _text(header: HasValues, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def _whole(header: HasValues, keyword: str) -> int | None:
    try:
        return int(str(header.get(keyword)))
    except ValueError:
        return None


def _floats(value: Any, count: int) -> tuple[float, ...] | None:
    if value is None or isinstance(value, (str, int, float)) or len(value) != count:
        return None
    numbers = tuple(float(part) for part in value)
    return numbers if np.isfinite(numbers).all() else None


def identity(header: HasValues) -> Identity:
    """Whose image it is."""
    return Identity(
        patient_id=_text(header, "PatientID"),
        patient_name=_text(header, "PatientName"),
        birth_date=_text(header, "PatientBirthDate"),
        sex=_text(header, "PatientSex"),
        study_uid=_text(header, "StudyInstanceUID"),
        study_date=_text(header, "StudyDate"),
        study_description=_text(header, "StudyDescription"),
        series_uid=_text(header, "SeriesInstanceUID"),
        series_number=_whole(header, "SeriesNumber"),
        series_description=_text(header, "SeriesDescription"),
        modality=_text(header, "Modality"),
        frame_of_reference_uid=_text(header, "FrameOfReferenceUID"),
    )


def patient_key(who: Identity) -> tuple[str, str, str]:
    """What tells people apart: ID, name (spelling of separators and case aside) and birth date.

    Where all three are missing every study is a person of its own: unnamed people are never taken for one.
    """
    name = " ".join(who.patient_name.split("=")[0].replace("^", " ").upper().split())
    key = (who.patient_id, name, who.birth_date)
    return key if any(key) else ("", "", who.study_uid)


def _frames(header: _Header, path: str, syntax: str, offset: int, stamp: tuple[int, int]) -> Iterator[FrameFacts]:
    if _text(header, "SOPClassUID").startswith("1.2.840.10008.5.1.4.1.1.66") or "Rows" not in header:
        raise NotAnImage(_what_it_is(header))
    who = identity(header)
    count = _whole(header, "NumberOfFrames") or 1
    image_type = [str(part) for part in header.get("ImageType") or ()]
    lossy = ""
    if _text(header, "LossyImageCompression") == "01":
        ratio = header.get("LossyImageCompressionRatio")
        ratios = [ratio] if ratio is None or isinstance(ratio, (int, float, str)) else list(ratio)
        lossy = f"lossy {float(ratios[-1]):.0f}:1" if ratios and ratios[-1] not in (None, "") else "lossy"
    first = FrameFacts(
        patient=patient_key(who),
        identity=who,
        frame=Frame(path, 0, count, _text(header, "SOPInstanceUID"), syntax, offset, stamp),
        encoding=_encoding(header),
        sop_class_uid=_text(header, "SOPClassUID"),
        number=_whole(header, "InstanceNumber") or 0,
        position=None,
        orientation=None,
        spacing=None,
        thickness=None,
        split=(),
        windows=(),
        voi_lut=_lut(header, "VOILUTSequence"),
        modality_lut=_lut(header, "ModalityLUTSequence"),
        units="",
        role=role(header),
        body_part=_text(header, "BodyPartExamined").upper(),
        lossy=lossy,
        synthetic=_text(header, "SyntheticData") == "YES",
        mosaic="MOSAIC" in image_type,
        padding=_padding(header),
    )
    shared = _group(header.get("SharedFunctionalGroupsSequence"), 0)
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    for index in range(count):
        yield _placed(first, index, _Lookup(header, shared, _group(per_frame, index)))


def _encoding(header: _Header) -> Encoding:
    return Encoding(
        rows=int(header.get("Rows")),
        columns=int(header.get("Columns")),
        samples=_whole(header, "SamplesPerPixel") or 1,
        bits_allocated=int(header.get("BitsAllocated")),
        bits_stored=_whole(header, "BitsStored") or int(header.get("BitsAllocated")),
        signed=_whole(header, "PixelRepresentation") == 1,
        planar=_whole(header, "PlanarConfiguration") == 1,
        photometric=_text(header, "PhotometricInterpretation") or "MONOCHROME2",
    )


def _group(sequence: Sequence[Dataset] | None, index: int) -> Dataset | None:
    return sequence[index] if sequence is not None and index < len(sequence) else None


@dataclass(frozen=True)
class _Lookup:
    """An attribute of a frame: its own functional group first, then the shared one, then the plain header."""

    header: _Header
    shared: Dataset | None
    own: Dataset | None

    def get(self, keyword: str, group: str) -> Any:
        for place in (self.own, self.shared):
            inner = _group(place.get(group), 0) if place is not None and group else None
            if inner is not None and keyword in inner:
                return inner.get(keyword)
        return self.header.get(keyword)

    def number(self, keyword: str, group: str) -> float | None:
        value = self.get(keyword, group)
        if isinstance(value, pydicom.multival.MultiValue):
            value = value[0] if value else None
        return None if value in (None, "") else float(value)


def _placed(first: FrameFacts, index: int, lookup: _Lookup) -> FrameFacts:
    """The facts of frame `index` of a file."""
    position = _floats(lookup.get("ImagePositionPatient", "PlanePositionSequence"), 3)
    spacing = _floats(lookup.get("PixelSpacing", "PixelMeasuresSequence"), 2)
    slope = lookup.number("RescaleSlope", "PixelValueTransformationSequence")
    intercept = lookup.number("RescaleIntercept", "PixelValueTransformationSequence")
    split = {
        "EchoTime": lookup.number("EffectiveEchoTime", "MREchoSequence") or lookup.number("EchoTime", ""),
        "DiffusionBValue": lookup.number("DiffusionBValue", "MRDiffusionSequence"),
        "TemporalPositionIdentifier": lookup.number("TemporalPositionIndex", "FrameContentSequence")
        or lookup.number("TemporalPositionIdentifier", ""),
        "TriggerTime": lookup.number("TriggerTime", ""),
        "AcquisitionNumber": lookup.number("FrameAcquisitionNumber", "FrameContentSequence")
        or lookup.number("AcquisitionNumber", ""),
    }
    units = str(lookup.get("RescaleType", "PixelValueTransformationSequence") or "").strip()
    return replace(
        first,
        frame=replace(first.frame, index=index, slope=1.0 if slope is None else slope, intercept=intercept or 0.0),
        number=first.number if index == 0 else first.number + index,
        position=None if position is None else (position[0], position[1], position[2]),
        orientation=_floats(lookup.get("ImageOrientationPatient", "PlaneOrientationSequence"), 6),
        spacing=None if spacing is None or min(spacing) <= 0 else (spacing[0], spacing[1]),
        thickness=lookup.number("SpacingBetweenSlices", "PixelMeasuresSequence")
        or lookup.number("SliceThickness", "PixelMeasuresSequence"),
        split=tuple((name, value) for name, value in split.items() if value is not None),
        windows=_windows(lookup),
        units=_units(first.identity.modality, units, slope is not None),
    )


def _units(modality: str, rescale_type: str, rescaled: bool) -> str:
    if rescale_type and rescale_type != "US":
        return rescale_type
    return "HU" if modality == "CT" and rescaled else ""


def _windows(lookup: _Lookup) -> tuple[Window, ...]:
    def several(keyword: str) -> list[Any]:
        value = lookup.get(keyword, "FrameVOILUTSequence")
        if value is None or value == "":
            return []
        return list(value) if isinstance(value, pydicom.multival.MultiValue) else [value]

    names = [str(name) for name in several("WindowCenterWidthExplanation")]
    functions = several("VOILUTFunction")
    function = str(functions[0]) if functions else "LINEAR"
    pairs = zip(several("WindowCenter"), several("WindowWidth"), strict=False)
    return tuple(
        Window(float(center), float(width), names[at] if at < len(names) else "", function)
        for at, (center, width) in enumerate(pairs)
        if float(width) > 0
    )


def _lut(header: _Header, keyword: str) -> Lut | None:
    item = _group(header.get(keyword), 0)
    if item is None or "LUTDescriptor" not in item or "LUTData" not in item:
        return None
    entries, first, bits = (int(value) for value in item.LUTDescriptor)
    if item["LUTDescriptor"].VR == "US" and header.get("PixelRepresentation") == 1 and first >= 1 << 15:
        first -= 1 << 16
    data = item.LUTData
    values = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    values = values[: entries or 1 << 16].astype(np.float64)
    return Lut(first, values, str(item.get("LUTExplanation", "") or "")) if len(values) and bits else None


def _padding(header: _Header) -> tuple[float, float] | None:
    value = header.get("PixelPaddingValue")
    if value is None:
        return None
    limit = header.get("PixelPaddingRangeLimit")
    ends = (float(value), float(value if limit is None else limit))
    return min(ends), max(ends)
