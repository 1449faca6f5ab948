"""An RT Structure Set (PS3.3 A.19) → findings: closed planar contours filled in the slices that they were drawn on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from overread.dicom.found import TISSUE, Found, blank, code_of, count, masked, model_source, remarked
from overread.dicom.graphics import filled
from overread.dicom.places import Places
from overread.dicom.values import group_of, or_none, several, whole
from overread.domain.finding import Bools, Finding, Kind, ModelSource
from overread.domain.geometry import Floats
from overread.domain.mark import Drawn, Mark
from overread.domain.study import DerivedObject, Stack

# Contours that leave a slice by more than this part of the way to its neighbours are not planar in this stack.
_FLAT = 0.25
# How our own writer says what has no attribute in a structure set, and how it names regions.
_TRACKING = re.compile(r"Tracking UID (?P<uid>[0-9.]+)")
_OWN_TITLE = re.compile(r"^(?P<label>.+) \d+(?: \(box\))?$")
_LEFT = (
    ("nowhere", "left out: no image of this series lies there"),
    ("across", "left out: drawn across the slices"),
    ("foreign", "left out: in another frame of reference"),
    ("broken", "left out: damaged"),
    ("between", "drawn between slices; shown on the nearest"),
)
_MARKS = {"POINT": Drawn.POINTS, "OPEN_PLANAR": Drawn.LINE, "OPEN_NONPLANAR": Drawn.LINE}


def read_rtstruct(dataset: Dataset, derived: DerivedObject, stack: Stack, places: Places) -> Found:
    """Each region with contours in the stack as a finding.

    A contour is filled in the slice in whose plane it lies, the middles of pixels inside by the even-odd rule; what
    a contour within another one encloses is a hole. Contours whose images are not here, or that run across the
    slices, are left out and counted. Points and open lines become marks.
    """
    if not places.oriented:
        return Found(notices=(f"{derived.source.title}: this image has no place in the patient to put contours.",))
    named = {whole(item, "ROINumber"): item for item in dataset.get("StructureSetROISequence") or ()}
    meant = {whole(item, "ReferencedROINumber"): item for item in dataset.get("RTROIObservationsSequence") or ()}
    findings: list[Finding] = []
    notices: list[str] = []
    for drawn in dataset.get("ROIContourSequence") or ():
        number = whole(drawn, "ReferencedROINumber")
        region = named.get(number, Dataset())
        label = str(region.get("ROIName") or "").strip() or f"Region {number}"
        frame, ours = str(region.get("ReferencedFrameOfReferenceUID") or ""), stack.identity.frame_of_reference_uid
        parts = _Region(drawn, places, foreign=bool(frame and ours and frame != ours))
        if not parts.slices and not parts.marks:
            if parts.remark:
                notices.append(f"{derived.source.title}: ‘{label}’ cannot be shown. {parts.remark}")
            continue
        observed = meant.get(number, Dataset())
        findings.append(_finding(region, drawn, observed, label, parts, derived, stack, len(findings) + 1))
    return Found(tuple(findings), tuple(notices))


class _Region:
    """The contours of one region, put where they lie.

    Some writers make up a frame of reference. Where it is `foreign`, contours go only to the images that they name,
    and only where these lie in their plane.
    """

    def __init__(self, drawn: Dataset, places: Places, *, foreign: bool) -> None:
        self._places, self._shape, self._foreign = places, places.stack.grid.shape[1:], foreign
        self.slices: dict[int, Bools] = {}
        self.marks: list[Mark] = []
        self._left: Counter[str] = Counter()
        for contour in drawn.get("ContourSequence") or ():
            self._add(contour)

    @property
    def remark(self) -> str:
        """What was left out, in sentences."""
        parts = [f"{count(self._left[why], 'contour', 'contours')} {text}." for why, text in _LEFT if self._left[why]]
        if self._foreign and (self.slices or self.marks):
            parts.insert(0, "It names another frame of reference than the images that it refers to, and lies on these.")
        return " ".join(parts)

    def _add(self, contour: Dataset) -> None:
        points = or_none(lambda: _numbers(contour).reshape(-1, 3))
        if points is None or not len(points) or not np.isfinite(points).all():
            self._left["broken"] += 1
            return
        kind = str(contour.get("ContourGeometricType") or "CLOSED_PLANAR")
        inside, away = self._places.in_slices(points)
        if self._foreign and not self._on_its_image(contour, inside, away):
            self._left["foreign"] += 1
            return
        if kind in _MARKS:
            if kind == "OPEN_NONPLANAR" and np.ptp(inside[:, 0]) > 0:
                self._left["across"] += 1
            elif away.max() > self._places.reach:
                self._left["nowhere"] += 1
            else:
                self.marks.append(Mark(_MARKS[kind], tuple((float(k), float(j), float(i)) for k, j, i in inside)))
            return
        k = self._slice(inside, away)
        if k is not None:
            inner = filled(inside[:, 1:], (self._shape[0], self._shape[1]))
            if k in self.slices:
                self.slices[k] ^= inner
            else:
                self.slices[k] = inner

    def _on_its_image(self, contour: Dataset, inside: Floats, away: Floats) -> bool:
        """Whether a contour lies in the plane of an image of the stack that it names."""
        named = set()
        for item in contour.get("ContourImageSequence") or ():
            named.add(
                self._places.named(str(item.get("ReferencedSOPInstanceUID")), whole(item, "ReferencedFrameNumber"))
            )
        return set(inside[:, 0].tolist()) <= named and float(away.max()) <= _FLAT * self._places.reach

    def _slice(self, inside: Floats, away: Floats) -> int | None:
        """The slice that a closed contour belongs to; None, counted, where there is none."""
        reach = self._places.reach
        if np.ptp(inside[:, 0]) > 0 or float(np.ptp(away)) > _FLAT * reach:
            self._left["nowhere" if away.min() > reach else "across"] += 1
            return None
        if away.max() > reach:
            self._left["nowhere"] += 1
            return None
        self._left["between"] += bool(away.max() > _FLAT * reach)
        return int(inside[0, 0])


def _numbers(contour: Dataset) -> Floats:
    """Contour Data. As text of the file it is read a hundred times faster than number by number."""
    raw = contour.get_item("ContourData")
    if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
        return np.array(raw.value.rstrip(b"\0 ").split(b"\\"), np.float64)
    return np.array(several(contour.get("ContourData")), np.float64)


def _finding(
    region: Dataset,
    drawn: Dataset,
    observed: Dataset,
    label: str,
    parts: _Region,
    derived: DerivedObject,
    stack: Stack,
    number: int,
) -> Finding:
    said = str(region.get("ROIDescription") or "")
    tracked = _TRACKING.search(said)
    own = _OWN_TITLE.match(label) if tracked else None
    colour = or_none(lambda: "#{:02X}{:02X}{:02X}".format(*(int(part) for part in drawn.ROIDisplayColor)))
    facts: dict[str, Any] = {} if colour is None else {"colour": colour}
    mask = masked(parts.slices, stack.grid.shape)
    interpreted = str(observed.get("RTROIInterpretedType") or "").strip()
    lines = [("Interpreted type", interpreted)] if interpreted else []
    lines += [("Description", said)] if said and not tracked else []
    made = blank(
        stack,
        derived,
        tracked["uid"].strip(".") if tracked else "",
        f"region {whole(drawn, 'ReferencedROINumber')}",
        number,
        label=own["label"] if own else label,
        concept=code_of(observed.get("RTROIIdentificationCodeSequence")) or TISSUE,
        category=code_of(observed.get("SegmentedPropertyCategoryCodeSequence")) or TISSUE,
        anatomy=code_of(observed.get("AnatomicRegionSequence")),
        mask=mask,
        kind=Kind.SEGMENTATION if mask else Kind.ANNOTATION,
        marks=tuple(parts.marks) or (() if mask else tuple(_empty(parts))),
        model=_model(region, derived),
        **facts,
    )
    return replace(made, source=replace(remarked(derived.source, parts.remark), said=tuple(lines)))


def _empty(parts: _Region) -> Iterator[Mark]:
    """Contours too small to hold the middle of a pixel, marked where they lie."""
    for k in parts.slices:
        yield Mark(Drawn.IMAGE, ((float(k), 0.0, 0.0),), "smaller than a pixel")


def _model(region: Dataset, derived: DerivedObject) -> ModelSource | None:
    """The algorithm that drew a region; None where a person did, or nobody says."""
    if str(region.get("ROIGenerationAlgorithm") or "") not in ("AUTOMATIC", "SEMIAUTOMATIC"):
        return None
    identified = group_of(region.get("ROIDerivationAlgorithmIdentificationSequence"), 0)
    if identified is None or not identified.get("AlgorithmName"):
        return None
    version = str(identified.get("AlgorithmVersion") or "").strip()
    return model_source(str(identified.AlgorithmName).strip(), version, "", "", derived)
