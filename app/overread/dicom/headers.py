"""One header → facts about its frames. Nothing here looks at more than one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ParametricMapStorage,
)

from overread.dicom.quiet import quiet
from overread.dicom.roles import HasValues, role
from overread.dicom.rulers import ruler
from overread.dicom.values import (
    TAGS,
    Header,
    NotAnImage,
    count,
    damaged,
    floats,
    group_of,
    lut,
    or_none,
    several,
    text,
    whole,
)
from overread.domain.ruler import Ruler
from overread.domain.study import Encoding, Frame, Identity, Lut, Window

# Younger than dictionaries.
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
# Segmentations and their kin, and parametric maps, which may hold whole numbers as images do.
_NO_IMAGES = ("1.2.840.10008.5.1.4.1.1.66", ParametricMapStorage)
# A frame takes a place of its own in memory before anything of it is read: no file has more of them.
_MOST_FRAMES = 1 << 16


@dataclass(frozen=True)
class FrameFacts:
    """What one frame's header says. Positions and spacings are mm in LPS; None where the header is silent."""

    patient: tuple[str, str, str]
    series: str
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
    ruler: Ruler = field(default_factory=Ruler)


def read_facts(path: Path, known: dict[tuple[Any, ...], Any]) -> list[FrameFacts]:
    """The facts of every frame of a file. NotAnImage where there is nothing to show.

    `known` holds values that were converted for other files already, and grows.
    """
    try:
        with quiet(), path.open("rb") as file:
            stat = os.fstat(file.fileno())
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=TAGS, force=not _has_preamble(file))
            offset = file.tell()
            syntax = _transfer_syntax(header)
            if syntax == DeflatedExplicitVRLittleEndian:
                offset = -1
            elif not _at_pixels(file, offset, header):
                raise NotAnImage(_what_it_is(header))
            stamp = stat.st_size, stat.st_mtime_ns
            return list(_frames(Header(header, known), path, syntax, offset, stamp))
    except (InvalidDicomError, EOFError) as error:
        raise NotAnImage("not a DICOM file") from error
    except OSError as error:
        raise NotAnImage(f"cannot be read: {error.strerror or error}") from error
    except NotAnImage:
        raise
    except Exception as error:  # a file may hold anything
        raise NotAnImage("damaged header") from error


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
    """What the file says it is written in; where it says nothing, what it turned out to be."""
    given = str(header.file_meta.get("TransferSyntaxUID") or "")
    implicit, little = header.original_encoding
    found = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    return given or str(found)


