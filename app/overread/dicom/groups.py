"""A finding as a measurement group of TID 1500 (PS3.16): a region, an image as a whole, or what was measured."""

from __future__ import annotations

from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    CoordinatesForMeasurement,
    CoordinatesForMeasurement3D,
    FindingSite,
    ImageRegion,
    ImageRegion3D,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes

from overread.dicom.regions import Line, measured_lines, region_lines
from overread.dicom.source import SourceHeaders, tracking_id
from overread.dicom.write_seg import algorithm_name, concept
from overread.domain.finding import Finding, Kind, Status
from overread.domain.geometry import plane_axes
from overread.domain.measurement import Shape
from overread.domain.study import Frame, Stack

# What a reader did with a proposal has no code in the standard yet, nor has what a model decides by.
VERDICT = CodedConcept("OR0001", "99OVERREAD", "Reader verdict")
_VERDICTS = {
    Status.ACCEPTED: CodedConcept("OR0002", "99OVERREAD", "Accepted as proposed"),
    Status.EDITED: CodedConcept("OR0003", "99OVERREAD", "Accepted after editing"),
    Status.REJECTED: CodedConcept("OR0011", "99OVERREAD", "Rejected: not present as proposed"),
}
REASON = CodedConcept("OR0012", "99OVERREAD", "Reason for rejection")
PROPOSED_AS = CodedConcept("OR0013", "99OVERREAD", "What the model called it")
COMMENT = CodedConcept("121106", "DCM", "Comment")
DRAWN = CodedConcept("OR0004", "99OVERREAD", "Drawn by the reader")
THRESHOLD = CodedConcept("OR0005", "99OVERREAD", "Probability from which the model calls it present")


def group(finding: Finding, headers: SourceHeaders, segment: tuple[Dataset, int] | None, remark: str = "") -> Any:
    """A finding as a measurement group; `segment` is the segmentation that holds its voxels, and its number there.

    Without one, boxes and voxels are lines on the images (TID 1410, 1411). What was rejected has no region, so that
    no viewer draws it (TID 1501). `remark` is what else is to be said.
    """
    said: dict[str, Any] = {
        "tracking_identifier": TrackingIdentifier(uid=finding.id, identifier=tracking_id(finding)),
        "finding_type": concept(finding.concept),
        "finding_category": concept(finding.category),
        "finding_sites": [FindingSite(anatomic_location=concept(finding.anatomy))] if finding.anatomy else None,
        "algorithm_id": _algorithm(finding),
        "qualitative_evaluations": _evaluations(finding),
    }
    rejected = finding.status is Status.REJECTED
    ellipse = finding.measurement is not None and finding.measurement.shape is Shape.ELLIPSE
    made: Any
    if rejected or (not finding.mask and not ellipse):
        images = _images(headers, drawn_on(finding, headers))
        made = MeasurementsAndQualitativeEvaluations(
            **said,
            measurements=_numbers(finding, headers) or None,
            source_images=[SourceImageForMeasurementGroup(*image) for image in images],
        )
    else:
        made = _region(finding, headers, segment, said)
    for name, text in [*_remarks(finding), *([(COMMENT, remark)] if remark else [])]:
        item = TextContentItem(name=name, value=text, relationship_type=RelationshipTypeValues.CONTAINS)
        made[0].ContentSequence.append(item)
    return made


def _region(finding: Finding, headers: SourceHeaders, segment: tuple[Dataset, int] | None, said: dict[str, Any]) -> Any:
    said["measurements"] = _numbers(finding, headers) or None
    if finding.kind is Kind.DETECTION:
        said["geometric_purpose"] = codes.SCT.BoundedBy if finding.boxed else codes.DCM.Outline
    if segment is not None:
        segmentation, number = segment
        images = _images(headers, drawn_on(finding, headers))
        referenced = ReferencedSegment(
            sop_class_uid=str(segmentation.SOPClassUID),
            sop_instance_uid=str(segmentation.SOPInstanceUID),
            segment_number=number,
            source_images=[SourceImageForSegmentation(*image) for image in images],
        )
        return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=referenced, **said)
    lines = lines_of(finding, headers.stack)
    if len(lines) > 1:
        regions = [ImageRegion(line.kind, line.points, _source(headers, line)) for line in lines]
        return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_regions=regions, **said)
    (line,) = lines
    region: Any
    if line.slice is None:
        region = ImageRegion3D(line.kind, line.points, str(headers.first.FrameOfReferenceUID))
    else:
        region = ImageRegion(line.kind, line.points, _source(headers, line))
    return PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=region, **said)


def lines_of(finding: Finding, stack: Stack) -> list[Line]:
    """The lines that a finding has in a report where no segmentation holds it."""
    return region_lines(finding, stack) if finding.mask else measured_lines(finding, stack)


def _source(headers: SourceHeaders, line: Line) -> SourceImageForRegion:
    assert line.slice is not None
    (image,) = _images(headers, headers.stack.frames[line.slice : line.slice + 1])
    return SourceImageForRegion(*image)


def drawn_on(finding: Finding, headers: SourceHeaders) -> tuple[Frame, ...]:
    """The frames of the stack that a finding lies on, or speaks of as a whole."""
    stack = headers.stack
    if finding.mask:
        return stack.frames[finding.mask.box[0]]
    if finding.measurement is not None:
        made = finding.measurement
        here = plane_axes(stack.grid, made.plane).through == 0
        return stack.frames[made.index : made.index + 1] if here else stack.frames
    if finding.kind is Kind.ANNOTATION:
        return tuple(stack.frames[k] for k in sorted({mark.index for mark in finding.marks}))
    seen = finding.heatmap
    if seen is None or plane_axes(stack.grid, seen.plane).through != 0:
        return stack.frames
    return stack.frames[seen.index : seen.index + 1]


