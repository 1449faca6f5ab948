"""A measurement report (SR TID 1500, PS3.16) → findings: regions in segmentations and on images, and what is said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydicom import Dataset

from overread.dicom import sr_items as sr
from overread.dicom.found import Found, blank, code_of, count, masked, model_source, moment, remarked
from overread.dicom.graphics import Graphics
from overread.dicom.groups import DRAWN, PROPOSED_AS, REASON, THRESHOLD, VERDICT
from overread.dicom.places import Places
from overread.domain.finding import Act, Finding, Kind, Reader, Status, Term
from overread.domain.geometry import acquired_plane
from overread.domain.mark import Drawn, Mark
from overread.domain.measurement import Shape, Value
from overread.domain.study import DerivedObject, Stack
from overread.domain.uids import uid_of
from overread.imaging.measuring import measured

# A segment of a segmentation → the finding that was read from it.
Segments = Mapping[tuple[str, int], Finding]

_OWN = "Overread"
_OWN_SCHEME = "99OVERREAD"
# "Glioma 1 (90123456)": how our own writer names findings.
_OWN_TRACKING = re.compile(r"^(?P<label>.+) \d+ \([0-9.]+\)$")
# Volume and axes are measured anew on the voxels.
_OWN_NUMBERS = frozenset({"118565006", "103339001", "103340004", "246262008", "122157", THRESHOLD.value})
_SCORE, _PROBABILITY = "246262008", "122157"
# What a region is to the thing in it: outline, or box around it.
_PURPOSES = ("111041", "75958009")
_GEOMETRY = ("SCOORD", "SCOORD3D", "IMAGE", "CONTAINER")
# What has a place of its own in a finding and is not said once more.
_KNOWN = frozenset(
    {sr.TRACKING_ID, sr.TRACKING_UID, sr.FINDING, sr.CATEGORY, sr.ALGORITHM, sr.ALGORITHM_VERSION}
    | {VERDICT.value, REASON.value, PROPOSED_AS.value}
)
# Lines by their numbers of points → what was measured along them.
_SHAPES = {(2,): Shape.LENGTH, (2, 2): Shape.BIDIRECTIONAL, (3,): Shape.ANGLE}
_VERDICTS = {
    "OR0002": (Status.ACCEPTED, "accept"),
    "OR0003": (Status.EDITED, "edit"),
    "OR0011": (Status.REJECTED, "reject"),
    DRAWN.value: (Status.EDITED, "draw"),
}


@dataclass(frozen=True)
class _Report:
    """A document, the stack that it is shown on, and what is known from segmentations."""

    document: Dataset
    derived: DerivedObject
    stack: Stack
    places: Places
    segments: Segments

    @property
    def own(self) -> bool:
        """Whether we wrote it."""
        return self.derived.source.manufacturer == _OWN


def read_sr(document: Dataset, derived: DerivedObject, stack: Stack, places: Places, segments: Segments) -> Found:
    """Each measurement group that speaks of the stack as a finding.

    A group about a segment is that segment's finding, with what the report says about it; regions on images are
    filled, points and lines become marks; what speaks of images as a whole marks them. Our own reports bring verdict,
    reader and score back; others' findings wait for a verdict.
    """
    report = _Report(document, derived, stack, places, segments)
    findings: list[Finding] = []
    notices: list[str] = []
    seen: set[str] = set()
    groups = [item for item in sr.walk(document) if sr.concept(item) == sr.GROUP]
    for number, group in enumerate(groups, start=1):
        made, why = _finding(report, group, number)
        if made is None:
            notices += [f"{derived.source.title}: ‘{_label(report, group)}’ cannot be shown. {why}"] if why else []
            continue
        if made.id in seen:  # several groups may measure one thing
            made = replace(made, id=uid_of(made.id, str(number)))
        seen.add(made.id)
        findings.append(made)
    if not groups:
        notices.append(f"{derived.source.title} holds no measurement group.")
    return Found(tuple(findings), tuple(notices))


def _finding(report: _Report, group: Dataset, number: int) -> tuple[Finding | None, str]:
    """A group as a finding; else None, and why it cannot be shown ("" where it is about something else)."""
    base = _segment(report, group)
    graphics, remarks = _drawn(report, group)
    tracking = sr.first(group, sr.TRACKING_UID)
    uid = sr.text(tracking) if tracking is not None else ""
    known = {finding.id: finding for finding in report.segments.values()}
    base = base or known.get(uid)
    if base is None:
        mask = masked(graphics.slices, report.stack.grid.shape)
        marks = graphics.marks if mask or graphics.marks else _spoken_of(report, group)
        if graphics.lost:
            remarks.append(f"{count(graphics.lost, 'graphic lies', 'graphics lie')} where this series has no image.")
        if not mask and not marks:
            return None, " ".join(remarks)
        base = blank(
            report.stack,
            report.derived,
            uid,
            f"group {number}",
            number,
            mask=mask,
            kind=Kind.SEGMENTATION if mask else Kind.ANNOTATION,
            marks=tuple(marks),
            label=_label(report, group),
        )
        box = graphics.box if mask else None
        if box is not None:
            base = replace(base, kind=Kind.DETECTION, box=box)
    else:
        base = replace(base, marks=(*base.marks, *graphics.marks))
    made = _measured(report, group, replace(base, **_stated(report, group, base)))
    source = made.source or report.derived.source
    said = tuple(dict.fromkeys((*source.said, *_said(report, group))))
    if made.measurement is not None:
        said = tuple(line for line in said if line not in _numbers_of(group))
    made = replace(made, source=replace(remarked(report.derived.source, source.remark, *remarks), said=said))
    return _judged(report, group, made), ""


def _segment(report: _Report, group: Dataset) -> Finding | None:
    """The finding of the segment that a group is about."""
    for item in sr.children(group):
        if str(item.get("ValueType")) == "IMAGE" and sr.concept(item) in (sr.SEGMENT, sr.SEGMENT_FRAME):
            uid, _, numbers = sr.referenced(item)
            for number in numbers or [1]:
                if (uid, number) in report.segments:
                    return report.segments[uid, number]
    return None


def _drawn(report: _Report, group: Dataset) -> tuple[Graphics, list[str]]:
    """Everything with coordinates in a group, and with its numbers, on the stack."""
    graphics, remarks = Graphics(report.places), []
    for item in sr.walk(group):
        kind, graphic = str(item.get("ValueType")), str(item.get("GraphicType") or "")
        name = "" if sr.concept(item) in ("111030", "121231") else sr.called(item)
        if kind == "SCOORD":
            for image in sr.children(item):
                uid, frames, _ = sr.referenced(image)
                slices = report.places.slices(uid, frames)
                if slices:
                    graphics.on_image(slices, graphic, item.GraphicData, name)
                elif uid not in report.places.numbers:
                    graphics.lost += 1
        elif kind == "SCOORD3D":
            frame = str(item.get("ReferencedFrameOfReferenceUID") or "")
            if frame and frame != report.stack.identity.frame_of_reference_uid:
                remarks.append("Its coordinates lie in another frame of reference.")
            else:
                graphics.in_patient(graphic, item.GraphicData, name)
    return graphics, list(dict.fromkeys(remarks))


def _spoken_of(report: _Report, group: Dataset) -> list[Mark]:
    """Marks on the images that a group without coordinates names; without any, on the first that the report lists."""
    slices: set[int] = set()
    named = False
    for item in sr.walk(group):
        if str(item.get("ValueType")) == "IMAGE" and sr.concept(item) not in (sr.SEGMENT, sr.SEGMENT_FRAME):
            named = True
            uid, frames, _ = sr.referenced(item)
            slices.update(report.places.slices(uid, frames))
    if not named and not any(str(item.get("ValueType")) in ("SCOORD", "SCOORD3D") for item in sr.walk(group)):
        listed = [k for uid in report.derived.images for k in report.places.slices(uid, None)]
        slices.update(sorted(listed)[:1])
    label = _label(report, group)
    return [Mark(Drawn.IMAGE, ((float(k), 0.0, 0.0),), label) for k in sorted(slices)]


def _label(report: _Report, group: Dataset) -> str:
    """What a group is about: by its tracking identifier in our own reports, else by the finding's code."""
    tracking, finding = sr.first(group, sr.TRACKING_ID), sr.first(group, sr.FINDING)
    named = sr.text(tracking) if tracking is not None else ""
    own = _OWN_TRACKING.match(named) if report.own else None
    if own is not None:
        return own["label"]
    meant = sr.answer(finding) if finding is not None else None
    return (meant.meaning if meant is not None else "") or named or "Measurement"


