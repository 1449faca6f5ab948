"""Where findings lie, as lines on images: boxes, outlines, and what was measured with a few points.

Points are (column, row) in pixels of a frame, where pixel 0 runs from 0 to 1 (PS3.3 C.18.6.1.2), or (x, y, z) in mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Finding
from overread.domain.geometry import plane_axes
from overread.domain.measurement import Shape
from overread.domain.study import Stack
from overread.imaging.outlines import keyholed, outlines


@dataclass(frozen=True, eq=False)
class Line:
    """A graphic of an SR: POLYLINE or ELLIPSE, its points, and the slice that it lies on; None where in the patient."""

    kind: str
    points: NDArray[np.float64]
    slice: int | None


def region_lines(finding: Finding, stack: Stack) -> list[Line]:
    """The closed lines around a finding with voxels: of a box a rectangle on each slice that it crosses.

    Of voxels one line runs along the edges of their pixels for each part of each slice, holes cut by a channel of no
    width: who fills it gets the same voxels.
    """
    bounds = finding.bounds
    if finding.boxed and bounds is not None:
        k0, j0, i0, k1, j1, i1 = bounds
        corners = np.array([(i0, j0), (i1, j0), (i1, j1), (i0, j1), (i0, j0)], np.float64)
        return [Line("POLYLINE", corners, k) for k in range(k0, k1)]
    (at_k, at_j, at_i), inner = finding.mask.start, finding.mask.inner
    lines = []
    for k, pixels in enumerate(inner, start=at_k):
        for part in outlines(pixels):
            ring = (keyholed(part) + np.array([at_j, at_i]))[:, ::-1].astype(np.float64)
            lines.append(Line("POLYLINE", np.concatenate([ring, ring[:1]]), k))
    return lines


def measured_lines(finding: Finding, stack: Stack) -> list[Line]:
    """What was measured along: on its slice where that is one of the stack's own, else in the patient."""
    made = finding.measurement
    if made is None:
        return []
    if plane_axes(stack.grid, made.plane).through == 0:
        points, where = np.array(made.points)[:, :0:-1] + 0.5, made.index
    else:
        points, where = made.lps(stack.grid), None
    if made.shape is Shape.BIDIRECTIONAL:
        return [Line("POLYLINE", points[:2], where), Line("POLYLINE", points[2:], where)]
    return [Line("ELLIPSE" if made.shape is Shape.ELLIPSE else "POLYLINE", points, where)]


def has_place(finding: Finding, stack: Stack) -> bool:
    """Whether lines of a finding can be said: on an image, or in the patient where the images have a place there."""
    made = finding.measurement
    return made is None or stack.grid.oriented or plane_axes(stack.grid, made.plane).through == 0


def longest(lines: Sequence[Line]) -> int:
    """The most points that a line has."""
    return max((len(line.points) for line in lines), default=0)
