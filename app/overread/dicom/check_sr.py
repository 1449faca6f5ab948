"""The report among the products: what it carries, and how it is read back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset

from overread.dicom.check_seg import same_concept
from overread.dicom.groups import COMMENT, PROPOSED_AS, REASON, VERDICT, drawn_on, lines_of, notes, verdict
from overread.dicom.product import Parcel, Product, require
from overread.dicom.regions import Line, has_place
from overread.dicom.source import person_name
from overread.dicom.write_sr import lying_on, write_sr
from overread.domain.finding import Finding, Kind, Status
from overread.domain.study import Stack
from overread.imaging.editing.outline import enclosed

# Volume, long axis, short axis, score (SNOMED CT); probability (DCM); what a model decides by (our own).
_MEASURED = "118565006", "103339001", "103340004"
_SCORE, _PROBABILITY, _THRESHOLD = "246262008", "122157", "OR0005"
# Whether something is there: its name (DCM), and the two answers (CID 241).
_PRESENCE, _PRESENT, _ABSENT = "121052", "52101004", "272519000"
_DERIVATION = "121401"
# Points are single precision floats.
_POINT = 1e-3


def _refuse(stack: Stack, finding: Finding) -> str:
    return "" if has_place(finding, stack) else "It lies across images that have no place in the patient."


def _segmentations(parcel: Parcel) -> list[Dataset]:
    """The segmentations that left with the report and hold the same voxels: label maps where there is nothing else."""
    paths = parcel.before.get("seg") or parcel.before.get("labelmap") or ()
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]


def _write(parcel: Parcel) -> list[Path]:
    return [parcel.save(write_sr(parcel, _segmentations(parcel)))]


def _check(parcel: Parcel, paths: Sequence[Path]) -> None:
    (path,) = paths
    written, segmentations = pydicom.dcmread(path), _segmentations(parcel)
    _standing(written, parcel)
    own = [str(item.SOPInstanceUID) for item in segmentations]
    spoken_of = {*(str(image.SOPInstanceUID) for image in parcel.headers.images), *own}
    require(set(_evidence(written)) == spoken_of, "its evidence is not what it speaks of")
    studies = {str(study.StudyInstanceUID) for study in written.CurrentRequestedProcedureEvidenceSequence}
    require(studies == {parcel.stack.identity.study_uid}, "its evidence lies in another study")
    findings = [*parcel.findings, *parcel.rejected]
    groups = [item for item in _walk(written) if _code(item) == "125007"]
    require(len(groups) == len(findings), "another number of measurement groups")
    segments = {
        str(segment.get("TrackingUID", "")): (str(item.SOPInstanceUID), int(segment.SegmentNumber))
        for item in segmentations
        for segment in item.SegmentSequence
    }
    for group, finding in zip(groups, findings, strict=True):
        _group(list(_walk(group)), parcel, finding, segments.get(finding.id))


def _standing(written: Dataset, parcel: Parcel) -> None:
    """Whether it is complete, signed by whom, and what it comes after."""
    complete = "PARTIAL" if parcel.undecided else "COMPLETE"
    require(written.CompletionFlag == complete, f"it is not marked as {complete.lower()}")
    signers = [str(item.VerifyingObserverName) for item in written.get("VerifyingObserverSequence", ())]
    meant = [] if parcel.signed_by is None else [person_name(parcel.signed_by.name)]
    require([name.rstrip("^") for name in signers] == [name.rstrip("^") for name in meant], "somebody else signed it")
    require(
        written.VerificationFlag == ("VERIFIED" if meant else "UNVERIFIED"), "it is signed, or not, as was not meant"
    )
    before = [
        str(instance.ReferencedSOPInstanceUID)
        for study in written.get("PredecessorDocumentsSequence", ())
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    require(sorted(before) == sorted(item.sop_instance_uid for item in parcel.earlier), "it comes after other reports")


def _group(inner: Sequence[Dataset], parcel: Parcel, finding: Finding, segment: tuple[str, int] | None) -> None:
    """One finding's group; `segment` is where its voxels are, None where no segmentation holds them."""
    rejected = finding.status is Status.REJECTED
    uids = [str(item.UID) for item in inner if item.ValueType == "UIDREF" and _code(item) == "112040"]
    require(finding.id in uids, "a group lost its tracking UID")
    references = [(_code(item), item.ReferencedSOPSequence[0]) for item in inner if item.ValueType == "IMAGE"]
    held = [
        (str(item.ReferencedSOPInstanceUID), int(item.ReferencedSegmentNumber))
        for code, item in references
        if code == "121191"
    ]
    require(held == ([segment] if segment and not rejected else []), "a group refers to another segment")
    images = {str(item.ReferencedSOPInstanceUID) for code, item in references if code != "121191"}
    crossed = {frame.sop_instance_uid for frame in drawn_on(finding, parcel.headers)}
    drawn = () if rejected or held else lines_of(finding, parcel.stack)
    if drawn and all(line.slice is None for line in drawn):
        crossed = crossed if images else set()  # a region in the patient needs no image
    elif drawn and finding.mask:  # slices between its parts have no line
        crossed = {parcel.stack.frames[line.slice].sop_instance_uid for line in drawn if line.slice is not None}
    require(images == crossed, "a group refers to other images than it lies on")
    _lines([item for item in inner if item.ValueType.startswith("SCOORD")], parcel, finding, drawn)
    answers = {_code(item): item.ConceptCodeSequence for item in inner if item.ValueType == "CODE"}
    same_concept(answers["121071"], finding.concept)
    there = {None: None, True: _PRESENT, False: _ABSENT}[None if rejected else finding.positive]
    said = answers.get(_PRESENCE)
    require((said and str(said[0].CodeValue)) == there, "a group says otherwise whether something is there")
    require(answers[VERDICT.value][0].CodeValue == verdict(finding).value, "a group gives another verdict")
    require((PROPOSED_AS.value in answers) == (finding.proposed is not None), "a group hides what the model called it")
    texts = {_code(item): str(item.TextValue) for item in inner if item.ValueType == "TEXT"}
    require(texts.get(REASON.value, "") == (finding.reason if rejected else ""), "a group gives another reason")
    lying = lying_on(parcel, segment is not None)
    require(lying in texts.get(COMMENT.value, ""), "a group hides that its segmentation was resampled")
    scale = "" if finding.measurement is None else finding.measurement.scale.remark
    require(scale in texts.get(COMMENT.value, ""), "a group hides what its millimetres are")
    said = [str(item.TextValue) for item in inner if item.ValueType == "TEXT" and _code(item) == COMMENT.value]
    require(all(note in said for note in notes(finding)), "a group hides what was noted, or whose note it is")
    numbers = sorted((_code(item), _derivation(item), _value(item)) for item in inner if item.ValueType == "NUM")
    meant = sorted(_meant(finding))
    require([entry[:2] for entry in numbers] == [entry[:2] for entry in meant], "other things were measured")
    near = all(abs(a[2] - b[2]) < 1e-6 * max(1.0, abs(b[2])) for a, b in zip(numbers, meant, strict=True))
    require(near, "a measured value differs")