def _stated(report: _Report, group: Dataset, base: Finding) -> dict[str, Any]:
    """What the report says of the finding itself: what it is, where, which algorithm made it, how sure it was."""
    facts: dict[str, Any] = {}
    finding, category, site = (sr.first(group, *names) for names in ((sr.FINDING,), (sr.CATEGORY,), sr.SITES))
    meant = sr.answer(finding) if finding is not None else None
    kind = sr.answer(category) if category is not None else None
    where = sr.answer(site) if site is not None else None
    facts.update(concept=meant or base.concept, category=kind or base.category, anatomy=where or base.anatomy)
    if base.model is None:
        name, version = sr.first(group, sr.ALGORITHM), sr.first(group, sr.ALGORITHM_VERSION)
        if name is not None and sr.text(name):
            stated = sr.text(version) if version is not None else ""
            facts["model"] = model_source(sr.text(name), stated, "", "", report.derived)
    if report.own:
        facts.update(_own_numbers(group, base))
    return facts


def _own_numbers(group: Dataset, base: Finding) -> dict[str, Any]:
    """Score, probability and threshold as our own reports give them: which kind of finding it was follows from them."""
    numbers = {sr.concept(item): sr.number(item) for item in sr.children(group) if item.get("ValueType") == "NUM"}
    score, probability = numbers.get(_SCORE), numbers.get(_PROBABILITY)
    threshold = numbers.get(THRESHOLD.value)
    if threshold is not None and probability is not None and not base.mask:
        return {"kind": Kind.CLASSIFICATION, "score": probability, "threshold": threshold, "marks": ()}
    if score is not None and base.mask:
        return {"kind": Kind.DETECTION, "score": score, "box": base.box or _around(base)}
    return {} if probability is None else {"classes": ((base.label, probability),)}


