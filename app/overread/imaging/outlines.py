"""Pixels → closed lines along their edges, which whoever fills them turns into the same pixels again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overread.domain.finding import Bools
from overread.domain.geometry import Floats
from overread.imaging.editing.outline import enclosed

Corners = NDArray[np.intp]
# Directions along edges in the order of right turns: right, down, left, up (row, column); and the pixel that an edge
# with that direction goes around, from the corner where it starts.
_STEP = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
_OWN = np.array([(0, 0), (0, -1), (-1, -1), (-1, 0)])


@dataclass(frozen=True, eq=False)
class Outline:
    """The edge of one part of a picture, whose pixels touch along sides: its outer line and those of its holes.

    Lines are corners (row, column), shape (n, 2), each next to its successor in a row or column and the last one next
    to the first; pixel (r, c) has its corners at r, c and r + 1, c + 1. The outer line goes clockwise on the screen,
    holes the other way.
    """

    outer: Corners
    holes: tuple[Corners, ...] = ()

    @property
    def lines(self) -> tuple[Corners, ...]:
        """The outer line, then the holes."""
        return self.outer, *self.holes


def outlines(pixels: Bools) -> list[Outline]:
    """The parts of a picture (rows, columns), in the order of their topmost pixels.

    Parts that touch in a corner alone are two; what touches the outside in a corner alone is no hole.
    """
    from scipy import ndimage  # a slow import, wanted with the first outline and not at start-up

    if not pixels.any():
        return []
    labels, count = ndimage.label(pixels)
    lines: list[list[Corners]] = [[] for _ in range(count)]
    for line in _lines(pixels):
        row, column = line[0] + _OWN[_heading(line[0], line[1])]
        lines[labels[row, column] - 1].append(line)  # no hole reaches as high as the outer line, which so is the first
    return [Outline(part[0], tuple(part[1:])) for part in lines]


def _heading(start: Corners, end: Corners) -> int:
    down, across = np.sign(end - start).tolist()
    return 1 if down > 0 else 3 if down < 0 else 0 if across > 0 else 2


def _lines(pixels: Bools) -> list[Corners]:
    """All closed lines between pixels inside and outside, each from its topmost corner, the topmost lines first."""
    framed = np.pad(pixels, 1)
    inside = framed[1:-1, 1:-1]
    beside = (framed[:-2, 1:-1], framed[1:-1, 2:], framed[2:, 1:-1], framed[1:-1, :-2])
    rows, columns = pixels.shape
    numbers = np.full((4, rows + 1, columns + 1), -1, np.intp)
    starts: list[Corners] = []
    count = 0
    for heading, other in enumerate(beside):
        corners = np.argwhere(inside & ~other) - _OWN[heading]
        numbers[heading, corners[:, 0], corners[:, 1]] = np.arange(count, count + len(corners))
        count += len(corners)
        starts.append(corners)
    start = np.concatenate(starts)
    heading_of = np.repeat(np.arange(4), [len(part) for part in starts])
    end = start + _STEP[heading_of]
    following = np.full(count, -1, np.intp)
    for turn in (3, 0, 1):  # left, straight on, right: the last that there is holds, so a line stays with its pixel
        candidate = numbers[(heading_of + turn) % 4, end[:, 0], end[:, 1]]
        following = np.where(candidate >= 0, candidate, following)
    bends = heading_of[following] != heading_of  # at the end of an edge
    found: list[Corners] = []
    seen = np.zeros(count, np.bool_)
    after = following.tolist()
    for first in range(count):
        if seen[first]:
            continue
        chain = [first]
        while (at := after[chain[-1]]) != first:
            chain.append(at)
        edges = np.array(chain)
        seen[edges] = True
        found.append(np.asarray(end[edges[bends[edges]]]))
    turned = [np.roll(line, -int(np.lexsort((line[:, 1], line[:, 0]))[0]), axis=0) for line in found]
    return sorted(turned, key=lambda line: (int(line[0, 0]), int(line[0, 1])))


def keyholed(outline: Outline) -> Corners:
    """One closed line around a part, shape (n, 2), with a channel of no width to each hole (PS3.3 C.8.8.6.3).

    The channels run along pixel edges, so they take no pixel away whatever rule a reader fills by.
    """
    if not outline.holes:
        return outline.outer
    holes = sorted(outline.holes, key=lambda ring: (int(ring[0, 0]), int(ring[0, 1])))
    rings = [outline.outer, *holes]
    start = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    upright = np.flatnonzero(start[:, 1] == end[:, 1])
    column_of, rows_of = start[upright, 1], np.sort(np.stack([start[upright, 0], end[upright, 0]]), axis=0)
    # Each hole is entered at its leftmost topmost corner, from the nearest line to the left: one that begins above it,
    # or beside it.
    doors: dict[int, list[tuple[int, int]]] = {}
    for number, hole in enumerate(holes, start=1):
        row, column = hole[0].tolist()
        met = np.flatnonzero((column_of < column) & (rows_of[0] <= row) & (row <= rows_of[1]))
        doors.setdefault(int(upright[met[column_of[met].argmax()]]), []).append((row, number))
    edges = np.array(sorted(doors), np.intp)
    last = np.cumsum([len(ring) for ring in rings])
    for number in range(len(rings) - 1, -1, -1):  # what is entered from a hole is joined to it first
        at, pieces = int(last[number] - len(rings[number])), []
        for edge in edges[np.searchsorted(edges, at) : np.searchsorted(edges, last[number])].tolist():
            pieces.append(start[at : edge + 1])
            for row, inner in sorted(doors[edge], reverse=bool(end[edge, 0] < start[edge, 0])):
                door = np.array([[row, start[edge, 1]]])
                pieces += [door, rings[inner], rings[inner][:1], door]
            at = edge + 1
        rings[number] = np.concatenate([*pieces, start[at : last[number]]])
    line = rings[0]
    return np.asarray(line[np.any(line != np.roll(line, 1, axis=0), axis=1)])


def patch(line: ArrayLike, shape: tuple[int, int]) -> tuple[slice, slice, Bools]:
    """The rows and columns of a picture of `shape` that a closed line reaches, and which of their pixels it encloses.

    The line is points (row, column), shape (n, 2), which may lie anywhere; the first pixel's centre is at (0, 0).
    """
    points = np.asarray(line, np.float64)
    low = np.floor(points.min(axis=0)).clip(0, shape).astype(np.intp)
    high = (np.ceil(points.max(axis=0)) + 1).clip(low, shape).astype(np.intp)
    (top, left), (rows, columns) = low.tolist(), (high - low).tolist()
    inside = enclosed(points - low, (rows, columns))
    return slice(top, top + rows), slice(left, left + columns), inside


def enclosed_by(lines: Floats, sizes: NDArray[np.intp], shape: tuple[int, int]) -> tuple[Bools, bool]:
    """The pixels of a picture of `shape` that closed lines enclose by the even-odd rule, and whether none lies in two.

    `lines` are the points (row, column) of all lines one after the other, shape (n, 2), of which each has so many as
    `sizes` say; the first pixel's centre is at (0, 0). What `patch` says of each of them, of all at once.
    """
    first = np.cumsum(sizes) - sizes
    following = np.arange(1, len(lines) + 1)
    following[first + sizes - 1] = first
    (r0, c0), (r1, c1) = lines.T, lines[following].T
    low = np.ceil(np.minimum(r0, r1)).clip(0, shape[0]).astype(np.intp)
    crossed = np.ceil(np.maximum(r0, r1)).clip(0, shape[0]).astype(np.intp) - low
    edge = np.repeat(np.arange(len(lines)), crossed)
    row = low[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(crossed) - crossed, crossed)
    column = c0[edge] + (row - r0[edge]) / (r1 - r0)[edge] * (c1 - c0)[edge]
    begin = np.ceil(column).clip(0, shape[1]).astype(np.intp)
    turns = np.bincount(row * (shape[1] + 1) + begin, minlength=shape[0] * (shape[1] + 1))
    inside = np.cumsum(turns.reshape(shape[0], shape[1] + 1), axis=1)[:, :-1] % 2 == 1
    # Along a row each line goes in and out in turn. Where no pixel lies in two, the lengths add up to what is inside.
    line = np.repeat(np.arange(len(sizes)), sizes)[edge]
    ends = begin[np.lexsort((begin, row, line))]
    return inside, int((ends[1::2] - ends[::2]).sum()) == int(inside.sum())
