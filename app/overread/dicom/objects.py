"""Files that are no images but speak about some: what they are, and which stacks they are shown on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
from pydicom import Dataset
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExtensibleSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

from overread.dicom.headers import LABEL_MAP, identity
from overread.dicom.quiet import quiet
from overread.dicom.values import NotAnImage
from overread.domain.objects import ObjectSource
from overread.domain.study import DerivedObject, Identity, Stack

SEG, SR, RTSTRUCT, GSPS, KO, PM = "SEG", "SR", "RTSTRUCT", "GSPS", "KO", "PM"
_KINDS = {
    SegmentationStorage: SEG,
    LABEL_MAP: SEG,
    EnhancedSRStorage: SR,
    ComprehensiveSRStorage: SR,
    Comprehensive3DSRStorage: SR,
    ExtensibleSRStorage: SR,
    RTStructureSetStorage: RTSTRUCT,
    GrayscaleSoftcopyPresentationStateStorage: GSPS,
    KeyObjectSelectionDocumentStorage: KO,
    ParametricMapStorage: PM,
}
# Those that give places in the patient, and can do without the images that they were drawn on.
_PLACED = (SEG, RTSTRUCT, PM)
# Secondary Capture, with one frame or several (PS3.4 B.5).
_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"
# The titles of reports on measurements (DCM): where the template is not named, they tell it.
_MEASUREMENT_REPORTS = ("126000", "126001", "126002", "126003")
_KEYWORDS = """
SOPClassUID SOPInstanceUID SpecificCharacterSet Modality Manufacturer ManufacturerModelName PatientName PatientID
PatientBirthDate PatientSex StudyInstanceUID StudyDate StudyDescription SeriesInstanceUID SeriesNumber
SeriesDescription FrameOfReferenceUID ContentDate ContentTime StructureSetDate StructureSetTime
PresentationCreationDate PresentationCreationTime SeriesDate InstanceCreationDate ContentLabel StructureSetLabel
ReferencedSeriesSequence StudiesContainingOtherReferencedInstancesSequence CurrentRequestedProcedureEvidenceSequence
PertinentOtherEvidenceSequence ReferencedFrameOfReferenceSequence StructureSetROISequence ROIContourSequence
ContentTemplateSequence ConceptNameCodeSequence TotalPixelMatrixColumns DimensionOrganizationType
PerFrameFunctionalGroupsSequence SharedFunctionalGroupsSequence SourceImageSequence
"""


def read_object(path: Path) -> DerivedObject:
    """What a file that is no image says about images.

    NotAnImage where it is nothing that is shown; the text says what it is, "" where nothing is known of it.
    """
    try:
        with quiet(), path.open("rb") as file:
            stat = os.fstat(file.fileno())
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SOPClassUID"])
            kind = _KINDS.get(UID(str(header.get("SOPClassUID") or "")))
    except Exception as error:  # a file may hold anything
        raise NotAnImage("") from error
    if kind is None:
        raise NotAnImage("")
    try:
        with quiet():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*_KEYWORDS.split()])
            _require_shown(kind, header)
            return _described(kind, header, path, (stat.st_size, stat.st_mtime_ns))
    except NotAnImage:
        raise
    except Exception as error:  # a file may hold anything
        raise NotAnImage(f"a {kind} with a damaged header") from error


def _require_shown(kind: str, header: Dataset) -> None:
    """NotAnImage where an object is of a kind that is known, but not of a form that can be shown."""
    tiled = "TotalPixelMatrixColumns" in header or "TILED" in str(header.get("DimensionOrganizationType") or "")
    if kind in (SEG, PM) and tiled:
        what = "segmentation" if kind == SEG else "parametric map"
        raise NotAnImage(f"a {what} of tiles of a slide, which is not shown here")
    if kind == SR:
        template = _first(header, "ContentTemplateSequence")
        number = str(template.get("TemplateIdentifier") or "") if template is not None else ""
        title = _first(header, "ConceptNameCodeSequence")
        named = str(title.get("CodeMeaning") or "") if title is not None else ""
        reports = title is not None and str(title.get("CodeValue") or "") in _MEASUREMENT_REPORTS
        if number != "1500" and not (reports and not number):
            what = f" ‘{named}’" if named else ""
            form = f"template {number}" if number else "no template named"
            raise NotAnImage(f"a structured report{what} ({form}); only measurement reports, template 1500, are shown")


def _first(item: Any, keyword: str) -> Dataset | None:
    sequence = item.get(keyword)
    return sequence[0] if sequence else None


def _described(kind: str, header: Dataset, path: Path, stamp: tuple[int, int]) -> DerivedObject:
    def said(*keywords: str) -> str:
        return next((str(header.get(keyword)).strip() for keyword in keywords if header.get(keyword)), "")

    date = said("ContentDate", "StructureSetDate", "PresentationCreationDate", "SeriesDate", "InstanceCreationDate")
    source = ObjectSource(
        kind=kind,
        sop_class_uid=said("SOPClassUID"),
        sop_instance_uid=said("SOPInstanceUID"),
        description=said("SeriesDescription", "StructureSetLabel", "ContentLabel"),
        manufacturer=said("Manufacturer"),
        model_name=said("ManufacturerModelName"),
        date=date,
    )
    return DerivedObject(
        path=str(path),
        stamp=stamp,
        identity=identity(header),
        source=source,
        when=date + said("ContentTime", "StructureSetTime", "PresentationCreationTime"),
        images=frozenset(_images(kind, header)),
        frames_of_reference=frozenset(_frames_of_reference(kind, header)),
    )


def _images(kind: str, header: Dataset) -> Iterator[str]:
    """The SOP Instance UIDs that an object refers to, images and other objects."""
    if kind == RTSTRUCT:
        for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
            for study in frame.get("RTReferencedStudySequence") or ():
                for series in study.get("RTReferencedSeriesSequence") or ():
                    yield from _uids(series.get("ContourImageSequence"))
        for contours in header.get("ROIContourSequence") or ():
            for contour in contours.get("ContourSequence") or ():
                yield from _uids(contour.get("ContourImageSequence"))
        return
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in header.get(keyword) or ():
            for series in study.get("ReferencedSeriesSequence") or ():
                yield from _uids(series.get("ReferencedSOPSequence"))
    listed = False
    for series in header.get("ReferencedSeriesSequence") or ():
        listed = True
        yield from _uids(series.get("ReferencedInstanceSequence"))
        yield from _uids(series.get("ReferencedImageSequence"))
    for study in header.get("StudiesContainingOtherReferencedInstancesSequence") or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            yield from _uids(series.get("ReferencedInstanceSequence"))
    if kind in (SEG, PM) and not listed:
        yield from _sources(header)


def _sources(header: Dataset) -> Iterator[str]:
    """The images that an image says it was derived from, as a whole or frame by frame."""
    yield from _uids(header.get("SourceImageSequence"))
    groups = [*(header.get("PerFrameFunctionalGroupsSequence") or ())]
    for group in [*groups, *(header.get("SharedFunctionalGroupsSequence") or ())]:
        for derivation in group.get("DerivationImageSequence") or ():
            yield from _uids(derivation.get("SourceImageSequence"))


def _uids(sequence: Iterable[Dataset] | None) -> Iterator[str]:
    for item in sequence or ():
        uid = str(item.get("ReferencedSOPInstanceUID") or "")
        if uid:
            yield uid


def _frames_of_reference(kind: str, header: Dataset) -> Iterator[str]:
    if header.get("FrameOfReferenceUID"):
        yield str(header.FrameOfReferenceUID)
    if kind == RTSTRUCT:
        for roi in header.get("StructureSetROISequence") or ():
            if roi.get("ReferencedFrameOfReferenceUID"):
                yield str(roi.ReferencedFrameOfReferenceUID)


def shown_on(objects: Sequence[DerivedObject], stacks: Sequence[Stack]) -> Iterator[DerivedObject | tuple[str, str]]:
    """The objects with the stacks that each is shown on; path and reason of those that are shown on none.

    An object belongs to the stacks whose images it refers to, directly or through an object that is here. Where none
    of them is here, one that gives places in the patient belongs to the only stack in its frame of reference.
    """
    holders: dict[str, list[Stack]] = {}
    for stack in stacks:
        for uid in {frame.sop_instance_uid for frame in stack.frames if frame.sop_instance_uid}:
            holders.setdefault(uid, []).append(stack)
    others = {each.source.sop_instance_uid: each.images for each in objects}
    for each in objects:
        named = each.images.union(*(others.get(uid, frozenset()) for uid in each.images))
        found = {stack.uid: stack for uid in named for stack in holders.get(uid, ())}
        known = bool(found)
        if not found and each.source.kind in _PLACED:
            same = [
                stack
                for stack in stacks
                if stack.grid.oriented and stack.identity.frame_of_reference_uid in each.frames_of_reference
            ]
            mine = [stack for stack in same if _same_person(stack.identity, each.identity)]
            known = len(mine) > 1
            found = {stack.uid: stack for stack in mine} if len(mine) == 1 else {}
        own = tuple(uid for uid, stack in found.items() if _same_person(stack.identity, each.identity))
        what = each.source.title
        if own:
            yield replace(each, stacks=own)
        elif found:
            yield each.path, f"{what}: it refers to images of somebody with another name or ID, so it is not shown"
        elif known:
            several = "several series lie in its frame of reference"
            yield each.path, f"{what}: the images that it was made on are not here, and {several}"
        else:
            yield each.path, f"{what}: the images that it speaks of are not here"


def pictured(stack: Stack, stacks: Sequence[Stack]) -> str:
    """The series that a secondary capture says it was made from, in words; "" where it says nothing or it is not here.

    One file of the capture is asked. Nothing is read of other images.
    """
    if not stack.sop_class_uid.startswith(_CAPTURES):
        return ""
    wanted = ["SourceImageSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]
    try:
        with quiet():
            header = pydicom.dcmread(stack.paths[0], stop_before_pixels=True, specific_tags=[*wanted])
            named = set(_sources(header))
    except Exception:  # noqa: BLE001  a file may hold anything; the picture itself is shown all the same
        return ""
    for other in stacks:
        if other is not stack and not named.isdisjoint(frame.sop_instance_uid for frame in other.frames):
            who = other.identity
            number = f"series {who.series_number}" if who.series_number is not None else ""
            return " · ".join(part for part in (number, who.series_description or who.modality) if part)
    return ""


def _same_person(one: Identity, other: Identity) -> bool:
    """Whether nothing says that two headers are of two people. Some writers leave name or birth date out."""
    pairs = zip(one.person, other.person, strict=True)
    return all(a == b or not a.strip() or not b.strip() for a, b in pairs)