def _measured(report: _Report, group: Dataset, made: Finding) -> Finding:
    """What we measured along lines of one slice, as the measurement that it was; others' lines stay as they are."""
    lines = [mark for mark in made.marks if mark.drawn is Drawn.LINE]
    shape = _SHAPES.get(tuple(len(line.points) for line in lines))
    values = tuple(value for value in map(_value, sr.children(group)) if value is not None)
    if not report.own or made.mask or shape is None or len(lines) < len(made.marks) or not values:
        return made
    points = tuple(point for line in lines for point in line.points)
    plane = acquired_plane(report.stack.grid)
    drawn = measured(shape, points, plane, report.stack)
    return replace(made, kind=Kind.MEASUREMENT, marks=(), measurement=replace(drawn, values=values))


def _value(item: Dataset) -> Value | None:
    """A NUM item as a measured value."""
    amount, name = sr.number(item), code_of(item.get("ConceptNameCodeSequence"))
    unit = code_of(item.MeasuredValueSequence[0].get("MeasurementUnitsCodeSequence")) if amount is not None else None
    if amount is None or name is None or unit is None:
        return None
    derived = sr.first(item, sr.DERIVATION)
    return Value(name, amount, unit, sr.answer(derived) if derived is not None else None)


def _around(finding: Finding) -> tuple[int, int, int, int, int, int]:
    (k, j, i), (slices, rows, columns) = finding.mask.start, finding.mask.extent
    return k, j, i, k + slices, j + rows, i + columns


def _numbers_of(group: Dataset) -> list[tuple[str, str]]:
    return [sr.numeric(item) for item in sr.children(group) if item.get("ValueType") == "NUM"]


def _said(report: _Report, group: Dataset) -> list[tuple[str, str]]:
    """What a group says beyond that: numbers, evaluations, texts; then who observed and who verified."""
    lines: list[tuple[str, str]] = []
    for item in sr.children(group):
        name, kind = sr.concept(item), str(item.get("ValueType"))
        if name in _KNOWN or name in sr.SITES or kind in _GEOMETRY:
            continue
        if kind == "NUM":
            lines += [] if report.own and name in _OWN_NUMBERS else [sr.numeric(item)]
        elif kind == "CODE":
            meant = sr.answer(item)
            if meant is not None and meant.scheme != _OWN_SCHEME and meant.value not in _PURPOSES:
                lines.append((sr.called(item), meant.meaning))
        elif sr.text(item):
            lines.append((sr.called(item), sr.text(item)))
    person, device = sr.observers(report.document)
    if not report.own:
        lines += [("Observer", person)] if person else []
        lines += [("Device", device)] if device else []
    if str(report.document.get("VerificationFlag")) == "VERIFIED":
        verifiers = report.document.get("VerifyingObserverSequence") or ()
        names = ", ".join(sr.plain(item.get("VerifyingObserverName") or "") for item in verifiers)
        lines.append(("Verified by", names or "somebody"))
    return lines


def _judged(report: _Report, group: Dataset, made: Finding) -> Finding:
    """The finding with the verdict that our own report holds; others' wait for one."""
    verdict = sr.first(group, VERDICT.value)
    meant = sr.answer(verdict) if verdict is not None else None
    if not report.own or meant is None or meant.value not in _VERDICTS:
        return made
    status, verb = _VERDICTS[meant.value]
    person, _ = sr.observers(report.document)
    act = Act(Reader(person or "Unnamed reader"), verb, moment(report.derived))
    reason = sr.first(group, REASON.value)
    called = sr.first(group, PROPOSED_AS.value)
    before = sr.answer(called) if called is not None else None
    term = None if before is None else Term(before.meaning, before, made.category)
    stated = sr.text(reason) if reason is not None else ""
    return replace(made, status=status, reason=stated, acts=(act,), proposed=term)
