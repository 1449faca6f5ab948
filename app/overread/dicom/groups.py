"""A finding as a measurement group of TID 1500 (PS3.16): a region that is in a segmentation, or an image as a whole."""

from __future__ import annotations

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes

from overread.dicom.source import SourceHeaders, tracking_id
from overread.dicom.write_seg import algorithm_name, concept
from overread.domain.finding import Finding, Kind, Status
from overread.domain.geometry import plane_axes
from overread.domain.study import Frame

# What a reader did with a proposal has no code in the standard yet, nor has what a model decides by.
VERDICT = CodedConcept("OR0001", "99OVERREAD", "Reader verdict")
_VERDICTS = {
    Status.ACCEPTED: CodedConcept("OR0002", "99OVERREAD", "Accepted as proposed"),
    Status.EDITED: CodedConcept("OR0003", "99OVERREAD", "Accepted after editing"),
}
DRAWN = CodedConcept("OR0004", "99OVERREAD", "Drawn by the reader")
THRESHOLD = CodedConcept("OR0005", "99OVERREAD", "Probability from which the model calls it present")


def region(
    number: int, finding: Finding, segmentation: Dataset, headers: SourceHeaders
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """A finding that is segment `number` of `segmentation` (TID 1411)."""
    sources = [
        SourceImageForSegmentation(uid, instance, frames)
        for uid, instance, frames in _images(headers, drawn_on(finding, headers))
    ]
    purpose = None
    if finding.kind is Kind.DETECTION:
        purpose = codes.SCT.BoundedBy if finding.boxed else codes.DCM.Outline
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=finding.id, identifier=tracking_id(finding)),
        referenced_segment=ReferencedSegment(
            sop_class_uid=str(segmentation.SOPClassUID),
            sop_instance_uid=str(segmentation.SOPInstanceUID),
            segment_number=number,
            source_images=sources,
        ),
        finding_type=concept(finding.concept),
        finding_category=concept(finding.category),
        finding_sites=_sites(finding),
        algorithm_id=_algorithm(finding),
        measurements=_numbers(finding) or None,
        qualitative_evaluations=[_verdict(finding)],
        geometric_purpose=purpose,
    )


def whole_image(finding: Finding, headers: SourceHeaders) -> MeasurementsAndQualitativeEvaluations:
    """A classification that a reader agreed with (TID 1501): what it is about, and whether it is there."""
    present = codes.SCT.Present if finding.positive else codes.SCT.Absent
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=finding.id, identifier=tracking_id(finding)),
        finding_type=concept(finding.concept),
        finding_category=concept(finding.category),
        finding_sites=_sites(finding),
        algorithm_id=_algorithm(finding),
        measurements=_numbers(finding) or None,
        qualitative_evaluations=[QualitativeEvaluation(codes.DCM.PresenceOfProperty, present), _verdict(finding)],
        source_images=[
            SourceImageForMeasurementGroup(uid, instance, frames)
            for uid, instance, frames in _images(headers, drawn_on(finding, headers))
        ],
    )


def drawn_on(finding: Finding, headers: SourceHeaders) -> tuple[Frame, ...]:
    """The frames of the stack that a finding lies on, or speaks of as a whole."""
    stack = headers.stack
    if finding.kind is not Kind.CLASSIFICATION:
        return stack.frames[finding.mask.box[0]]
    seen = finding.heatmap
    if seen is None or plane_axes(stack.grid, seen.plane).through != 0:
        return stack.frames
    return stack.frames[seen.index : seen.index + 1]


def _images(headers: SourceHeaders, frames: tuple[Frame, ...]) -> list[tuple[str, str, list[int] | None]]:
    """Class, instance and, in a multi-frame file, frame numbers of the images that frames come from."""
    numbers = [frame.index + 1 for frame in frames] if headers.multiframe else None
    instances = dict.fromkeys(frame.sop_instance_uid for frame in frames)
    return [(headers.stack.sop_class_uid, instance, numbers) for instance in instances]


def _sites(finding: Finding) -> list[FindingSite] | None:
    return [FindingSite(anatomic_location=concept(finding.anatomy))] if finding.anatomy else None


def _algorithm(finding: Finding) -> AlgorithmIdentification | None:
    model = finding.model
    return AlgorithmIdentification(name=algorithm_name(model), version=model.version) if model else None


def _verdict(finding: Finding) -> QualitativeEvaluation:
    return QualitativeEvaluation(name=VERDICT, value=_VERDICTS[finding.status] if finding.given else DRAWN)


def _numbers(finding: Finding) -> list[Measurement]:
    """What was measured, and how sure the model was: of a box its score, of a class its probability."""
    numbers, measures, one = [], finding.measures, codes.UCUM.NoUnits
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
