"""Accepted findings of one stack → a Comprehensive SR with the template TID 1500 (PS3.16)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import highdicom as hd
from highdicom.sr import (
    CodedConcept,
    Comprehensive3DSR,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from overread import __version__
from overread.dicom.equipment import MANUFACTURER, MODEL_NAME
from overread.dicom.groups import group, lines_of
from overread.dicom.product import Left, Parcel
from overread.dicom.regions import longest
from overread.dicom.source import carry_over, person_name
from overread.dicom.upright import SAID as RESAMPLED
from overread.dicom.write_seg import algorithm_name
from overread.domain.finding import Finding, ModelSource, Reader
from overread.domain.study import Stack

# A value of VR FL has room for so many points (PS3.5 7.1.2: 2^16 - 2 bytes).
_LONG_LINE = 8190
_RADIOGRAPHY = CodedConcept("363680008", "SCT", "Radiographic imaging procedure")


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


def write_sr(parcel: Parcel, segmentations: Sequence[Dataset] = ()) -> Dataset:
    """One SR with a measurement group for each finding, then for those that were rejected where that is asked for.

    Findings that are segments of one of the `segmentations` refer to it. The document is partial while findings wait
    for a verdict, and unverified unless somebody signs: accepting proposals is not signing a report.
    """
    stack, headers = parcel.stack, parcel.headers
    findings = [*parcel.findings, *parcel.rejected]
    segments = {
        str(segment.get("TrackingUID", "")): (item, int(segment.SegmentNumber))
        for item in segmentations
        for segment in item.SegmentSequence
    }
    groups = [group(f, headers, segments.get(f.id), lying_on(parcel, f.id in segments)) for f in findings]
    report: Any = MeasurementReport(
        observation_context=_observers(findings, parcel.reader),
        procedure_reported=_procedure(stack),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    lines = [line for finding in findings for line in lines_of(finding, stack)]
    kind: Any = Comprehensive3DSR if any(line.slice is None for line in lines) else ComprehensiveSR
    signer = parcel.signed_by
    document: Dataset = kind(
        evidence=[*headers.images, *segmentations],
        content=report[0],
        series_instance_uid=hd.UID(),
        series_number=parcel.number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=not parcel.undecided,
        is_final=signer is not None,
        is_verified=signer is not None,
        verifying_observer_name=person_name(signer.name) if signer else None,
        verifying_organization=str(headers.first.get("InstitutionName") or "Not stated") if signer else None,
        previous_versions=[_instance(item) for item in parcel.earlier] or None,
        # With explicit VR a line of more points would be too long for its FL.
        transfer_syntax_uid=ImplicitVRLittleEndian if longest(lines) > _LONG_LINE else ExplicitVRLittleEndian,
        series_description=f"AI {stack.identity.series_description} SR".strip()[:64],
    )
    carry_over(headers.first, document)
    document.ManufacturerModelName = MODEL_NAME
    document.SoftwareVersions = __version__
    document.DeviceSerialNumber = __version__
    return document


def lying_on(parcel: Parcel, held: bool) -> str:
    """What is said of a finding that a segmentation holds: that it lies on resampled slices, "" where it does not."""
    return f"Segmentation: {RESAMPLED}" if held and "upright" in parcel.before else ""


def _instance(item: Left) -> Dataset:
    instance = Dataset()
    instance.StudyInstanceUID, instance.SeriesInstanceUID = item.study_uid, item.series_uid
    instance.SOPClassUID, instance.SOPInstanceUID = item.sop_class_uid, item.sop_instance_uid
    return instance


def _procedure(stack: Stack) -> CodedConcept:
    """The imaging procedure, as far as the modality tells it (SNOMED CT)."""
    known = {
        "MR": CodedConcept("113091000", "SCT", "Magnetic resonance imaging"),
        "CT": CodedConcept("77477000", "SCT", "Computed tomography"),
        "CR": _RADIOGRAPHY,
        "DX": _RADIOGRAPHY,
    }
    return known.get(stack.identity.modality, CodedConcept("363679005", "SCT", "Imaging"))
