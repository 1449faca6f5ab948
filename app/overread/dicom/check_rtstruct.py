"""The structure set among the products: what it carries, and how it is read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from overread.dicom.check_seg import same_concept
from overread.dicom.product import Parcel, Product, require
from overread.dicom.source import person_name
from overread.dicom.write_rtstruct import description, generation, roi_name, write_rtstruct
from overread.domain.finding import Bools, Finding
from overread.domain.geometry import Floats
from overread.domain.study import Stack
from overread.imaging.outlines import patch

_PLANE_MM = 1e-3
# Problems after which slices still are parallel, stand one behind the other and are measured: contours may lie on them.
_HARMLESS = frozenset({"lossy", "several-images", "mixed-orientation", "no-thickness"})


def refuse(stack: Stack, finding: Finding) -> str:
    """Why a structure set has no place for a finding, "" where it has."""
    if not finding.mask:
        return "It has no outline."
    if not stack.grid.oriented:
        return "This image has no place in the patient, so no contour can lie in it."
    if not stack.grid.calibrated:
        return "This image has no pixel spacing, so no contour can be given in mm."
    for problem in stack.problems:
        if problem.code not in _HARMLESS and not (problem.code == "variable-spacing" and problem.measurable):
            return f"A structure set needs a regular stack of slices. {problem.text}"
    return ""


def _write(parcel: Parcel) -> list[Path]:
    return [parcel.save(write_rtstruct(parcel))]


def _check(parcel: Parcel, paths: Sequence[Path]) -> None:
    (path,) = paths
    written = pydicom.dcmread(path)
    regions, contours, observations = (
        list(written[keyword].value)
        for keyword in ("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence")
    )
    many = len(parcel.findings)
    require(len(regions) == len(contours) == len(observations) == many, "another number of regions")
    _references(written, parcel)
    before = [str(item.ReferencedSOPInstanceUID) for item in written.get("PredecessorStructureSetSequence", ())]
    require(before == [left.sop_instance_uid for left in parcel.earlier], "it comes after other structure sets")
    signer = written.get("ReviewerName"), written.ApprovalStatus
    meant = (None, "UNAPPROVED") if parcel.signed_by is None else (person_name(parcel.signed_by.name), "APPROVED")
    require(signer == meant, "it was signed by nobody, or by somebody else")
    for number, finding in enumerate(parcel.findings, start=1):
        region, drawn, observed = regions[number - 1], contours[number - 1], observations[number - 1]
        numbers = {int(region.ROINumber), int(drawn.ReferencedROINumber), int(observed.ReferencedROINumber)}
        require(numbers == {number}, "regions are numbered in another way")
        require(region.ROIName == roi_name(finding), f"region {number} has another name")
        require(region.ROIDescription == description(finding), f"region {number} lost its tracking UID")
        made_by = region.ROIGenerationAlgorithm, region.ROIGenerationDescription
        require(made_by == generation(finding), f"region {number} has another maker")
        same_concept(observed.RTROIIdentificationCodeSequence, finding.concept)
        same_concept(observed.SegmentedPropertyCategoryCodeSequence, finding.category)
        voxels = _voxels(drawn, parcel, number)
        require(np.array_equal(voxels, finding.mask.voxels), f"the contours of region {number} enclose other voxels")


def _named(item: Dataset) -> tuple[str, int]:
    return str(item.ReferencedSOPInstanceUID), int(item.get("ReferencedFrameNumber", 1)) - 1


def _references(written: Dataset, parcel: Parcel) -> None:
    """The images that the set says it was drawn on are the stack's frames, and all of them."""
    (place,) = written.ReferencedFrameOfReferenceSequence
    (study,) = place.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    who = parcel.stack.identity
    require(study.ReferencedSOPInstanceUID == who.study_uid, "it refers to another study")
    require(series.SeriesInstanceUID == who.series_uid, "it refers to another series")
    images = [_named(item) for item in series.ContourImageSequence]
    frames = [(frame.sop_instance_uid, frame.index) for frame in parcel.stack.frames]
    require(images == frames, "it refers to other images")


def _voxels(drawn: Dataset, parcel: Parcel, number: int) -> Bools:
    """The voxels of the stack that lie within the contours of a region."""
    grid, where = parcel.stack.grid, parcel.headers.positions()
    places = {(frame.sop_instance_uid, frame.index): k for k, frame in enumerate(parcel.stack.frames)}
    in_slices: dict[int, list[Floats]] = {}
    across = np.linalg.pinv(grid.affine[:3, 1:3])
    normal = np.cross(grid.directions[:, 2], grid.directions[:, 1])
    for contour in drawn.ContourSequence:
        require(contour.ContourGeometricType == "CLOSED_PLANAR", "a contour is not closed")
        (image,) = contour.ContourImageSequence
        k = places.get(_named(image), -1)
        require(k >= 0, "a contour refers to an image that is not in the series")
        points = _points(contour)
        require(len(points) == int(contour.NumberOfContourPoints), "a contour lost points")
        offset = points - where[k]
        require(bool(np.abs(offset @ normal).max() < _PLANE_MM), f"a contour of region {number} lies off its image")
        in_slices.setdefault(k, []).append(offset @ across.T)
    voxels = np.zeros(grid.shape, np.bool_)
    for k, lines in in_slices.items():
        for line in lines:
            rows, columns, inside = patch(line, grid.shape[1:])
            require(not (voxels[k, rows, columns] & inside).any(), "contours of a slice overlap")
            voxels[k, rows, columns] |= inside
    return voxels


def _points(contour: Dataset) -> Floats:
    """The points of a contour, mm, shape (n, 3), from what stands in the file; pydicom takes long for each number."""
    written = contour.get_item("ContourData")
    numbers = written.value if isinstance(written, RawDataElement) else None
    values = numbers.split(b"\\") if isinstance(numbers, bytes) else contour.ContourData
    return np.array(values, np.float64).reshape(-1, 3)


RTSTRUCT = Product("rtstruct", "RT Structure Set", _write, _check, refuse)
