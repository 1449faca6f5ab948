"""Presentation states among the products: what they have room for, and how they are read back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset

from overread.dicom.product import Parcel, require
from overread.dicom.write_gsps import drawings, greys, layer_name, text_of
from overread.domain.finding import Bools, Finding, Kind
from overread.domain.geometry import Floats, plane_axes
from overread.domain.study import Stack, Window
from overread.imaging.outlines import patch


def no_presentation(stack: Stack, finding: Finding) -> str:
    """Why a presentation state has no place for a finding, "" where it has."""
    if stack.encoding.photometric == "PALETTE COLOR":
        return "The colours of this image come from a table, for which no presentation state is written."
    of = finding.measurement
    if of is not None and plane_axes(stack.grid, of.plane).through != 0:
        return "It was measured on a reformatted plane, which no image of the series shows."
    drawn = finding.mask or finding.kind in (Kind.CLASSIFICATION, Kind.MEASUREMENT, Kind.ANNOTATION)
    return "" if drawn else "It has no outline."


def check_gsps(paths: Sequence[Path], parcel: Parcel, window: Window) -> None:
    """Read states back: which images they change, how these are to look, and what is drawn on them where.

    Wrong where anything differs: outlines are filled and compared with the masks voxel by voxel.
    """
    stack, findings = parcel.stack, parcel.findings
    places = {(frame.sop_instance_uid, frame.index): k for k, frame in enumerate(stack.frames)}
    voxels = [np.zeros(stack.grid.shape, np.bool_) for _ in findings]
    drawn: list[list[tuple[int, list[Dataset], list[Dataset]]]] = [[] for _ in findings]
    series: set[str] = set()
    for path in paths:
        state = pydicom.dcmread(path)
        series.add(str(state.SeriesInstanceUID))
        (of,) = state.ReferencedSeriesSequence
        require(of.SeriesInstanceUID == stack.identity.series_uid, "it refers to another series")
        changed = set(_slices(of.ReferencedImageSequence, stack, places))
        scales = {(stack.frames[k].slope, stack.frames[k].intercept) for k in changed}
        alike = {k for k, frame in enumerate(stack.frames) if (frame.slope, frame.intercept) in scales}
        require(len(scales) == 1 and changed == alike, "it changes other images")
        _look(state, stack, changed, window)
        _layers(state, findings)
        for item in state.GraphicAnnotationSequence:
            numbers = [n for n, one in enumerate(findings) if item.GraphicLayer == layer_name(n + 1, one)]
            require(bool(numbers), "something is drawn on a layer that belongs to no finding")
            for k in _slices(item.ReferencedImageSequence, stack, places):
                require(k in changed, "something is drawn on an image that the state does not change")
                graphics, texts = list(item.get("GraphicObjectSequence", ())), list(item.get("TextObjectSequence", ()))
                drawn[numbers[0]].append((k, graphics, texts))
    require(len(series) == 1, "its states lie in several series")
    for finding, items, inside in zip(findings, drawn, voxels, strict=True):
        name = finding.title
        meant = {k: graphics for slices, graphics, _ in drawings(finding, stack) for k in slices}
        written = {k: texts for slices, _, texts in drawings(finding, stack) for k in slices}
        require({k for k, *_ in items} == set(meant), f"{name} is drawn on other slices")
        require(len({k for k, *_ in items}) == len(items), f"{name} is drawn twice on a slice")
        for k, graphics, texts in items:
            said = [str(text.UnformattedTextValue) for text in texts]
            require(said[:1] == [text_of(finding)], f"the text beside {name} is another one")
            require(_same_texts(texts, written[k]), f"the text beside {name} is another one")
            tracked = {str(item.get("TrackingUID")) for item in (*graphics, *texts)}
            require(tracked == {finding.id}, f"{name} lost its tracking UID")
            require(all(graphic.GraphicAnnotationUnits == "PIXEL" for graphic in graphics), "graphics in other units")
            if finding.mask:
                inside[k] = _filled(graphics, stack)
            require(_same_points(graphics, meant[k]), f"{name} is drawn along other points")
        require(np.array_equal(inside, finding.mask.voxels), f"the outline of {name} encloses other voxels")


def _slices(items: Sequence[Dataset], stack: Stack, places: dict[tuple[str, int], int]) -> Iterator[int]:
    """The slices that references name: those of their frames, or all of the file."""
    for item in items:
        uid, numbers = str(item.ReferencedSOPInstanceUID), item.get("ReferencedFrameNumber")
        if numbers is None:
            indices = [index for of, index in places if of == uid]
        else:
            indices = [int(n) - 1 for n in (numbers if isinstance(numbers, Sequence) else [numbers])]
        require(bool(indices), "it refers to an image that is not in the series")
        for index in indices:
            require((uid, index) in places, "it refers to a frame that is not in the series")
            yield places[uid, index]


def _look(state: Dataset, stack: Stack, changed: set[int], window: Window) -> None:
    """Displayed area, rescaling, window and polarity."""
    (area,) = state.DisplayedAreaSelectionSequence
    rows, columns = stack.grid.shape[1:]
    corners = *area.DisplayedAreaTopLeftHandCorner, *area.DisplayedAreaBottomRightHandCorner
    require(corners == (1, 1, columns, rows), "another part of the image is shown")
    if stack.grid.calibrated:
        spacing = [float(mm) for mm in area.PresentationPixelSpacing]
        require(bool(np.allclose(spacing, stack.grid.spacing[1:], rtol=1e-6)), "another pixel spacing")
    if stack.encoding.samples == 3:
        return
    polarity = "INVERSE" if stack.encoding.photometric == "MONOCHROME1" else "IDENTITY"
    require(state.get("PresentationLUTShape") == polarity, "black and white are exchanged")
    if stack.modality_lut is None:
        written = float(state.RescaleSlope), float(state.RescaleIntercept)
        scales = {(stack.frames[k].slope, stack.frames[k].intercept) for k in changed}
        require(all(np.allclose(written, scale, rtol=1e-9) for scale in scales), "another rescaling")
    else:
        (table,) = state.ModalityLUTSequence
        require(_same_table(table, stack.modality_lut.first, stack.modality_lut.values), "another table of real values")
    (voi,) = state.SoftcopyVOILUTSequence
    if window.function == "LUT" and stack.voi_lut is not None:
        (table,) = voi.VOILUTSequence
        require(_same_table(table, stack.voi_lut.first, greys(stack.voi_lut)), "another table of greys")
        return
    written = float(voi.WindowCenter), float(voi.WindowWidth)
    require(bool(np.allclose(written, (window.center, window.width), rtol=1e-9)), "another window")
    function = "LINEAR" if window.function == "LUT" else window.function
    require(voi.get("VOILUTFunction", "LINEAR") == function, "another kind of window")


def _same_table(written: Dataset, first: int, meant: NDArray[Any]) -> bool:
    data = written.LUTData
    values = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.atleast_1d(np.asarray(data))
    return int(written.LUTDescriptor[1]) == first and np.array_equal(values, meant)


def _layers(state: Dataset, findings: Sequence[Finding]) -> None:
    titles = {layer_name(number, f): f.title[:64] for number, f in enumerate(findings, start=1)}
    written = {str(layer.GraphicLayer): str(layer.GraphicLayerDescription) for layer in state.GraphicLayerSequence}
    require(written.items() <= titles.items(), "layers have other names")


def _lines(graphics: Sequence[Dataset]) -> Iterator[Floats]:
    """Closed lines (column, row); what was too long for one object is joined."""
    pieces: list[Floats] = []
    for graphic in graphics:
        points = np.array(graphic.GraphicData, np.float64).reshape(-1, 2)
        require(len(points) == int(graphic.NumberOfGraphicPoints), "an outline lost points")
        require(not pieces or np.array_equal(pieces[-1][-1], points[0]), "an outline has a gap")
        pieces.append(points)
        if np.array_equal(pieces[0][0], points[-1]):
            yield np.concatenate(pieces)
            pieces = []
    require(not pieces, "an outline is not closed")


def _filled(graphics: Sequence[Dataset], stack: Stack) -> Bools:
    """The pixels of a slice within outlines, those within holes taken out."""
    inside = np.zeros(stack.grid.shape[1:], np.bool_)
    for line in _lines(graphics):
        rows, columns, within = patch(line[:-1, ::-1] - 0.5, stack.grid.shape[1:])
        inside[rows, columns] ^= within
    return inside


def _same_texts(written: Sequence[Dataset], meant: Sequence[Dataset]) -> bool:
    """Whether texts say the same in the same places."""

    def place(text: Dataset) -> list[float]:
        return [float(n) for n in text.get("AnchorPoint") or text.BoundingBoxTopLeftHandCorner]

    pairs = zip(written, meant, strict=False)
    return len(written) == len(meant) and all(
        str(one.UnformattedTextValue).strip() == str(other.UnformattedTextValue).strip()
        and np.allclose(place(one), place(other), atol=1e-3)
        for one, other in pairs
    )


def _same_points(written: Sequence[Dataset], meant: Sequence[Dataset]) -> bool:
    """Whether graphics have the same points, as exact as an FL says them."""
    pairs = zip(written, meant, strict=False)
    return len(written) == len(meant) and all(
        len(one.GraphicData) == len(other.GraphicData) and np.allclose(one.GraphicData, other.GraphicData, atol=1e-3)
        for one, other in pairs
    )
