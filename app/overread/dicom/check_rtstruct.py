"""The structure set among the products: what it carries, and how it is read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from overread.dicom.check_seg import same_concept
from overread.dicom.product import Parcel, Product, require
from overread.dicom.source import person_name
from overread.dicom.write_rtstruct import description, generation, roi_name, write_rtstruct
from overread.domain.finding import Bools, Finding
from overread.domain.study import Stack
from overread.imaging.outlines import enclosed_by

_PLANE_MM = 1e-3
_KIND, _COUNT, _DATA = Tag("ContourGeometricType"), Tag("NumberOfContourPoints"), Tag("ContourData")
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
    """The voxels of the stack that lie within the contours of a region.

    Noise has a hundred thousand contours: what they say is taken as it stands in the file, as pydicom takes long for
    each value, and all of a slice are filled at once.
    """
    grid = parcel.stack.grid
    slices, points = [], []
    places = {(frame.sop_instance_uid, frame.index): k for k, frame in enumerate(parcel.stack.frames)}
    known: dict[bytes, int] = {}
    for contour in drawn.ContourSequence:
        require(_written(contour, _KIND).strip() == b"CLOSED_PLANAR", "a contour is not closed")
        slices.append(_image(contour, places, known))
        data = _written(contour, _DATA)
        require((data.count(b"\\") + 1) == 3 * int(_written(contour, _COUNT)), "a contour lost points")
        points.append(data)
    voxels = np.zeros(grid.shape, np.bool_)
    if not slices:
        return voxels
    of = np.array(slices)
    sizes = np.array([data.count(b"\\") // 3 + 1 for data in points])
    offset = np.array(b"\\".join(points).split(b"\\"), np.float64).reshape(-1, 3)
    offset -= np.repeat(np.array(parcel.headers.positions)[of], sizes, axis=0)
    normal = np.cross(grid.directions[:, 2], grid.directions[:, 1])
    require(bool(np.abs(offset @ normal).max() < _PLANE_MM), f"a contour of region {number} lies off its image")
    flat = offset @ np.linalg.pinv(grid.affine[:3, 1:3]).T
    for k in np.unique(of):
        here = of == k
        voxels[k], apart = enclosed_by(flat[np.repeat(here, sizes)], sizes[here], grid.shape[1:])
        require(apart, "contours of a slice overlap")
    return voxels


def _image(contour: Dataset, places: dict[tuple[str, int], int], known: dict[bytes, int]) -> int:
    """The slice (k) of the one image that a contour names; `known` are the slices by what stood in the file."""
    raw = contour.get_item("ContourImageSequence")
    held = raw.value if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes) else b""
    if held not in known:
        (image,) = contour.ContourImageSequence
        k = places.get(_named(image), -1)
        require(k >= 0, "a contour refers to an image that is not in the series")
        if not held:
            return k
        known[held] = k
    return known[held]


def _written(item: Dataset, tag: BaseTag) -> bytes:
    """The value of a textual attribute as it stands in the file."""
    raw = item.get_item(tag)
    if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
        return raw.value
    value = item[tag].value
    return "\\".join(map(str, value if isinstance(value, MultiValue) else [value])).encode()


RTSTRUCT = Product("rtstruct", "RT Structure Set", _write, _check, refuse, straight=True)
