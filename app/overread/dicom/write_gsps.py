r"""Accepted findings of one stack → softcopy presentation states, grey (PS3.3 A.33.1) or colour (A.33.2).

Outlines run along the edges of the pixels, in PIXEL units: the first pixel's upper left corner is 0\0 (C.10.5.1), so
corners of pixels are whole numbers and a reader who fills the outlines, the holes taken out, has the mask again.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from highdicom.pr import (
    ColorSoftcopyPresentationState,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextObject,
)
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from overread.dicom.derived import reference, with_side
from overread.dicom.equipment import equipment
from overread.dicom.source import SourceHeaders, carry_over, person_name, tracking_id
from overread.domain.finding import Finding, Kind, Reader
from overread.domain.geometry import Floats, plane_axes
from overread.domain.mark import Drawn as Marked
from overread.domain.measurement import Measurement, Shape
from overread.domain.study import Frame, Lut, Stack, Window
from overread.imaging.outlines import outlines

# Explicit VR has room for 65,534 bytes in an FL; a line with more points goes on in the next object.
_MOST_POINTS = ((1 << 16) - 2) // 8
# How layers begin that hold what others noted: their lines are lines, whatever they enclose.
NOTE = "NOTE"
# Letters of an ST.
_MOST_TEXT = 1024
# DCMTK's checker takes the bytes of these for control characters.
_QUOTES = str.maketrans("‘’", "''")


def write_gsps(
    stack: Stack,
    headers: SourceHeaders,
    findings: Sequence[Finding],
    reader: Reader,
    series_number: int,
    window: Window,
) -> list[Dataset]:
    """One presentation state of the stack with a layer for each finding, seen through `window`.

    A state has one Modality LUT: where slices have different slopes or intercepts, there is one state for each
    pair of them that findings lie on, all in one series. Explicit VR, as tables need it to say whether they are signed.
    """
    layers = [_layer(number, finding) for number, finding in enumerate(findings, start=1)]
    drawn = [
        (layer, *drawing)
        for layer, finding in zip(layers, findings, strict=True)
        for drawing in drawings(finding, stack)
    ]
    scales = [(frame.slope, frame.intercept) for frame in stack.frames]
    series = hd.UID()
    states: list[Dataset] = []
    for scale in dict.fromkeys(scales):
        here = [k for k, of in enumerate(scales) if of == scale]
        items = [
            _annotation(headers, layer, [k for k in slices if k in here], graphics, texts)
            for layer, slices, graphics, texts in drawn
            if not set(here).isdisjoint(slices)
        ]
        if items:
            states.append(_state(headers, reader, series, series_number, len(states) + 1, here, window, layers, items))
    return states


def layer_name(number: int, finding: Finding) -> str:
    """The Graphic Layer of a finding, the one of that number among them; what others noted is told from outlines."""
    return f"{NOTE if finding.kind is Kind.ANNOTATION else 'FINDING'} {number}"


def _layer(number: int, finding: Finding) -> GraphicLayer:
    red, green, blue = (int(finding.colour[at : at + 2], 16) for at in (1, 3, 5))
    colour = CIELabColor.from_rgb(red, green, blue)
    return GraphicLayer(layer_name(number, finding), number, description=finding.title[:64], display_color=colour)


def text_of(finding: Finding) -> str:
    """What stands beside a finding: its name, what was measured, the score, what became of it, and the model."""
    said = [finding.title]
    if finding.positive is not None:
        said.append("present" if finding.positive else "absent")
    if finding.measurement is not None:
        said += [f"{value.name.meaning} {value.number:g} {value.unit.meaning}" for value in finding.measurement.values]
    if finding.score is not None:
        said.append(f"{finding.score:.2f}")
    said.append(finding.status.value)
    if finding.model is not None:
        said.append(f"({finding.model.id} {finding.model.version})")
    if finding.kind is Kind.ANNOTATION and finding.source is not None:
        said.append(f"from {finding.source.title}".translate(_QUOTES))
    return "  ".join(said)[:_MOST_TEXT]


LutItem = TypeVar("LutItem", bound=hd.LUT)
Drawn = tuple[list[int], list[GraphicObject], list[TextObject]]


def drawings(finding: Finding, stack: Stack) -> Iterator[Drawn]:
    """What is drawn of a finding: on which slices (k), with which graphics and texts."""
    if finding.kind is Kind.ANNOTATION:
        yield from _noted(finding, stack)
    elif finding.measurement is not None:
        graphics = [_graphic(finding, points, kind) for points, kind in _measured(finding.measurement, stack)]
        yield [finding.measurement.index], graphics, [_text(finding, graphics)]
    elif finding.kind is Kind.CLASSIFICATION:
        seen = finding.heatmap
        acquired = seen is not None and plane_axes(stack.grid, seen.plane).through == 0
        yield [seen.index] if seen is not None and acquired else list(range(len(stack.frames))), [], [_banner(finding)]
    else:
        yield from _in_slices(finding)


def _in_slices(finding: Finding) -> Iterator[Drawn]:
    first, top, left = finding.mask.start
    for k, pixels in enumerate(finding.mask.inner, first):
        lines = [line + np.array([top, left]) for part in outlines(pixels) for line in part.lines]
        if lines:
            graphics = [_graphic(finding, piece) for line in lines for piece in _pieces(line[:, ::-1])]
            yield [k], graphics, [_text(finding, graphics)]


def _pieces(line: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """A closed line (column, row) with its first point once more at the end, in pieces that share their ends."""
    yield from _in_pieces(np.concatenate([line, line[:1]]))


def _in_pieces(line: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for at in range(0, max(len(line) - 1, 1), _MOST_POINTS - 1):
        yield line[at : at + _MOST_POINTS]


def _noted(finding: Finding, stack: Stack) -> Iterator[Drawn]:
    """What others noted, as they drew it: points, lines and texts on each slice, and above them whose note it is."""
    rows, columns = stack.grid.shape[1:]
    for k in sorted({mark.index for mark in finding.marks}):
        graphics: list[GraphicObject] = []
        texts = [_banner(finding)]
        for mark in (mark for mark in finding.marks if mark.index == k):
            points = (np.array(mark.points)[:, :0:-1] + 0.5).clip(0, (columns, rows))
            if mark.drawn is Marked.POINTS:
                graphics += [_graphic(finding, point[None], "POINT") for point in points]
            elif mark.drawn in (Marked.LINE, Marked.OUTLINE):
                open_ = mark.drawn is Marked.OUTLINE and not np.array_equal(points[0], points[-1])
                line = np.concatenate([points, points[:1]]) if open_ else points
                graphics += [_graphic(finding, piece) for piece in _in_pieces(line)]
            if mark.text and mark.whole:
                texts.append(_banner(finding, mark.text, len(texts)))
            elif mark.text:
                texts.append(_anchored(finding, mark.text, points))
        yield [k], graphics, texts


def _measured(measurement: Measurement, stack: Stack) -> Iterator[tuple[Floats, str]]:
    """Points (column, row) and graphic type of what was measured on a slice."""
    rows, columns = stack.grid.shape[1:]
    points = (np.array(measurement.points)[:, :0:-1] + 0.5).clip(0, (columns, rows))
    if measurement.shape is Shape.ELLIPSE:
        yield points, "ELLIPSE"
    elif measurement.shape is Shape.BIDIRECTIONAL:
        yield points[:2], "POLYLINE"
        yield points[2:], "POLYLINE"
    else:
        yield points, "POLYLINE"


def _graphic(finding: Finding, points: NDArray[Any], kind: str = "POLYLINE") -> GraphicObject:
    return GraphicObject(
        kind,
        np.asarray(points, np.float64),
        "PIXEL",
        tracking_id=tracking_id(finding),
        tracking_uid=finding.id,
    )


def _text(finding: Finding, graphics: Sequence[GraphicObject]) -> TextObject:
    return _anchored(finding, text_of(finding), np.concatenate([graphic.graphic_data for graphic in graphics]))


def _anchored(finding: Finding, text: str, points: Floats) -> TextObject:
    """A text at the rightmost of the topmost points of what is drawn."""
    column, row = points[np.lexsort((-points[:, 0], points[:, 1]))[0]]
    return TextObject(
        text[:_MOST_TEXT],
        "PIXEL",
        anchor_point=(float(column), float(row)),
        anchor_point_visible=False,
        tracking_id=tracking_id(finding),
        tracking_uid=finding.id,
    )


def _banner(finding: Finding, text: str = "", row: int = 0) -> TextObject:
    """What is said of the image as a whole, along its upper edge: by default of the finding; `row` counts downwards."""
    top = 0.02 + 0.08 * (row % 11)
    return TextObject(
        (text or text_of(finding))[:_MOST_TEXT],
        "DISPLAY",
        bounding_box=(0.02, top, 0.98, top + 0.08),
        text_justification="LEFT",
        tracking_id=tracking_id(finding),
        tracking_uid=finding.id,
    )


def _annotation(
    headers: SourceHeaders,
    layer: GraphicLayer,
    slices: Sequence[int],
    graphics: Sequence[GraphicObject],
    texts: Sequence[TextObject],
) -> GraphicAnnotation:
    item = GraphicAnnotation(headers.images[:1], layer, graphic_objects=graphics or None, text_objects=texts)
    item["ReferencedImageSequence"].value = _references(headers, slices)
    return item


def _references(headers: SourceHeaders, slices: Sequence[int]) -> list[Dataset]:
    """References to slices; frames of one file in one item."""
    frames: dict[str, list[Frame]] = {}
    for k in slices:
        frame = headers.stack.frames[k]
        frames.setdefault(frame.sop_instance_uid, []).append(frame)
    items = []
    for of_file in frames.values():
        item = reference(headers.first, of_file[0])
        if len(of_file) == of_file[0].of:
            item.pop("ReferencedFrameNumber", None)  # all of them
        elif of_file[0].of > 1:
            item.ReferencedFrameNumber = [frame.index + 1 for frame in of_file]
        items.append(item)
    return items


def _state(
    headers: SourceHeaders,
    reader: Reader,
    series: str,
    series_number: int,
    number: int,
    slices: Sequence[int],
    window: Window,
    layers: Sequence[GraphicLayer],
    items: Sequence[GraphicAnnotation],
) -> Dataset:
    stack = headers.stack
    used = {item.GraphicLayer for item in items}
    common: dict[str, Any] = {
        "referenced_images": list(headers.images),
        "series_instance_uid": series,
        "series_number": series_number,
        "sop_instance_uid": hd.UID(),
        "instance_number": number,
        **equipment(),
        "content_label": "OVERREAD",
        "content_description": "Findings accepted by a reader. Not for clinical use.",
        "content_creator_name": person_name(reader.name),
        "graphic_layers": [layer for layer in layers if layer.GraphicLayer in used],
        "graphic_annotations": list(items),
        "transfer_syntax_uid": ExplicitVRLittleEndian,
        "series_description": f"AI {stack.identity.series_description} PR".strip()[:64],
        "specific_character_set": "ISO_IR 192",
    }
    if stack.encoding.samples == 3:
        profile = headers.first.get("ICCProfile") or pkgutil.get_data(
            "highdicom", "_icc_profiles/sRGB_v4_ICC_preference.icc"
        )
        state: Dataset = ColorSoftcopyPresentationState(icc_profile=profile, **common)
    else:
        inverse = stack.encoding.photometric == "MONOCHROME1"
        state = GrayscaleSoftcopyPresentationState(
            modality_lut_transformation=_modality(headers, slices[0]),
            voi_lut_transformations=[_voi(stack, window)],
            presentation_lut_transformation=hd.PresentationLUTTransformation("INVERSE" if inverse else "IDENTITY"),
            **common,
        )
    state.ReferencedSeriesSequence[0].ReferencedImageSequence = _references(headers, slices)
    (area,) = state.DisplayedAreaSelectionSequence
    area.pop("PixelOriginInterpretation", None)  # said of tiled images alone
    if stack.grid.calibrated:
        area.pop("PresentationPixelAspectRatio")
        area.PresentationPixelSpacing = [format_number_as_ds(mm) for mm in stack.grid.spacing[1:]]
    carry_over(headers.first, state)
    with_side(headers, state)
    return state


def _modality(headers: SourceHeaders, k: int) -> hd.ModalityLUTTransformation:
    """The rescaling of a slice, or the source's table of real values."""
    stack = headers.stack
    if stack.modality_lut is not None:
        (source,) = headers.first.ModalityLUTSequence
        lut = hd.ModalityLUT(str(source.get("ModalityLUTType") or "US"), 0, stack.modality_lut.values.astype(np.uint16))
        return hd.ModalityLUTTransformation(modality_lut=_described(lut, stack.modality_lut))
    frame = stack.frames[k]
    unit = "HU" if stack.units == "HU" else "US"  # US is "unspecified"
    return hd.ModalityLUTTransformation(_short(frame.intercept), _short(frame.slope), unit)


