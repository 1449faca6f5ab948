"""Masks on a picture: a fill, and an outline whose line says what became of the finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Bools, Finding, Mask, Status
from overread.domain.geometry import Index, PlaneAxes
from overread.render.projection import Projection, resized

Bytes = NDArray[np.uint8]

COLOURS = {
    Status.PROPOSED: (0xF5, 0xB8, 0x3D),
    Status.ACCEPTED: (0x37, 0xC8, 0xA5),
    Status.EDITED: (0x9B, 0x8C, 0xFF),
    Status.REJECTED: (0x93, 0xA1, 0xAE),
}
_DASH, _GAP = 9, 6
_MARGIN = 16


@dataclass(frozen=True, eq=False)
class Layer:
    """A mask of one slice to draw: its pixels in the picture, and how. `tint` is the colour of its fill, if it has one.

    The line keeps the colour of what became of the finding; where it is to be drawn `quick`, its edges are not smooth.
    """

    pixels: Bools
    start: tuple[int, int]
    status: Status
    selected: bool = False
    filled: bool = True
    dotted: bool = False
    tint: tuple[int, int, int] | None = None
    quick: bool = False


def mask_layer(
    mask: Mask, axes: PlaneAxes, index: int, status: Status, *, selected: bool = False, original: bool = False
) -> Layer | None:
    """The part of a mask that lies in a slice; None where it does not cross it."""
    at = index - mask.start[axes.through]
    if not 0 <= at < mask.extent[axes.through]:
        return None
    layer = slice_layer(mask.section(axes.through, at), mask.start, mask.shape, axes, status, selected=selected)
    return layer and replace(layer, filled=not original, dotted=original)


def slice_layer(
    voxels: Bools, start: Index, shape: Index, axes: PlaneAxes, status: Status, *, selected: bool = False
) -> Layer | None:
    """Voxels one slice thick across `axes.through`, at `start` in a grid of `shape`; None where none is set."""
    if not voxels.any():
        return None
    pixels = axes.picture(voxels, 0)
    down, across = axes.down, axes.across
    rows, columns = axes.size(shape)
    row, column = start[down], start[across]
    row = rows - row - voxels.shape[down] if axes.flip_down else row
    column = columns - column - voxels.shape[across] if axes.flip_across else column
    return Layer(pixels, (row, column), status, selected)


def finding_layers(
    findings: Sequence[Finding], axes: PlaneAxes, index: int, selected: str | None, *, original: bool
) -> list[Layer]:
    """The layers of findings in a slice, the selected one on top; with `original` also what the model had drawn.

    A detection without an outline has no layer.
    """
    layers: list[Layer] = []
    for finding in sorted(findings, key=lambda f: f.id == selected):
        if original and finding.original is not None:
            layer = mask_layer(finding.original, axes, index, Status.PROPOSED, original=True)
            layers.extend([layer] if layer else [])
        if finding.boxed:
            continue  # it is drawn as the box that it is
        layer = mask_layer(finding.mask, axes, index, finding.status, selected=finding.id == selected)
        tint = finding.tint
        if layer is not None and tint is not None:
            red, green, blue = bytes.fromhex(tint.removeprefix("#"))
            layer = replace(layer, tint=(red, green, blue))
        layers.extend([layer] if layer else [])
    return layers


def draw(rgb: Bytes, layers: Sequence[Layer], projection: Projection, opacity: float, thickness: float) -> None:
    """Draw layers onto a picture (height, width, 3) of the pane, in place. `thickness` is screen pixels of a line."""
    for layer in layers:
        _draw(rgb, layer, projection, opacity, thickness)


def _draw(rgb: Bytes, layer: Layer, projection: Projection, opacity: float, thickness: float) -> None:
    x, y, inside = at_screen_size(layer, projection)
    if inside.size == 0:
        return
    colour = COLOURS[layer.status]
    if layer.filled and opacity > 0:
        _fill(rgb, x, y, inside, layer.tint or colour, opacity)
    # Dashes are counted pixel by pixel; a solid line does with its corners.
    chain = cv2.CHAIN_APPROX_NONE if is_dashed(layer.status, dotted=layer.dotted) else cv2.CHAIN_APPROX_SIMPLE
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, chain)
    lines = [np.asarray(contour[:, 0] + np.array([[x, y]]), np.int32) for contour in contours]
    outline(rgb, lines, layer.status, thickness, selected=layer.selected, dotted=layer.dotted, quick=layer.quick)


def _fill(rgb: Bytes, x: int, y: int, inside: Bytes, colour: tuple[int, int, int], opacity: float) -> None:
    """Tint the pixels of a patch whose corner lies at (x, y) of the pane, as far as they are on it."""
    cut = inside[max(0, -y) :, max(0, -x) :]
    target = rgb[max(0, y) :, max(0, x) :][: cut.shape[0], : cut.shape[1]]
    cut = cut[: target.shape[0], : target.shape[1]]
    if target.size == 0:
        return
    # Four times as fast as to let numpy repeat three values.
    tint = np.frombuffer(bytes(colour) * (target.size // 3), np.uint8).reshape(target.shape)
    cv2.copyTo(cv2.addWeighted(target, 1.0 - opacity, tint, opacity, 0.0), np.ascontiguousarray(cut), target)


def at_screen_size(layer: Layer, projection: Projection) -> tuple[int, int, Bytes]:
    """A layer's pixels at screen size (255 inside, 0 outside), and where their corner lies: (x, y, pixels).

    The lattice is that of the picture beneath. What lies far off the pane is cut away; a margin is kept, so that no
    outline runs along the edge of the pane.
    """
    # A pixel more all around lets the outline close around masks that touch their box.
    pixels = np.pad(layer.pixels, 1).view(np.uint8) * np.uint8(255)
    (left, top), (across, down), (width, height) = projection.corner, projection.scale, projection.size
    first_row, first_column = layer.start[0] - 1, layer.start[1] - 1
    x, y = round(left + first_column * across), round(top + first_row * down)
    wide = max(1, round(left + (first_column + pixels.shape[1]) * across) - x)
    high = max(1, round(top + (first_row + pixels.shape[0]) * down) - y)
    cut_x, cut_y = max(0, -x - _MARGIN), max(0, -y - _MARGIN)
    end_x, end_y = min(wide, width + _MARGIN - x), min(high, height + _MARGIN - y)
    if end_x <= cut_x or end_y <= cut_y:
        return 0, 0, np.zeros((0, 0), np.uint8)
    level, least = 127, min(across, down)
    if least >= 2.0 and (end_x - cut_x) * (end_y - cut_y) < wide * high // 2:  # resample only what is seen
        step_x, step_y = wide / pixels.shape[1], high / pixels.shape[0]
        matrix = np.array([[step_x, 0, step_x / 2 - 0.5 - cut_x], [0, step_y, step_y / 2 - 0.5 - cut_y]])
        drawn = np.asarray(cv2.warpAffine(pixels, matrix, (end_x - cut_x, end_y - cut_y)), np.uint8)
    else:
        # Nothing may vanish: rounding corners takes single voxels away below 2 screen pixels, averaging below 1.
        drawn = resized(pixels, wide, high, cv2.INTER_NEAREST_EXACT if 1.0 <= least < 2.0 else cv2.INTER_LINEAR)
        level = min(level, int(drawn.max()) // 2)
        drawn = np.ascontiguousarray(drawn[cut_y:end_y, cut_x:end_x])
    inside = np.asarray(cv2.threshold(drawn, level, 255, cv2.THRESH_BINARY)[1], np.uint8)
    return x + cut_x, y + cut_y, inside


def outline(
    rgb: Bytes,
    lines: list[NDArray[np.int32]],
    status: Status,
    thickness: float,
    *,
    selected: bool = False,
    dotted: bool = False,
    quick: bool = False,
) -> None:
    """Draw closed lines, (n, 2) screen pixels (x, y) each, in place: neighbouring pixels where they are dashed.

    Dashed = proposed, solid = accepted, double = edited, dotted = what the model had drawn.
    """
    colour, smooth = COLOURS[status], cv2.LINE_8 if quick else cv2.LINE_AA
    width = max(1, round(thickness * (1.5 if selected else 1.0)))
    rim = width + max(1, round(thickness / 2))
    if is_dashed(status, dotted=dotted):
        on, off = (2, 5) if dotted else (_DASH, _GAP)
        scale = max(1.0, thickness / 1.5)
        pieces = [piece for line in lines for piece in dashes(line, round(on * scale), round(off * scale))]
        cv2.polylines(rgb, pieces, False, (0, 0, 0), rim, smooth)
        cv2.polylines(rgb, pieces, False, colour, width, smooth)
    elif status is Status.EDITED:
        cv2.polylines(rgb, lines, True, colour, 3 * width + 1, smooth)
        cv2.polylines(rgb, lines, True, (0, 0, 0), width, smooth)
    else:
        cv2.polylines(rgb, lines, True, (0, 0, 0), rim, smooth)
        cv2.polylines(rgb, lines, True, colour, width, smooth)


def is_dashed(status: Status, *, dotted: bool = False) -> bool:
    """Whether a line has gaps: nobody stands by what it encloses."""
    return dotted or status in (Status.PROPOSED, Status.REJECTED)


def dashes(line: NDArray[np.int32], on: int, off: int) -> list[NDArray[np.int32]]:
    """Cut a closed chain of neighbouring pixels into dashes of equal length; short ones stay whole."""
    if len(line) <= on + off:
        return [np.concatenate([line, line[:1]])]
    count = max(1, round(len(line) / (on + off)))
    starts = np.linspace(0, len(line), count, endpoint=False).astype(int)
    length = max(2, round(len(line) / count * on / (on + off)))
    closed = np.concatenate([line, line[:length]])
    return [closed[start : start + length] for start in starts]
