"""Accepted findings of one stack → a Comprehensive SR with the template TID 1500 (PS3.16)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import highdicom as hd
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes

from overread import __version__
from overread.dicom.source import SourceHeaders, carry_over, person_name, tracking_id
from overread.dicom.write_seg import MANUFACTURER, MODEL_NAME, algorithm_name, concept
from overread.domain.finding import Finding, Measures, ModelSource, Reader, Status
from overread.domain.study import Stack

# What a reader did with a proposal has no code in the standard yet.
VERDICT = CodedConcept("OR0001", "99OVERREAD", "Reader verdict")
_VERDICTS = {
    Status.ACCEPTED: CodedConcept("OR0002", "99OVERREAD", "Accepted as proposed"),
    Status.EDITED: CodedConcept("OR0003", "99OVERREAD", "Accepted after editing"),
}
DRAWN = CodedConcept("OR0004", "99OVERREAD", "Drawn by the reader")


def model_uid(model: ModelSource) -> str:
    """The device UID of a model: the same weights and version always have the same one."""
    digest = hashlib.sha256(f"{model.id}/{model.version}/{model.sha256}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _observers(findings: Sequence[Finding], reader: Reader) -> ObservationContext:
    """The reader as person observer, each model as device observer (TID 1001, 1002)."""
    person = ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=PersonObserverIdentifyingAttributes(name=person_name(reader.name)),
    )
    context = ObservationContext(observer_person_context=person)
    for model in {model_uid(f.model): f.model for f in findings if f.model is not None}.values():
        device = ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=model_uid(model),
                name=algorithm_name(model),
                manufacturer_name=MANUFACTURER,
                model_name=model.id,
                serial_number=model.version,
            ),
        )
        context.extend(device)
    return context


def _numbers(measures: Measures) -> list[Measurement]:
    return [
        Measurement(name=codes.SCT.Volume, value=measures.volume_ml, unit=CodedConcept("ml", "UCUM", "milliliter")),
        Measurement(name=codes.SCT.LongAxis, value=measures.long_axis_mm, unit=codes.UCUM.Millimeter),
        Measurement(name=codes.SCT.ShortAxis, value=measures.short_axis_mm, unit=codes.UCUM.Millimeter),
    ]


def _group(
    number: int, finding: Finding, segmentation: Dataset, headers: SourceHeaders
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """One finding (TID 1411)."""
    model = finding.model
    drawn = headers.stack.frames[finding.mask.start[0] : finding.mask.start[0] + finding.mask.extent[0]]
    sources = [
        SourceImageForSegmentation(
            referenced_sop_class_uid=headers.stack.sop_class_uid,
            referenced_sop_instance_uid=uid,
            referenced_frame_numbers=[f.index + 1 for f in drawn] if headers.multiframe else None,
        )
        for uid in dict.fromkeys(frame.sop_instance_uid for frame in drawn)
    ]
    verdict = DRAWN if model is None else _VERDICTS[finding.status]
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
        finding_sites=[FindingSite(anatomic_location=concept(finding.anatomy))] if finding.anatomy else None,
        algorithm_id=AlgorithmIdentification(name=algorithm_name(model), version=model.version) if model else None,
        measurements=_numbers(finding.measures) if finding.measures else None,
        qualitative_evaluations=[QualitativeEvaluation(name=VERDICT, value=verdict)],
    )


def write_sr(
    stack: Stack,
    headers: SourceHeaders,
    findings: Sequence[Finding],
    segmentation: Dataset,
    reader: Reader,
    series_number: int,
) -> Dataset:
    """One SR with a measurement group for each finding, each referring to its segment of `segmentation`.

    The document is complete but UNVERIFIED: accepting proposals is not signing a report.
    """
    report: Any = MeasurementReport(
        observation_context=_observers(findings, reader),
        procedure_reported=_procedure(stack),
        imaging_measurements=[
            _group(number, finding, segmentation, headers) for number, finding in enumerate(findings, start=1)
        ],
        title=codes.DCM.ImagingMeasurementReport,
    )
    document = ComprehensiveSR(
        evidence=[*headers.images, segmentation],
        content=report[0],
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=f"AI {stack.identity.series_description} SR".strip()[:64],
    )
    carry_over(headers.first, document)
    document.ManufacturerModelName = MODEL_NAME
    document.SoftwareVersions = __version__
    document.DeviceSerialNumber = __version__
    return document


def _procedure(stack: Stack) -> CodedConcept:
    """The imaging procedure, as far as the modality tells it (SNOMED CT)."""
    known = {
        "MR": CodedConcept("113091000", "SCT", "Magnetic resonance imaging"),
        "CT": CodedConcept("77477000", "SCT", "Computed tomography"),
    }
    return known.get(stack.identity.modality, CodedConcept("363679005", "SCT", "Imaging"))