def _images(headers: SourceHeaders, frames: tuple[Frame, ...]) -> list[tuple[str, str, list[int] | None]]:
    """Class, instance and, in a multi-frame file, frame numbers of the images that frames come from."""
    numbers = [frame.index + 1 for frame in frames] if frames[0].of > 1 else None
    instances = dict.fromkeys(frame.sop_instance_uid for frame in frames)
    return [(headers.stack.sop_class_uid, instance, numbers) for instance in instances]


def _algorithm(finding: Finding) -> AlgorithmIdentification | None:
    model = finding.model
    return AlgorithmIdentification(name=algorithm_name(model), version=model.version) if model else None


def _evaluations(finding: Finding) -> list[QualitativeEvaluation]:
    """Whether it is there, what the reader did with it, and what the model had called it."""
    said = []
    if finding.positive is not None and finding.status is not Status.REJECTED:
        present = codes.SCT.Present if finding.positive else codes.SCT.Absent
        said.append(QualitativeEvaluation(codes.DCM.PresenceOfProperty, present))
    said.append(QualitativeEvaluation(VERDICT, verdict(finding)))
    if finding.proposed is not None:
        said.append(QualitativeEvaluation(PROPOSED_AS, concept(finding.proposed.concept)))
    return said


def verdict(finding: Finding) -> CodedConcept:
    """What a reader did with a finding."""
    if finding.status is not Status.REJECTED and not finding.given:
        return DRAWN
    return _VERDICTS[finding.status]


def _remarks(finding: Finding) -> list[tuple[CodedConcept, str]]:
    """What has no code: why it was rejected, and what its millimetres are."""
    said = [(REASON, finding.reason)] if finding.status is Status.REJECTED and finding.reason else []
    if finding.measurement is not None and finding.measurement.scale.remark:
        said.append((COMMENT, f"Lengths: {finding.measurement.scale.remark}"))
    return said + [(COMMENT, note) for note in notes(finding)]


def notes(finding: Finding) -> list[str]:
    """Whose note it is where others noted something without an outline, and what they noted, in words."""
    source = finding.source
    if finding.kind is not Kind.ANNOTATION or source is None:
        return []
    said = [f"From {source.title}, {source.sop_instance_uid}"]
    said += [f"{name}: {value}" for name, value in source.said]
    return list(dict.fromkeys([*said, *(mark.text for mark in finding.marks if mark.text)]))


def _numbers(finding: Finding, headers: SourceHeaders) -> list[Measurement]:
    """What was measured, and how sure the model was: of a box its score, of a class its probability."""
    numbers, measures, one = _by_hand(finding, headers), finding.measures, codes.UCUM.NoUnits
    if measures is not None:
        millilitre = CodedConcept("ml", "UCUM", "milliliter")
        numbers += [
            Measurement(name=codes.SCT.Volume, value=measures.volume_ml, unit=millilitre),
            Measurement(name=codes.SCT.LongAxis, value=measures.long_axis_mm, unit=codes.UCUM.Millimeter),
            Measurement(name=codes.SCT.ShortAxis, value=measures.short_axis_mm, unit=codes.UCUM.Millimeter),
        ]
    if finding.kind is Kind.DETECTION and finding.score is not None:
        numbers.append(Measurement(name=codes.SCT.Score, value=finding.score, unit=one))
    # What the model said of one class is no probability of another that the reader chose.
    if finding.kind is Kind.CLASSIFICATION and finding.score is not None and finding.proposed is None:
        numbers.append(Measurement(name=codes.DCM.Probability, value=finding.score, unit=one))
        if finding.threshold is not None:
            numbers.append(Measurement(name=THRESHOLD, value=round(finding.threshold, 6), unit=one))
    kind = dict(finding.classes).get(finding.label)
    if kind is not None:
        numbers.append(Measurement(name=codes.DCM.Probability, value=kind, unit=one))
    return numbers


def _by_hand(finding: Finding, headers: SourceHeaders) -> list[Measurement]:
    """What a reader measured with points, each number with the line that it was measured along."""
    made = finding.measurement
    if made is None:
        return []
    lines: list[Line | None] = [*measured_lines(finding, headers.stack)]
    if made.shape is Shape.ELLIPSE or finding.status is Status.REJECTED:
        lines = []  # the region says where it is; of what was rejected nothing is drawn
    numbers = []
    for number, value in enumerate(made.values):
        line = lines[number] if number < len(lines) else None
        numbers.append(
            Measurement(
                name=concept(value.name),
                value=value.number,
                unit=concept(value.unit),
                derivation=concept(value.derivation) if value.derivation else None,
                referenced_coordinates=[_along(line, headers)] if line is not None else None,
            )
        )
    return numbers


def _along(line: Line, headers: SourceHeaders) -> CoordinatesForMeasurement | CoordinatesForMeasurement3D:
    if line.slice is None:
        return CoordinatesForMeasurement3D(line.kind, line.points, str(headers.first.FrameOfReferenceUID))
    return CoordinatesForMeasurement(line.kind, line.points, _source(headers, line))