def greys(table: Lut) -> NDArray[np.uint16]:
    """The entries of a VOI LUT over all of 16 bits, darkest to brightest, which is how the table is shown here."""
    low, high = float(table.values.min()), float(table.values.max())
    return np.rint((table.values - low) / max(high - low, 1.0) * 65535).astype(np.uint16)


def _described(item: LutItem, table: Lut) -> LutItem:
    """The item with the table's first value, which may be negative (C.11.1.1)."""
    entries = len(table.values) % (1 << 16)
    signed = entries - (1 << 16) if table.first < 0 and entries >= 1 << 15 else entries
    item.add_new("LUTDescriptor", "SS" if table.first < 0 else "US", [signed, table.first, 16])
    return item


def _short(number: float) -> float:
    """The number as a DS can say it."""
    return float(format_number_as_ds(float(number)))


def _voi(stack: Stack, window: Window) -> SoftcopyVOILUTTransformation:
    table = stack.voi_lut
    if window.function == "LUT" and table is not None:
        return SoftcopyVOILUTTransformation(
            voi_luts=[_described(hd.VOILUT(0, greys(table), table.explanation[:64] or None), table)]
        )
    return SoftcopyVOILUTTransformation(
        window_center=_short(window.center),
        window_width=_short(window.width),
        window_explanation=window.name[:64] or None,
        voi_lut_function="LINEAR" if window.function == "LUT" else window.function,
    )
