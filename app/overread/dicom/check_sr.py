"""The report among the products: what it carries, and how it is read back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom
from pydicom import Dataset

from overread.dicom.check_seg import carries_outlines, same_concept
from overread.dicom.product import Parcel, Product, require
from overread.dicom.source import SourceHeaders
from overread.dicom.write_sr import write_sr
from overread.domain.finding import Finding, Kind
from overread.domain.geometry import plane_axes
from overread.domain.study import Stack

# Volume, long axis, short axis, score (SNOMED CT); probability (DCM); what a model decides by (our own).
_MEASURED = "118565006", "103339001", "103340004"
_SCORE, _PROBABILITY, _THRESHOLD = "246262008", "122157", "OR0005"
# Whether something is there: its name (DCM), and the two answers (CID 241).
_PRESENCE, _PRESENT, _ABSENT = "121052", "52101004", "272519000"


def _refuse(stack: Stack, finding: Finding) -> str:
    if finding.kind is Kind.MEASUREMENT:
        return "The report does not hold what was measured by hand yet."
    if finding.mask and not carries_outlines(stack):
        return "This image has no place in the patient, so no segmentation can refer to it."
    return ""


def _segmentations(parcel: Parcel) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in parcel.before.get("seg", ())]


def _write(parcel: Parcel) -> list[Path]:
    segmentation = next(iter(_segmentations(parcel)), None)
    report = write_sr(parcel.stack, parcel.headers, parcel.findings, segmentation, parcel.reader, parcel.number)
    return [parcel.save(report)]


def _check(parcel: Parcel, paths: Sequence[Path]) -> None:
    (path,) = paths
    check_sr(pydicom.dcmread(path), parcel.headers, parcel.findings, _segmentations(parcel))


def check_sr(
    written: Dataset, headers: SourceHeaders, findings: Sequence[Finding], segmentations: Sequence[Dataset]
) -> None:
    """Compare a report with the findings, their source and the segmentations. Wrong where it differs."""
    spoken_of = {
        *(str(image.SOPInstanceUID) for image in headers.images),
        *(str(item.SOPInstanceUID) for item in segmentations),
    }
    require(set(_evidence(written)) == spoken_of, "its evidence is not what it speaks of")
    studies = {str(study.StudyInstanceUID) for study in written.CurrentRequestedProcedureEvidenceSequence}
    require(studies == {headers.stack.identity.study_uid}, "its evidence lies in another study")
    groups = [item for item in _walk(written) if _code(item) == "125007"]
    require(len(groups) == len(findings), "another number of measurement groups")
    number = 0
    for group, finding in zip(groups, findings, strict=True):
        number += bool(finding.mask)
        _group(list(_walk(group)), headers, finding, number if finding.mask else None, segmentations)


def _group(
    inner: Sequence[Dataset],
    headers: SourceHeaders,
    finding: Finding,
    segment: int | None,
    segmentations: Sequence[Dataset],
) -> None:
    """One finding's group; `segment` is the number that its voxels have, None where it has none."""
    images: set[str] = set()
    segments: list[int] = []
    uids = [str(item.UID) for item in inner if item.ValueType == "UIDREF" and _code(item) == "112040"]
    require(finding.id in uids, "a group lost its tracking UID")
    answers: list[str] = []
    for item in inner:
        if item.ValueType == "IMAGE":
            (reference,) = item.ReferencedSOPSequence
            target = str(reference.ReferencedSOPInstanceUID)
            if _code(item) == "121191":
                require(
                    target in {item.SOPInstanceUID for item in segmentations},
                    "a group refers to a segmentation that is not there",
                )
                segments.append(int(reference.ReferencedSegmentNumber))
            else:
                images.add(target)
        if item.ValueType == "CODE" and _code(item) == "121071":
            same_concept(item.ConceptCodeSequence, finding.concept)
        if item.ValueType == "CODE" and _code(item) == _PRESENCE:
            answers.append(str(item.ConceptCodeSequence[0].CodeValue))
    require(segments == ([] if segment is None else [segment]), "a group refers to another segment")
    there = {None: [], True: [_PRESENT], False: [_ABSENT]}[finding.positive]
    require(answers == there, "a group says otherwise whether something is there")
    frames = headers.stack.frames if segment is None else headers.stack.frames[finding.mask.box[0]]
    seen = finding.heatmap
    if segment is None and seen is not None and plane_axes(headers.stack.grid, seen.plane).through == 0:
        frames = frames[seen.index : seen.index + 1]
    require(images == {frame.sop_instance_uid for frame in frames}, "a group refers to other images than it lies on")
    numbers = {_code(item): _value(item) for item in inner if item.ValueType == "NUM"}
    meant = dict(_meant(finding))
    require(numbers.keys() == meant.keys(), "other things were measured")
    require(all(abs(numbers[code] - meant[code]) < 1e-6 for code in meant), "a measured value differs")


def _meant(finding: Finding) -> Iterator[tuple[str, float]]:
    """Code and value of each number that a group has to hold."""
    of = finding.measures
    if of is not None:
        yield from zip(_MEASURED, (of.volume_ml, of.long_axis_mm, of.short_axis_mm), strict=True)
    if finding.kind is Kind.DETECTION and finding.score is not None:
        yield _SCORE, finding.score
    class_of_model = finding.kind is Kind.CLASSIFICATION and finding.proposed is None
    if class_of_model and finding.score is not None and finding.threshold is not None:
        yield _PROBABILITY, finding.score
        yield _THRESHOLD, finding.threshold
    for label, probability in finding.classes:
        if label == finding.label:
            yield _PROBABILITY, probability


def _evidence(written: Dataset) -> Iterator[str]:
    for study in written.CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            for instance in series.ReferencedSOPSequence:
                yield str(instance.ReferencedSOPInstanceUID)


def _walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from _walk(child)


def _code(item: Dataset) -> str:
    name = item.get("ConceptNameCodeSequence")
    return str(name[0].CodeValue) if name else ""


def _value(item: Dataset) -> float:
    return float(item.MeasuredValueSequence[0].NumericValue)


SR = Product("sr", "Report (SR TID 1500)", _write, _check, _refuse)
