"""Pictures to take away: a slice at its own resolution, with the findings and what must be said drawn into it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Finding
from overread.domain.geometry import Grid, PlaneAxes
from overread.domain.heatmap import Heatmap
from overread.domain.study import Window
from overread.domain.volume import Volume
from overread.render.boxes import box_marks, draw_boxes
from overread.render.heat import draw_heat, table
from overread.render.measures import draw_measures, measure_marks
from overread.render.overlay import COLOURS, draw, finding_layers
from overread.render.projection import Projection
from overread.render.slices import compose

Bytes = NDArray[np.uint8]
Colour = tuple[int, int, int]

_INK: Colour = (0xE6, 0xEA, 0xEE)
_QUIET: Colour = (0x93, 0xA1, 0xAE)
# Text needs this many pixels, and so a caption has at least this width, even under a picture of 64 × 64.
_LEAST_WIDTH = 360
_LEAST_TEXT, _MOST_TEXT = 12, 34
_WEIGHT = 500


def native(grid: Grid, axes: PlaneAxes, index: int, times: int = 1) -> Projection:
    """A slice at its own resolution: a picture pixel is `times` × `times` screen pixels, and nothing is around it."""
    rows, columns = axes.size(grid.shape)
    size = columns * times, rows * times
    return Projection(grid, axes, index, size, rows, columns, size, (0, 0))


def burned(
    volume: Volume,
    axes: PlaneAxes,
    index: int,
    window: Window,
    findings: Sequence[Finding],
    *,
    selected: str | None = None,
    heatmap: Heatmap | None = None,
    times: int = 1,
) -> Bytes:
    """Slice `index` with its findings drawn in, shape (rows × times, columns × times, 3), RGB.

    The image's pixels are repeated and never interpolated. Outlines say by their line what became of a finding;
    nothing is filled, so that what they enclose can be seen. Names stand where there is room for them.
    """
    rgb = compose(volume, native(volume.grid, axes, index), window)
    rgb = np.ascontiguousarray(rgb.repeat(times, axis=0).repeat(times, axis=1))
    projection = native(volume.grid, axes, index, times)
    thick = float(max(1, round(max(projection.size) / 512)))
    if heatmap is not None:
        draw_heat(rgb, heatmap, projection)
    draw(rgb, finding_layers(findings, axes, index, selected, original=False), projection, 0.0, thick)
    draw_boxes(rgb, box_marks(findings, axes, index, selected), projection, thick)
    marks = measure_marks(findings, projection, selected)
    draw_measures(rgb, marks, projection, 2 * thick)
    for finding in findings:
        bounds = finding.bounds
        if bounds is not None and bounds[axes.through] <= index < bounds[3 + axes.through]:
            ends = [projection.to_screen((k - 0.5, j - 0.5, i - 0.5)) for k, j, i in (bounds[:3], bounds[3:])]
            (left, _), (top, bottom) = sorted(x for x, _ in ends), sorted(y for _, y in ends)
            _name(rgb, finding.title, (left, top, bottom), COLOURS[finding.status])
    for mark in marks:
        left, top, _, high = mark.bounds(projection)
        for text in mark.lines[:1]:
            _name(rgb, text, (left, top, top + high), COLOURS[mark.status])
    return rgb


def _name(rgb: Bytes, text: str, beside: tuple[float, float, float], colour: Colour) -> None:
    """Write a text above something, or below where there is no room above: its left, top and bottom."""
    left, top, bottom = beside
    size = text_size(rgb)
    wide = _width(text, size)
    y = round(top) - 4 if top - 4 >= size else round(bottom) + size + 3
    x = max(2, min(round(left), rgb.shape[1] - wide - 2))
    if wide + 4 <= rgb.shape[1] * 2 // 3 and y <= rgb.shape[0] - 2:
        write(rgb, text, (x, y), size, colour)


def text_size(rgb: Bytes) -> int:
    """Height in pixels of text that fits a picture's width."""
    wide: int = rgb.shape[1]
    return max(_LEAST_TEXT, min(_MOST_TEXT, round(wide / 40)))