def _at_pixels(file: BinaryIO, offset: int, header: Dataset) -> bool:
    """Whether the Pixel Data element starts at `offset`."""
    file.seek(offset)
    tag = file.read(4)
    return tag in (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10") and "Rows" in header


def _what_it_is(header: Any) -> str:
    uid = str(header.get("SOPClassUID") or "")
    name = "Segmentation" if uid == LABEL_MAP else UID(uid).name
    modality = str(header.get("Modality") or "")
    if not name:
        return "a DICOM file without image"
    if "Rows" in header and "Segmentation" not in name:
        return f"{name.removesuffix(' Storage')} without pixel data"
    return f"{name.removesuffix(' Storage')}{f' ({modality})' if modality else ''}, no image of its own"


def identity(header: HasValues) -> Identity:
    """Whose image it is."""
    return Identity(
        patient_id=text(header, "PatientID"),
        patient_name=text(header, "PatientName"),
        birth_date=text(header, "PatientBirthDate"),
        sex=text(header, "PatientSex"),
        study_uid=text(header, "StudyInstanceUID"),
        study_date=text(header, "StudyDate"),
        study_description=text(header, "StudyDescription"),
        series_uid=text(header, "SeriesInstanceUID"),
        series_number=whole(header, "SeriesNumber"),
        series_description=text(header, "SeriesDescription"),
        modality=text(header, "Modality"),
        frame_of_reference_uid=text(header, "FrameOfReferenceUID"),
    )


def _patient_key(who: Identity, folder: str) -> tuple[str, str, str]:
    """What tells people apart.

    Where ID, name and birth date are missing every study is a person of its own, and every folder where that is
    missing as well: unnamed people are never taken for one.
    """
    return who.person if any(who.person) else ("", "", who.study_uid or folder)


def _series_key(who: Identity, folder: str) -> str:
    """What tells series apart: the UID, or what else is known where it is missing."""
    return who.series_uid or f"{folder}/{who.series_number}/{who.modality}/{who.series_description}"


def _frames(header: Header, path: Path, syntax: str, offset: int, stamp: tuple[int, int]) -> Iterator[FrameFacts]:
    if text(header, "SOPClassUID").startswith(_NO_IMAGES) or "Rows" not in header:
        raise NotAnImage(_what_it_is(header))
    who = identity(header)
    frames = whole(header, "NumberOfFrames") or 1
    if not 1 <= frames <= _MOST_FRAMES:
        raise NotAnImage(f"damaged header: {frames} frames")
    first = FrameFacts(
        patient=_patient_key(who, str(path.parent)),
        series=_series_key(who, str(path.parent)),
        identity=who,
        frame=Frame(str(path), 0, frames, text(header, "SOPInstanceUID"), syntax, offset, stamp),
        encoding=_encoding(header),
        sop_class_uid=text(header, "SOPClassUID"),
        number=whole(header, "InstanceNumber") or 0,
        position=None,
        orientation=None,
        spacing=None,
        thickness=None,
        split=(),
        windows=(),
        voi_lut=or_none(lambda: lut(header, "VOILUTSequence")),
        modality_lut=_modality_lut(header),
        units="",
        role=or_none(lambda: role(header)) or "",
        body_part=(or_none(lambda: text(header, "BodyPartExamined")) or "").upper(),
        lossy=_lossy(header),
        synthetic=or_none(lambda: text(header, "SyntheticData")) == "YES",
        mosaic="MOSAIC" in (or_none(lambda: list(header.get("ImageType"))) or ()),
        padding=or_none(lambda: _padding(header)),
    )
    shared = group_of(header.get("SharedFunctionalGroupsSequence"), 0)
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    for index in range(frames):
        yield _placed(first, index, _Lookup(header, shared, group_of(per_frame, index)))


def _lossy(header: Header) -> str:
    """What compression has cost, "" where nothing was lost."""
    if or_none(lambda: text(header, "LossyImageCompression")) != "01":
        return ""
    ratio = or_none(lambda: float(several(header.get("LossyImageCompressionRatio"))[-1]))
    return "lossy" if ratio is None else f"lossy {ratio:.0f}:1"


def _encoding(header: Header) -> Encoding:
    allocated = count(header, "BitsAllocated", 1, 8, 16, 32)
    return Encoding(
        rows=count(header, "Rows"),
        columns=count(header, "Columns"),
        samples=count(header, "SamplesPerPixel", 1, 3, default=1),
        bits_allocated=allocated,
        bits_stored=min(whole(header, "BitsStored") or allocated, allocated),
        signed=whole(header, "PixelRepresentation") == 1,
        planar=whole(header, "PlanarConfiguration") == 1,
        photometric=text(header, "PhotometricInterpretation") or "MONOCHROME2",
    )


@dataclass(frozen=True)
class _Lookup:
    """An attribute of a frame: its own functional group first, then the shared one, then the plain header."""

    header: Header
    shared: Dataset | None
    own: Dataset | None

    def get(self, keyword: str, group: str) -> Any:
        for place in (self.own, self.shared):
            inner = group_of(place.get(group), 0) if place is not None and group else None
            if inner is not None and keyword in inner:
                return inner.get(keyword)
        return self.header.get(keyword)

    def floats(self, keyword: str, group: str, count: int) -> tuple[float, ...] | None:
        """So many finite numbers, None where there is anything else."""
        return or_none(lambda: floats(self.get(keyword, group), count))

    def number(self, keyword: str, group: str = "") -> float | None:
        """A finite number, None where there is none. NotAnImage where it is garbage."""
        values = several(self.get(keyword, group))
        number = or_none(lambda: float(values[0])) if values else None
        if values and (number is None or not np.isfinite(number)):
            raise damaged(keyword)
        return number

    def hint(self, keyword: str, group: str = "") -> float | None:
        """A number that an image can do without."""
        return or_none(lambda: self.number(keyword, group))


def _placed(first: FrameFacts, index: int, lookup: _Lookup) -> FrameFacts:
    """The facts of frame `index` of a file."""
    # One plain position for many frames (a cine, a rotation) is the place of none of them.
    placed = lookup.own is not None or first.frame.of == 1
    position = lookup.floats("ImagePositionPatient", "PlanePositionSequence", 3) if placed else None
    orientation = lookup.floats("ImageOrientationPatient", "PlaneOrientationSequence", 6)
    if orientation is not None and not _directions(orientation):
        orientation = None
    spacing = lookup.floats("PixelSpacing", "PixelMeasuresSequence", 2)
    slope = lookup.number("RescaleSlope", "PixelValueTransformationSequence")
    intercept = lookup.number("RescaleIntercept", "PixelValueTransformationSequence")
    split = {
        "EchoTime": lookup.hint("EffectiveEchoTime", "MREchoSequence") or lookup.hint("EchoTime"),
        "DiffusionBValue": lookup.hint("DiffusionBValue", "MRDiffusionSequence"),
        "TemporalPositionIdentifier": lookup.hint("TemporalPositionIndex", "FrameContentSequence")
        or lookup.hint("TemporalPositionIdentifier"),
        "InversionTime": lookup.hint("InversionTime"),
        "TriggerTime": lookup.hint("TriggerTime"),
        "AcquisitionNumber": lookup.hint("FrameAcquisitionNumber", "FrameContentSequence")
        or lookup.hint("AcquisitionNumber"),
    }
    units = or_none(lambda: str(lookup.get("RescaleType", "PixelValueTransformationSequence") or "").strip()) or ""
    thickness = lookup.hint("SpacingBetweenSlices", "PixelMeasuresSequence") or lookup.hint(
        "SliceThickness", "PixelMeasuresSequence"
    )
    found = _pair(spacing)
    return replace(
        first,
        frame=replace(first.frame, index=index, slope=1.0 if slope is None else slope, intercept=intercept or 0.0),
        number=first.number if index == 0 else first.number + index,
        position=None if position is None else (position[0], position[1], position[2]),
        orientation=orientation,
        spacing=found,
        thickness=abs(thickness) if thickness is not None and 0.01 <= abs(thickness) <= 1000 else None,
        split=tuple((name, value) for name, value in split.items() if value is not None),
        windows=or_none(lambda: _windows(lookup)) or (),
        units=_units(first.identity.modality, units, slope is not None),
        ruler=ruler(
            first.identity.modality,
            found,
            _pair(lookup.floats("ImagerPixelSpacing", "", 2)),
            or_none(lambda: str(lookup.get("PixelSpacingCalibrationType", "") or "").strip()) or "",
            lookup.hint("EstimatedRadiographicMagnificationFactor"),
        ),
    )


def _pair(spacing: tuple[float, ...] | None) -> tuple[float, float] | None:
    """Height and width of a pixel, mm; None where they are none."""
    return None if spacing is None or min(spacing) < 1e-4 else (spacing[0], spacing[1])


def _directions(cosines: tuple[float, ...]) -> bool:
    """Whether these are two directions: each about 1 long, and not the same."""
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    long = [np.linalg.norm(row), np.linalg.norm(column)]
    return bool(min(long) > 0.9 and max(long) < 1.1 and np.linalg.norm(np.cross(row, column)) > 0.5)


def _units(modality: str, rescale_type: str, rescaled: bool) -> str:
    if rescale_type and rescale_type != "US":
        return rescale_type
    return "HU" if modality == "CT" and rescaled else ""


def _windows(lookup: _Lookup) -> tuple[Window, ...]:
    def stated(keyword: str) -> list[Any]:
        return or_none(lambda: several(lookup.get(keyword, "FrameVOILUTSequence"))) or []

    names = [str(name) for name in stated("WindowCenterWidthExplanation")]
    function = str((stated("VOILUTFunction") or ["LINEAR"])[0])
    pairs = zip(map(float, stated("WindowCenter")), map(float, stated("WindowWidth")), strict=False)
    return tuple(
        Window(center, width, names[at] if at < len(names) else "", function)
        for at, (center, width) in enumerate(pairs)
        if width > 0 and np.isfinite((center, width)).all()
    )


def _modality_lut(header: Header) -> Lut | None:
    try:
        return lut(header, "ModalityLUTSequence")
    except Exception as error:  # values that nobody can turn into real ones
        raise damaged("ModalityLUTSequence") from error


def _padding(header: Header) -> tuple[float, float] | None:
    value = header.get("PixelPaddingValue")
    if value is None:
        return None
    limit = header.get("PixelPaddingRangeLimit")
    ends = (float(value), float(value if limit is None else limit))
    return min(ends), max(ends)