def _lines(written: Sequence[Dataset], parcel: Parcel, finding: Finding, meant: Sequence[Line]) -> None:
    """Compare graphics with where a finding lies; those around voxels have to hold the same voxels."""
    size = {"SCOORD": 2, "SCOORD3D": 3}
    found = [
        (
            str(item.GraphicType),
            np.array(item.GraphicData, float).reshape(-1, size[item.ValueType]),
            _frame(item, parcel),
        )
        for item in written
    ]
    if meant and finding.mask and not finding.boxed:
        voxels = np.zeros(parcel.stack.grid.shape, np.bool_)
        for _, points, k in found:
            require(k is not None, "a line lies on no image")
            voxels[k] |= enclosed(points[:-1, ::-1] - 0.5, parcel.stack.grid.shape[1:])
        require(np.array_equal(voxels, finding.mask.voxels), "the lines of a group hold other voxels")
        return
    require(len(found) == len(meant), "another number of lines")
    for (kind, points, k), line in zip(found, meant, strict=True):
        same = kind == line.kind and k == line.slice and points.shape == line.points.shape
        require(same and bool(np.abs(points - line.points).max() < _POINT), "a line lies elsewhere")


def _frame(item: Dataset, parcel: Parcel) -> int | None:
    """The slice that a graphic is drawn on; None where it lies in the patient."""
    for child in item.get("ContentSequence", ()):
        (reference,) = child.ReferencedSOPSequence
        index = int(reference.get("ReferencedFrameNumber", 1)) - 1
        for k, frame in enumerate(parcel.stack.frames):
            if (frame.sop_instance_uid, frame.index) == (str(reference.ReferencedSOPInstanceUID), index):
                return k
    return None


def _meant(finding: Finding) -> Iterator[tuple[str, str, float]]:
    """Code, derivation and value of each number that a group has to hold."""
    if finding.measurement is not None:
        for value in finding.measurement.values:
            yield value.name.value, value.derivation.value if value.derivation else "", value.number
    of = finding.measures
    if of is not None:
        for code, number in zip(_MEASURED, (of.volume_ml, of.long_axis_mm, of.short_axis_mm), strict=True):
            yield code, "", number
    if finding.kind is Kind.DETECTION and finding.score is not None:
        yield _SCORE, "", finding.score
    class_of_model = finding.kind is Kind.CLASSIFICATION and finding.proposed is None
    if class_of_model and finding.score is not None and finding.threshold is not None:
        yield _PROBABILITY, "", finding.score
        yield _THRESHOLD, "", finding.threshold
    for label, probability in finding.classes:
        if label == finding.label:
            yield _PROBABILITY, "", probability


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


def _derivation(item: Dataset) -> str:
    derived = [child for child in item.get("ContentSequence", ()) if _code(child) == _DERIVATION]
    return str(derived[0].ConceptCodeSequence[0].CodeValue) if derived else ""


def _value(item: Dataset) -> float:
    return float(item.MeasuredValueSequence[0].NumericValue)


SR = Product("sr", "Report (SR TID 1500)", _write, _check, _refuse, tells_rejected=True, notes=True)
