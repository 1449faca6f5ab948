"""Accepted findings of one stack → a DICOM RT Structure Set (PS3.3 A.19).

Each part of a finding in a slice is one closed contour in that slice's own plane. It runs along the edges of the pixels
and not through their centres: no pixel centre lies on it, so that every reader fills the same pixels, the area is
that of the pixels, and the mask comes back exactly. Holes are cut by the keyhole technique (PS3.3 C.8.8.6.3), which
all receivers know, and not by CLOSEDPLANAR_XOR, which the standard has had since 2020 and many planning and navigation
systems have not: they would drop the contour. As contours of a slice never overlap, it makes no difference whether a
receiver adds or exclusive-ors them.
"""

from __future__ import annotations

from collections.abc import Iterator

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom import DataElement, Dataset, Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import RTStructureSetStorage
from pydicom.valuerep import format_number_as_ds

from overread.dicom.derived import derived, reference
from overread.dicom.equipment import MANUFACTURER
from overread.dicom.product import Left, Parcel
from overread.dicom.source import SourceHeaders, person_name
from overread.dicom.write_seg import algorithm_name, concept
from overread.domain.finding import Finding, Reader, Status
from overread.domain.geometry import Floats
from overread.imaging.outlines import keyholed, outlines

# What stands for the study in a structure set; the class is retired, but the standard names no other (C.8.8.5).
_STUDY = "1.2.840.10008.3.1.2.3.1"
# Contours are written to a millionth of a millimetre: short enough for DS, and far below any pixel.
_DIGITS = 6


def write_rtstruct(parcel: Parcel) -> Dataset:
    """One structure set with a region of interest for each finding, all of which have voxels.

    Implicit VR Little Endian: with explicit VR a contour of some two thousand points would be too long for its DS.
    """
    headers, findings, reader = parcel.headers, parcel.findings, parcel.reader
    made = derived(headers, RTStructureSetStorage, "RTSTRUCT", parcel.number)
    made.OperatorsName = person_name(reader.name)
    made.PositionReferenceIndicator = headers.first.get("PositionReferenceIndicator")
    made.FrameOfReferenceUID = headers.first.FrameOfReferenceUID
    made.StructureSetLabel = "OVERREAD"
    made.StructureSetName = made.SeriesDescription
    made.StructureSetDescription = "Findings accepted by a reader. Not for clinical use."
    made.StructureSetDate, made.StructureSetTime = made.InstanceCreationDate, made.InstanceCreationTime
    made.ReferencedFrameOfReferenceSequence = [_images(headers)]
    made.StructureSetROISequence = [_region(n, item, headers) for n, item in enumerate(findings, 1)]
    planes = _Planes(headers)
    made.ROIContourSequence = [_contours(n, item, headers, planes) for n, item in enumerate(findings, 1)]
    made.RTROIObservationsSequence = [_observation(n, item, reader) for n, item in enumerate(findings, 1)]
    if parcel.earlier:
        made.PredecessorStructureSetSequence = [_set(left) for left in parcel.earlier]
    made.ApprovalStatus = "UNAPPROVED" if parcel.signed_by is None else "APPROVED"
    if parcel.signed_by is not None:
        made.ReviewDate, made.ReviewTime = made.StructureSetDate, made.StructureSetTime
        made.ReviewerName = person_name(parcel.signed_by.name)
    return made


def _set(left: Left) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = left.sop_class_uid, left.sop_instance_uid
    return item


class _Planes:
    """Where corners of pixels lie: in the plane that the slice's own header gives, not in that of the mean grid."""

    def __init__(self, headers: SourceHeaders) -> None:
        self._where = headers.positions
        self._axes = headers.stack.grid.affine[:3, 1:3]

    def points(self, k: int, corners: NDArray[np.intp]) -> Floats:
        """LPS mm, shape (n, 3), of corners (row, column), shape (n, 2), of slice `k`."""
        return np.asarray(self._where[k] + (corners - 0.5) @ self._axes.T)