def _font() -> cv2.FontFace:
    """OpenCV's own font: it needs no file of the system's, and knows most scripts."""
    return cv2.FontFace("sans")


def _width(text: str, size: int) -> int:
    left, _, wide, _ = cv2.getTextSize((0, 0), text, (0, 0), _font(), size, _WEIGHT)
    return left + wide


def write(rgb: Bytes, text: str, at: tuple[int, int], size: int, colour: Colour = _INK) -> None:
    """Write text with a dark rim onto a picture, in place; `at` is (x, y) of its lower left corner."""
    for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)):
        shade = colour if (x, y) == (0, 0) else (0, 0, 0)
        cv2.putText(rgb, text, (at[0] + x, at[1] + y), shade, _font(), size, _WEIGHT)


def noted(rgb: Bytes, wordings: Sequence[str]) -> str:
    """Write the first wording that fits into the lower left corner of a picture, in place; returns it, "" if none."""
    size = text_size(rgb)
    for text in wordings:
        if _width(text, size) + 6 <= rgb.shape[1]:
            write(rgb, text, (3, rgb.shape[0] - 5), size)
            return text
    return ""


def lettered(rgb: Bytes, edges: tuple[str, str, str, str]) -> None:
    """Write where the left, right, top and bottom edge of a picture lie in the patient, in place."""
    size = text_size(rgb)
    (rows, columns), (left, right, top, bottom) = rgb.shape[:2], edges
    middle = (rows + size) // 2
    write(rgb, left, (3, middle), size)
    write(rgb, right, (columns - _width(right, size) - 4, middle), size)
    write(rgb, top, ((columns - _width(top, size)) // 2, size + 2), size)
    write(rgb, bottom, ((columns - _width(bottom, size)) // 2, rows - 5), size)


def captioned(rgb: Bytes, lines: Sequence[str]) -> Bytes:
    """The picture with lines of text beneath it, none of its own pixels touched; the first line is the heading.

    The picture keeps its upper left corner. Lines that are too long go on in the next row.
    """
    size, wide = text_size(rgb), max(rgb.shape[1], _LEAST_WIDTH)
    rows = [
        (row, _INK if at == 0 else _QUIET) for at, line in enumerate(lines) for row in _wrapped(line, wide - 12, size)
    ]
    pitch = round(size * 1.4)
    paper = np.zeros((rgb.shape[0] + len(rows) * pitch + pitch // 2, wide, 3), np.uint8)
    paper[: rgb.shape[0], : rgb.shape[1]] = rgb
    for at, (row, colour) in enumerate(rows, start=1):
        write(paper, row, (6, rgb.shape[0] + at * pitch - 1), size, colour)
    return paper


def _wrapped(line: str, wide: int, size: int) -> list[str]:
    rows = [""]
    for word in line.split():
        longer = f"{rows[-1]} {word}".strip()
        if rows[-1] and _width(longer, size) > wide:
            rows.append(word)
        else:
            rows[-1] = longer
    return rows


def with_colour_bar(rgb: Bytes, heatmap: Heatmap) -> Bytes:
    """The picture with the colours of its heatmap at the right, from 0 to the map's greatest activation."""
    size, rows = text_size(rgb), rgb.shape[0]
    greatest = f"{max(float(heatmap.values.max()), 0.0):.3g}"
    bar = max(10, size)
    strip = np.zeros((rows, 12 + bar + 6 + _width(greatest, size), 3), np.uint8)
    top, bottom = min(size, rows // 4), rows - min(size, rows // 4)
    shades = np.rint(np.linspace(255, 0, bottom - top)).astype(np.intp)
    strip[top:bottom, 8 : 8 + bar] = table()[shades][:, None]
    write(strip, greatest, (12 + bar, top + size), size)
    write(strip, "0", (12 + bar, bottom), size)
    return np.concatenate([rgb, strip], axis=1)


def png(rgb: Bytes) -> bytes:
    """A picture as a PNG file, without loss."""
    done, data = cv2.imencode(".png", rgb[..., ::-1])
    if not done:
        raise ValueError("the picture cannot be encoded")
    return data.tobytes()
