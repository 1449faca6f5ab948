"""Pictures of findings for what leaves, at the image's own size: key slices with captions, and whole series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Finding, Kind, Mask, Status
from overread.domain.geometry import Grid, PlaneAxes, acquired_plane, edge_letters, plane_axes
from overread.domain.heatmap import Heatmap
from overread.domain.reasons import heatmaps
from overread.domain.study import Window
from overread.domain.volume import Volume
from overread.render.burned import burned, captioned, lettered, noted, with_colour_bar
from overread.render.measures import words
from overread.session.presets import fitted, opening_window

Bytes = NDArray[np.uint8]

_NOTE = "AI overlay – not for diagnosis"
_OWN_NOTE = "Overlay – not for diagnosis"
# Below this, lines and letters would hide a small image: its pixels are repeated then.
_LEAST_SIDE = 384
_SHORTER = ("AI – not for diagnosis", "AI")
_STATUS = {
    Status.PROPOSED: "proposed, nobody judged it yet",
    Status.ACCEPTED: "accepted as proposed",
    Status.EDITED: "edited by a reader",
    Status.REJECTED: "rejected",
}


@dataclass(frozen=True, eq=False)
class Picture:
    """A slice of the acquired plane with a finding on it: `pixels` (rows, columns, 3), RGB.

    A pixel of the image is one of the picture, or several where the image is small; never less, and none is blurred.
    `index` is the slice's number along k. `edges` says where the left, right, top and bottom of the picture lie in the
    patient, "" where nothing is known; `aspect` is a pixel's height over its width; `heatmap` is the map on it, if any.
    """

    finding: Finding
    index: int
    pixels: Bytes
    edges: tuple[str, str, str, str]
    aspect: float
    heatmap: Heatmap | None


def key_slice(finding: Finding, grid: Grid) -> int | None:
    """The acquired slice (k) that shows most of a finding: the one with the largest area of its outline.

    The middle of a box without outline, the slice of a class's heatmap or of a measurement, the first one for a class
    without heatmap. None for what lies on a slice of another plane.
    """
    lying = finding.heatmap or finding.measurement
    if lying is not None:
        return lying.index if plane_axes(grid, lying.plane).through == 0 else None
    if finding.kind is Kind.CLASSIFICATION:
        return 0
    if finding.mask:
        return largest_slice(finding.mask)
    bounds = finding.bounds
    return None if bounds is None else (bounds[0] + bounds[3] - 1) // 2


def largest_slice(mask: Mask) -> int:
    """The slice (k) in which a mask has most voxels; of equal ones the first."""
    return mask.start[0] + int(mask.inner.sum(axis=(1, 2)).argmax())


def window_of(volume: Volume) -> Window:
    """The window that the series opens with, the same for all its slices."""
    window = opening_window(volume.stack)
    if window.width > 0 or volume.colour:
        return window
    k = volume.grid.shape[0] // 2
    return fitted(volume.real((slice(k, k + 1), slice(None), slice(None))))


def note_on(findings: Sequence[Finding]) -> str:
    """What stands on a picture: not for diagnosis; and that a model drew something, where one did."""
    return _NOTE if any(finding.model is not None for finding in findings) else _OWN_NOTE


def key_pictures(volume: Volume, findings: Sequence[Finding], window: Window | None = None) -> Iterator[Picture]:
    """One picture for each finding that can be shown on an acquired slice, with its caption beneath.

    After it comes one for each slice on which a model was asked why it drew the finding, with what it answered.
    `window` is the one that the series opens with unless another is given.
    """
    grid, window = volume.grid, window or window_of(volume)
    axes = plane_axes(grid, acquired_plane(grid))
    edges = edge_letters(grid, axes)
    times = max(1, -(-_LEAST_SIDE // max(grid.shape[1:])))
    for finding, index, heatmap in _looks(findings, grid):
        rgb = burned(volume, axes, index, window, findings, selected=finding.id, heatmap=heatmap, times=times)
        lettered(rgb, edges)
        if heatmap is not None:
            rgb = with_colour_bar(rgb, heatmap)
        down, across = grid.spacing[1:]
        below = caption(finding, index, volume, heatmap)
        yield Picture(finding, index, captioned(rgb, below), edges, down / across, heatmap)


def _looks(findings: Sequence[Finding], grid: Grid) -> Iterator[tuple[Finding, int, Heatmap | None]]:
    """The slices to show of each finding: its key slice with the map of its own, then those with what was asked for."""
    for finding in findings:
        index = key_slice(finding, grid)
        if index is not None:
            yield finding, index, finding.heatmap
        for heatmap in heatmaps(finding):
            if heatmap is not finding.heatmap and plane_axes(grid, heatmap.plane).through == 0:
                yield finding, heatmap.index, heatmap


def series_pictures(volume: Volume, findings: Sequence[Finding], window: Window | None = None) -> Iterator[Bytes]:
    """Every slice in its stored rows and columns with the findings on it, each shape (rows, columns, 3), one by one.

    One window holds for all: that which the series opens with unless another is given.
    """
    grid, window = volume.grid, window or window_of(volume)
    axes = stored_axes(volume)
    note = note_on(findings)
    for k in range(grid.shape[0]):
        rgb = burned(volume, axes, k, window, findings)
        noted(rgb, (note, *(_SHORTER if note == _NOTE else ())))
        yield rgb


def stored_axes(volume: Volume) -> PlaneAxes:
    """The acquired slices as they are stored, rows down and columns across, mirrored along no axis."""
    return PlaneAxes(acquired_plane(volume.grid), 0, 1, 2, flip_down=False, flip_across=False)


def caption(finding: Finding, index: int, volume: Volume, heatmap: Heatmap | None) -> list[str]:
    """What stands beneath a finding's picture, with a map on it perhaps, a line each. Nothing of the patient."""
    lines = [f"{finding.title}: {_STATUS[finding.status]}"]
    size = finding.measures
    if size is not None:
        axes = f"{size.long_axis_mm:.1f} × {size.short_axis_mm:.1f} mm"
        lines.append(f"{size.volume_ml:.2f} ml, {axes}")
    if finding.measurement is not None:
        lines += words(finding.measurement)
    where = f"slice {index + 1} of {volume.grid.shape[0]}"
    if finding.score is not None:
        what = "probability" if finding.kind is Kind.CLASSIFICATION else "score"
        where += f", {what} {finding.score:.2f}"
        if finding.threshold is not None:
            where += f" (threshold {finding.threshold:.2f})"
    lines.append(where)
    if heatmap is not None:
        lines.append(heat_text(heatmap, volume.grid))
    if finding.model is not None:
        lines.append(f"{finding.model.name} ({finding.model.id} {finding.model.version})")
    return [*lines, note_on([finding])]


def heat_text(heatmap: Heatmap, grid: Grid) -> str:
    """A heatmap's class, method, layer and true resolution."""
    (rows, columns), (row0, column0, row1, column1) = heatmap.shape, heatmap.extent
    what = f" for {heatmap.label}" if heatmap.label else ""
    text = f"{heatmap.method}{what}, layer {heatmap.layer}, {rows} × {columns} cells"
    if not grid.calibrated:
        return text
    axes = plane_axes(grid, heatmap.plane)
    down, across = (
        (row1 - row0) / rows * grid.spacing[axes.down],
        (column1 - column0) / columns * grid.spacing[axes.across],
    )
    return f"{text} of {down:.1f} × {across:.1f} mm"
