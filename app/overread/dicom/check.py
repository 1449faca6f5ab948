"""The self-check: nothing leaves before it was read back from disk and found to say what was meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset

from overread.dicom.source import SHARED, SourceHeaders
from overread.dicom.write_seg import algorithm_name
from overread.domain.errors import UserError
from overread.domain.finding import Code, Finding, Kind, Status
from overread.domain.geometry import plane_axes

# Volume, long axis, short axis, score (SNOMED CT); probability (DCM); what a model decides by (our own).
_MEASURED = "118565006", "103339001", "103340004"
_SCORE, _PROBABILITY, _THRESHOLD = "246262008", "122157", "OR0005"
# Whether something is there: its name (DCM), and the two answers (CID 241).
_PRESENCE, _PRESENT, _ABSENT = "121052", "52101004", "272519000"
_PLACE_MM = 1e-3


class _Wrong(Exception):
    """What does not agree."""


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise _Wrong(what)


def check(files: Sequence[Path], headers: SourceHeaders, findings: Sequence[Finding]) -> None:
    """Read the files back, segmentations before the reports on them; compare them with the findings and their source.

    UserError naming the object and the reason where anything differs.
    """
    segmentations: dict[str, Dataset] = {}
    drawn = [finding for finding in findings if finding.mask]
    for path in files:
        try:
            written = pydicom.dcmread(path)
            _identity(written, headers)
            if written.Modality == "SEG":
                _segmentation(written, headers, drawn)
                segmentations[str(written.SOPInstanceUID)] = written
            else:
                _report(written, headers, findings, segmentations)
        except _Wrong as wrong:
            raise UserError(f"{path.name} failed the check before export: {wrong}.", "Nothing was exported.") from wrong
        except Exception as error:  # a file may hold anything
            raise UserError(
                f"{path.name} failed the check before export: it cannot be read back ({type(error).__name__}).",
                "Nothing was exported.",
            ) from error


def _identity(written: Dataset, headers: SourceHeaders) -> None:
    for keyword in SHARED:
        _require(written.get(keyword, "") == headers.first.get(keyword, ""), f"{keyword} differs from the source")
    series = {str(image.SeriesInstanceUID) for image in headers.images}
    _require(str(written.SeriesInstanceUID) not in series, "it would join the source's own series")
    own = {str(image.SOPInstanceUID) for image in headers.images}
    _require(str(written.SOPInstanceUID) not in own, "it would take the place of an image")


def _segmentation(written: Dataset, headers: SourceHeaders, findings: Sequence[Finding]) -> None:
    stack = headers.stack
    source_frame = headers.first.get("FrameOfReferenceUID")
    _require(written.get("FrameOfReferenceUID") == source_frame, "another frame of reference")
    _require(len(written.SegmentSequence) == len(findings), "another number of segments")
    shared = written.SharedFunctionalGroupsSequence[0]
    if stack.grid.oriented:
        cosines = [float(value) for value in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
        expected = np.concatenate([stack.grid.directions[:, 2], stack.grid.directions[:, 1]])
        _require(bool(np.abs(np.array(cosines) - expected).max() < 1e-4), "another orientation")
    if stack.grid.calibrated:
        spacing = [float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing]
        _require(bool(np.allclose(spacing, stack.grid.spacing[1:], rtol=1e-4)), "another pixel spacing")
    place = {(frame.sop_instance_uid, frame.index): k for k, frame in enumerate(stack.frames)}
    where = headers.positions() if stack.grid.oriented else []
    pixels = written.pixel_array.reshape(-1, written.Rows, written.Columns)
    volumes = np.zeros((len(findings), *stack.grid.shape), np.bool_)
    seen: set[tuple[int, int]] = set()
    for pixel, group in zip(pixels, written.PerFrameFunctionalGroupsSequence, strict=True):
        segment = int(_macro("SegmentIdentificationSequence", group, shared).ReferencedSegmentNumber) - 1
        (source,) = _macro("DerivationImageSequence", group, shared).SourceImageSequence
        index = int(source.get("ReferencedFrameNumber", 1)) - 1
        k = place.get((str(source.ReferencedSOPInstanceUID), index))
        _require(k is not None, "a frame refers to an image that is not in the series")
        assert k is not None
        if where:
            position = np.array(_macro("PlanePositionSequence", group, shared).ImagePositionPatient, float)
            _require(
                bool(np.abs(position - where[k]).max() < _PLACE_MM), "a frame lies in another place than its image"
            )
        _require((segment, k) not in seen, "a frame is there twice")
        seen.add((segment, k))
        volumes[segment, k] = pixel > 0
    _require(len(seen) == len(findings) * stack.grid.shape[0], "frames are missing")
    for segment, finding in enumerate(findings):
        _require(np.array_equal(volumes[segment], finding.mask.voxels), f"voxels of segment {segment + 1} differ")
        described = written.SegmentSequence[segment]
        _require(described.SegmentNumber == segment + 1, "segments are numbered in another way")
        _require(described.get("TrackingUID") == finding.id, f"segment {segment + 1} lost its tracking UID")
        _same_concept(described.SegmentedPropertyTypeCodeSequence, finding.concept)
        _same_concept(described.SegmentedPropertyCategoryCodeSequence, finding.category)
        _require(described.SegmentAlgorithmType == _made_by(finding), "another maker")
        if finding.model is not None:
            name = described.get("SegmentAlgorithmName")
            _require(name == algorithm_name(finding.model), "another model")


def _same_concept(sequence: Sequence[Dataset], code: Code) -> None:
    (written,) = sequence
    _require((written.CodeValue, written.CodingSchemeDesignator) == (code.value, code.scheme), "another concept")


def _made_by(finding: Finding) -> str:
    if finding.model is None:
        return "MANUAL"
    return "SEMIAUTOMATIC" if finding.status is Status.EDITED else "AUTOMATIC"


def _macro(keyword: str, group: Dataset, shared: Dataset) -> Dataset:
    """A functional group of one frame, which stands with the frame or with all of them (PS3.3 C.7.6.16.1)."""
    found: Dataset = (group.get(keyword) or shared[keyword].value)[0]
    return found


def _report(
    written: Dataset, headers: SourceHeaders, findings: Sequence[Finding], segmentations: dict[str, Dataset]
) -> None:
    spoken_of = {*(str(image.SOPInstanceUID) for image in headers.images), *segmentations}
    _require(set(_evidence(written)) == spoken_of, "its evidence is not what it speaks of")
    studies = {str(study.StudyInstanceUID) for study in written.CurrentRequestedProcedureEvidenceSequence}
    _require(studies == {headers.stack.identity.study_uid}, "its evidence lies in another study")
    groups = [item for item in _walk(written) if _code(item) == "125007"]
    _require(len(groups) == len(findings), "another number of measurement groups")
    number = 0
    for group, finding in zip(groups, findings, strict=True):
        number += bool(finding.mask)
        _group(list(_walk(group)), headers, finding, number if finding.mask else None, segmentations)


def _group(
    inner: Sequence[Dataset],
    headers: SourceHeaders,
    finding: Finding,
    segment: int | None,
    segmentations: dict[str, Dataset],
) -> None:
    """One finding's group; `segment` is the number that its voxels have, None where it has none."""
    images: set[str] = set()
    segments: list[int] = []
    uids = [str(item.UID) for item in inner if item.ValueType == "UIDREF" and _code(item) == "112040"]
    _require(finding.id in uids, "a group lost its tracking UID")
    answers: list[str] = []
    for item in inner:
        if item.ValueType == "IMAGE":
            (reference,) = item.ReferencedSOPSequence
            target = str(reference.ReferencedSOPInstanceUID)
            if _code(item) == "121191":
                _require(target in segmentations, "a group refers to a segmentation that is not there")
                segments.append(int(reference.ReferencedSegmentNumber))
            else:
                images.add(target)
        if item.ValueType == "CODE" and _code(item) == "121071":
            _same_concept(item.ConceptCodeSequence, finding.concept)
        if item.ValueType == "CODE" and _code(item) == _PRESENCE:
            answers.append(str(item.ConceptCodeSequence[0].CodeValue))
    _require(segments == ([] if segment is None else [segment]), "a group refers to another segment")
    there = {None: [], True: [_PRESENT], False: [_ABSENT]}[finding.positive]
    _require(answers == there, "a group says otherwise whether something is there")
    frames = headers.stack.frames if segment is None else headers.stack.frames[finding.mask.box[0]]
    seen = finding.heatmap
    if segment is None and seen is not None and plane_axes(headers.stack.grid, seen.plane).through == 0:
        frames = frames[seen.index : seen.index + 1]
    _require(images == {frame.sop_instance_uid for frame in frames}, "a group refers to other images than it lies on")
    numbers = {_code(item): _value(item) for item in inner if item.ValueType == "NUM"}
    meant = dict(_meant(finding))
    _require(numbers.keys() == meant.keys(), "other things were measured")
    _require(all(abs(numbers[code] - meant[code]) < 1e-6 for code in meant), "a measured value differs")


def _meant(finding: Finding) -> Iterator[tuple[str, float]]:
    """Code and value of each number that a group has to hold."""
    of = finding.measures
    if of is not None:
        yield from zip(_MEASURED, (of.volume_ml, of.long_axis_mm, of.short_axis_mm), strict=True)
    if finding.kind is Kind.DETECTION and finding.score is not None:
        yield _SCORE, finding.score
    if finding.kind is Kind.CLASSIFICATION and finding.score is not None and finding.threshold is not None:
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