def _images(headers: SourceHeaders) -> Dataset:
    """The frames that the contours were drawn on (PS3.3 C.8.8.5)."""
    series = Dataset()
    series.SeriesInstanceUID = headers.first.SeriesInstanceUID
    series.ContourImageSequence = [reference(headers.first, frame) for frame in headers.stack.frames]
    study = Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY, headers.first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    place = Dataset()
    place.FrameOfReferenceUID = headers.first.FrameOfReferenceUID
    place.RTReferencedStudySequence = [study]
    return place


def roi_name(finding: Finding) -> str:
    """The finding's title; it says so where the voxels are a box around something and not the thing itself."""
    return f"{finding.title[:58]} (box)" if finding.boxed else finding.title[:64]


def generation(finding: Finding) -> tuple[str, str]:
    """ROI Generation Algorithm and its description: who drew it, and with which version of which model."""
    if finding.model is None:
        return "MANUAL", "Drawn by a reader"
    name = f"{algorithm_name(finding.model)} {finding.model.version}"
    edited = finding.status is Status.EDITED
    return ("SEMIAUTOMATIC", f"{name}, edited"[:64]) if edited else ("AUTOMATIC", name[:64])


def _region(number: int, finding: Finding, headers: SourceHeaders) -> Dataset:
    region = Dataset()
    region.ROINumber = number
    region.ReferencedFrameOfReferenceUID = headers.first.FrameOfReferenceUID
    region.ROIName = roi_name(finding)
    region.ROIDescription = description(finding)
    if finding.measures is not None and not finding.boxed:
        region.ROIVolume = format_number_as_ds(finding.measures.volume_ml)
    region.ROIGenerationAlgorithm, region.ROIGenerationDescription = generation(finding)
    if finding.model is not None:
        region.ROIDerivationAlgorithmIdentificationSequence = hd.AlgorithmIdentificationSequence(
            name=algorithm_name(finding.model),
            family=codes.DCM.ArtificialIntelligence,
            version=finding.model.version,
            source=MANUFACTURER,
        )
    return region


def description(finding: Finding) -> str:
    """What a structure set has no attribute for: the verdict, the score, and the UID by which findings are followed."""
    who = f" by {finding.reader.name}" if finding.reader else ""
    score = "" if finding.score is None else f" Score {finding.score:.3f}."
    return f"{finding.status.value.capitalize()}{who}.{score} Tracking UID {finding.id}"[:1024]


def _contours(number: int, finding: Finding, headers: SourceHeaders, planes: _Planes) -> Dataset:
    item = Dataset()
    colour = [int(finding.colour[at : at + 2], 16) for at in (1, 3, 5)]
    item.ROIDisplayColor = colour
    item.RecommendedDisplayCIELabValue = list(CIELabColor.from_rgb(*colour).value)
    item.ReferencedROINumber = number
    item.ContourSequence = list(_in_slices(finding, headers, planes))
    return item


def _in_slices(finding: Finding, headers: SourceHeaders, planes: _Planes) -> Iterator[Dataset]:
    first, top, left = finding.mask.start
    number = 0
    for k, pixels in enumerate(finding.mask.inner, first):
        images = Sequence([reference(headers.first, headers.stack.frames[k])])
        for outline in outlines(pixels):
            number += 1
            points = planes.points(k, keyholed(outline) + np.array([top, left]))
            contour = Dataset()
            contour.ContourImageSequence = images  # the one item of all contours of a slice
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourNumber = number
            contour.add(_data(points))
            yield contour


def _data(points: Floats) -> DataElement:
    """Contour Data; the numbers are handed on as they are to be written, as pydicom would parse each of them again."""
    rounded = np.round(points, _DIGITS) + 0.0  # -0 becomes 0
    written = [format_number_as_ds(number) for number in rounded.ravel().tolist()]
    return DataElement("ContourData", "DS", written, already_converted=True)


def _observation(number: int, finding: Finding, reader: Reader) -> Dataset:
    """What the region is (PS3.3 C.8.8.8).

    Its role in a treatment stays empty: a finding is no target before somebody who plans says so.
    """
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.SegmentedPropertyCategoryCodeSequence = [concept(finding.category)]
    item.RTROIIdentificationCodeSequence = [concept(finding.concept)]
    if finding.anatomy is not None:
        item.AnatomicRegionSequence = [concept(finding.anatomy)]
    item.RTROIInterpretedType = ""
    item.ROIInterpreter = person_name((finding.reader or reader).name)
    return item
