"""Accepted findings of one stack → a Comprehensive SR with the template TID 1500 (PS3.16)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import highdicom as hd
from highdicom.sr import (
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes

from overread import __version__
from overread.dicom.groups import region, whole_image
from overread.dicom.source import SourceHeaders, carry_over, person_name
from overread.dicom.write_seg import MANUFACTURER, MODEL_NAME, algorithm_name
from overread.domain.finding import Finding, ModelSource, Reader
from overread.domain.study import Stack

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


def write_sr(
    stack: Stack,
    headers: SourceHeaders,
    findings: Sequence[Finding],
    segmentation: Dataset | None,
    reader: Reader,
    series_number: int,
) -> Dataset:
    """One SR with a measurement group for each finding.

    Those with voxels are the segments of `segmentation`, in their order; without them it is None.
    The document is complete but UNVERIFIED: accepting proposals is not signing a report.
    """
    groups: list[Any] = []
    number = 0
    for finding in findings:
        if finding.mask and segmentation is not None:
            number += 1
            groups.append(region(number, finding, segmentation, headers))
        else:
            groups.append(whole_image(finding, headers))
    report: Any = MeasurementReport(
        observation_context=_observers(findings, reader),
        procedure_reported=_procedure(stack),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    document = ComprehensiveSR(
        evidence=[*headers.images, *([] if segmentation is None else [segmentation])],
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
        "CR": _RADIOGRAPHY,
        "DX": _RADIOGRAPHY,
    }
    return known.get(stack.identity.modality, CodedConcept("363679005", "SCT", "Imaging"))
