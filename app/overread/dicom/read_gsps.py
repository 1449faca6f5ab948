"""A Grayscale Softcopy Presentation State (PS3.3 A.33.1) → annotations on slices, and the windows that it offers.

What it says about how the image is to be seen is offered, never applied by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from overread.dicom.found import Found, blank, colour_of, count, masked, remarked
from overread.dicom.graphics import Graphics
from overread.dicom.places import Places
from overread.dicom.sr_items import plain
from overread.dicom.values import floats, or_none, several, whole
from overread.dicom.write_gsps import NOTE
from overread.domain.finding import Finding, Kind
from overread.domain.study import DerivedObject, Stack, Window

_OWN = "Overread"
# "Glioma 2": how our own writer describes the layer of a finding.
_OWN_TITLE = re.compile(r"^(?P<label>.+) \d+$")
Place = tuple[float, float]


def read_gsps(state: Dataset, derived: DerivedObject, stack: Stack, places: Places) -> Found:
    """Each graphic layer that draws or writes on the stack as a finding; windows by the names that they have.

    Lines stay lines: in others' states nothing tells a region from a circle around something. The outlines of our own
    findings are filled again, and what we passed on of others' notes is their lines and texts again, under their name.
    """
    own = derived.source.manufacturer == _OWN
    described = {str(layer.get("GraphicLayer")): layer for layer in state.get("GraphicLayerSequence") or ()}
    layers: dict[str, Graphics] = {}
    tracked: dict[str, str] = {}
    whose: dict[str, str] = {}
    compound = 0
    for item in state.get("GraphicAnnotationSequence") or ():
        name = str(item.get("GraphicLayer") or "")
        note = own and name.startswith(NOTE)
        graphics = layers.setdefault(name, Graphics(places, holes=own))
        slices = _slices(item.get("ReferencedImageSequence"), places)
        if slices is None:
            slices = _applies_to(state, places)
        area = _Area(state)
        compound += len(item.get("CompoundGraphicSequence") or ())
        for graphic in item.get("GraphicObjectSequence") or ():
            pixels = area.pixels(graphic.get("GraphicData"), str(graphic.get("GraphicAnnotationUnits")))
            if pixels is None:
                graphics.lost += 1
            elif slices:
                graphics.on_image(slices, _kind(graphic), pixels, fill=own and not note)
            tracked.setdefault(name, str(graphic.get("TrackingUID") or ""))
        title = f"{described.get(name, Dataset()).get('GraphicLayerDescription')}  "
        for text in item.get("TextObjectSequence") or ():
            said = str(text.get("UnformattedTextValue") or "").strip()
            tracked.setdefault(name, str(text.get("TrackingUID") or ""))
            if note and said.startswith(title):
                whose[name] = said.rpartition("  ")[2]
            else:
                graphics.write(slices, area.anchor(text), said)
        if note and "GraphicObjectSequence" not in item and len(item.get("TextObjectSequence") or ()) == 1:
            graphics.write(slices, None, "")  # it marks the slice as a whole
    findings: list[Finding] = []
    for name, graphics in layers.items():
        layer = described.get(name, Dataset())
        made = _finding(name, layer, graphics, tracked.get(name, "") if own else "", derived, stack, len(findings) + 1)
        findings += [] if made is None else [replace(made, source=_said(made, state, whose.get(name, "")))]
    notices = []
    if compound:
        notices.append(f"{derived.source.title}: {count(compound, 'compound graphic', 'compound graphics')} not shown.")
    return Found(tuple(findings), tuple(notices), tuple(_windows(state, derived, places)))


def _slices(sequence: Any, places: Places) -> list[int] | None:
    """The slices that references name; None where there are no references."""
    if not sequence:
        return None
    found: list[int] = []
    for item in sequence:
        frames = [int(number) for number in _numbers(item.get("ReferencedFrameNumber"))]
        found += places.slices(str(item.get("ReferencedSOPInstanceUID") or ""), frames or None)
    return found


def _numbers(value: Any) -> list[float]:
    """The values of a numeric attribute; none where any is garbage."""
    return or_none(lambda: [float(number) for number in several(value)]) or []


def _applies_to(state: Dataset, places: Places) -> list[int]:
    found: list[int] = []
    for series in state.get("ReferencedSeriesSequence") or ():
        found += _slices(series.get("ReferencedImageSequence"), places) or []
    return found


def _kind(graphic: Dataset) -> str:
    """The graphic type; a curve through points is drawn as the line through them."""
    kind = str(graphic.get("GraphicType") or "POLYLINE")
    return "POLYLINE" if kind == "INTERPOLATED" else kind


class _Area:
    """What part of the image a state shows, in which places may be given (PS3.3 C.10.4)."""

    def __init__(self, state: Dataset) -> None:
        area = (state.get("DisplayedAreaSelectionSequence") or [Dataset()])[0]
        self._first = or_none(lambda: [int(n) for n in area.DisplayedAreaTopLeftHandCorner])
        self._last = or_none(lambda: [int(n) for n in area.DisplayedAreaBottomRightHandCorner])
        self._turned = bool(whole(state, "ImageRotation")) or str(state.get("ImageHorizontalFlip")) == "Y"

    def pixels(self, data: Any, units: str) -> NDArray[np.float64] | None:
        """Points as (column, row), the corner of the first pixel at (0, 0); None where they cannot be placed."""
        points = or_none(lambda: np.array(several(data), np.float64).reshape(-1, 2))
        if points is None or units != "DISPLAY":
            return points
        if self._turned or self._first is None or self._last is None:
            return None
        start = np.array(self._first, np.float64) - 1
        return np.asarray(start + points * (np.array(self._last, np.float64) - start))

    def anchor(self, text: Dataset) -> Place | None:
        """Where a text stands: its anchor, or the corner of its box; None where it has no place of its own."""
        for point, units in (
            ("AnchorPoint", "AnchorPointAnnotationUnits"),
            ("BoundingBoxTopLeftHandCorner", "BoundingBoxAnnotationUnits"),
        ):
            given = floats(text.get(point), 2)
            if given is not None and not (point != "AnchorPoint" and str(text.get(units)) == "DISPLAY"):
                placed = self.pixels(list(given), str(text.get(units)))
                if placed is not None:
                    return float(placed[0, 0]), float(placed[0, 1])
        return None


def _finding(
    name: str, layer: Dataset, graphics: Graphics, uid: str, derived: DerivedObject, stack: Stack, number: int
) -> Finding | None:
    """A layer as a finding; None where it holds nothing on this stack."""
    mask = masked(graphics.slices, stack.grid.shape)
    if not mask and not graphics.marks:
        return None
    title = str(layer.get("GraphicLayerDescription") or "").strip() or name or "Annotation"
    own = _OWN_TITLE.match(title) if uid else None
    colour = or_none(lambda: colour_of(layer.GraphicLayerRecommendedDisplayCIELabValue))
    facts: dict[str, Any] = {} if colour is None else {"colour": colour}
    made = blank(
        stack,
        derived,
        uid,
        f"layer {name}",
        number,
        label=own["label"] if own else title,
        mask=mask,
        kind=Kind.SEGMENTATION if mask else Kind.ANNOTATION,
        marks=() if mask else tuple(graphics.marks),
        **facts,
    )
    lost = f"{count(graphics.lost, 'graphic', 'graphics')} cannot be placed." if graphics.lost else ""
    return replace(made, source=remarked(derived.source, lost))


def _said(made: Finding, state: Dataset, whose: str) -> Any:
    source, creator = made.source, plain(state.get("ContentCreatorName") or "")
    description = str(state.get("ContentDescription") or "").strip()
    facts = (("Description", description), ("Creator", creator), ("Noted", whose))
    lines = [(name, value) for name, value in facts if value]
    return source and replace(source, said=tuple(lines))


def _windows(state: Dataset, derived: DerivedObject, places: Places) -> Iterator[Window]:
    """The windows of a state that are meant for images of the stack."""
    for item in state.get("SoftcopyVOILUTSequence") or ():
        slices = _slices(item.get("ReferencedImageSequence"), places)
        if slices is not None and not slices:
            continue
        centers, widths = _numbers(item.get("WindowCenter")), _numbers(item.get("WindowWidth"))
        names = [str(n) for n in several(item.get("WindowCenterWidthExplanation"))]
        for at, (center, width) in enumerate(zip(centers, widths, strict=False)):
            if width > 0 and np.isfinite((center, width)).all():
                name = names[at] if at < len(names) and names[at] else derived.source.title
                yield Window(center, width, name, str(item.get("VOILUTFunction") or "LINEAR"))
