"""What a detector's boxes are together: looked at again and outlined where a model can, one thing across slices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Kind, Mask
from overread.domain.geometry import Index, PlaneAxes
from overread.domain.ports import Backend, Cancel, Proposal
from overread.infer.graphs import Contour, Look, Merge, Verify
from overread.infer.manifest import ModelSpec
from overread.infer.results import Edges, Patch, SliceBox, SliceResult, require_numbers
from overread.infer.slices import Placement, Slicer, centred

# Slice distances are measured from positions written with few digits, mm.
_ROUNDING = 1e-3


def around(edges: Edges, look: Look, spacing_mm: tuple[float, float], slice_size: tuple[int, int]) -> Placement:
    """Where the crop of a further network lies on a slice whose pixels are `spacing_mm` (down, across)."""
    row0, column0, row1, column1 = edges
    down, across = (wanted / given for wanted, given in zip(look.spacing_mm, spacing_mm, strict=True))
    middle = (row0 + row1) / 2 - 0.5, (column0 + column1) / 2 - 0.5
    return centred((down, across), middle, slice_size, look.size)


@dataclass(frozen=True)
class Verifier:
    """Another network's opinion on a detector's boxes. Lengths in mm are (down, across)."""

    verify: Verify
    backend: Backend
    spacing_mm: tuple[float, float]

    def __call__(
        self, picture: NDArray[np.float32], boxes: Sequence[Edges], fill: float, cancel: Cancel
    ) -> list[float]:
        """The chance, 0 to 1, that each box of a slice has in its middle what the model looks for.

        `picture` has the grey values that the detector sees; outside it is `fill`. All boxes go in one batch; those
        that the manifest's `again` asks to be seen upside down too, in a second one: a chance is then what both say
        (`pooled`).
        """
        size = picture.shape[0], picture.shape[1]
        places = [around(edges, self.verify, self.spacing_mm, size) for edges in boxes]
        crops = np.stack([where.onto_canvas(picture, fill) for where in places])
        chances = self._chances(crops, cancel)
        again = self.verify.again
        likely = [at for at, chance in enumerate(chances) if again is not None and chance >= again]
        if likely:
            turned = self._chances(np.ascontiguousarray(crops[likely, ::-1, ::-1]), cancel)
            for at, other in zip(likely, turned, strict=True):
                chances[at] = pooled(chances[at], other)
        return chances

    def _chances(self, crops: NDArray[np.float32], cancel: Cancel) -> list[float]:
        (answer,) = self.backend.run(crops[:, None], cancel).values()
        require_numbers([answer], "The model's second look holds no numbers")
        return [min(max(float(chance), 0.0), 1.0) for chance in answer[:, 0]]


@dataclass(frozen=True)
class Outliner:
    """The network of a detector that outlines: box in, outline out. Lengths in mm are (down, across)."""

    contour: Contour
    backend: Backend
    spacing_mm: tuple[float, float]

    def __call__(self, picture: NDArray[np.float32], boxes: Sequence[Edges], cancel: Cancel) -> list[Patch | None]:
        """Outline what lies in each box of a slice; None where the network sees nothing there.

        All boxes go in one batch. Each crop is stretched from its own darkest to its own brightest pixel, as the
        network has learnt it.
        """
        if not boxes:
            return []
        places = [around(edges, self.contour, self.spacing_mm, (picture.shape[0], picture.shape[1])) for edges in boxes]
        crops = np.stack([_stretched(where.onto_canvas(picture, fill=None)) for where in places])
        (answer,) = self.backend.run(crops[:, None], cancel).values()
        require_numbers([answer], "The model's outline holds no numbers")
        return [self._drawn(*each) for each in zip(answer[:, 0], places, boxes, strict=True)]

    def _drawn(self, inside: NDArray[np.float32], where: Placement, edges: Edges) -> Patch | None:
        """The largest part in a box, of a crop that lies `where` and the chance of each of its pixels."""
        row, column, end_row, end_column = window = where.window
        if end_row <= row or end_column <= column:
            return None
        labels = self._parts(where.cut(window).onto_slice(inside))
        (top, left), (bottom, right) = whole_pixels(edges)
        boxed = labels[max(0, top - row) : max(0, bottom - row), max(0, left - column) : max(0, right - column)]
        sizes = np.bincount(boxed.reshape(-1), minlength=2)
        sizes[0] = 0
        patch = Patch.of(labels == int(sizes.argmax())) if sizes.any() else None
        return patch and replace(patch, start=(patch.start[0] + row, patch.start[1] + column))

    def _parts(self, probability: NDArray[np.float32]) -> NDArray[np.int32]:
        """The connected parts (8 neighbours) above the threshold, numbered from 1."""
        above = (probability >= self.contour.threshold).astype(np.uint8)
        return np.asarray(cv2.connectedComponents(above, connectivity=8)[1], np.int32)


def _stretched(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(crop.min()), float(crop.max())
    return (crop - low) / max(high - low, 1e-6)


def pooled(one: float, other: float) -> float:
    """Two chances as one: the geometric mean of their odds (logarithmic opinion pool, Genest and Zidek 1986)."""
    inside = [min(max(chance, 1e-6), 1 - 1e-6) for chance in (one, other)]
    odds = math.sqrt(math.prod(chance / (1 - chance) for chance in inside))
    return odds / (1 + odds)


def whole_pixels(edges: Edges) -> tuple[tuple[int, int], tuple[int, int]]:
    """First pixel and end (row, column) of a box, at least one pixel wide."""
    row0, column0, row1, column1 = (int(np.floor(edge + 0.5)) for edge in edges)
    return (row0, column0), (max(row1, row0 + 1), max(column1, column0 + 1))


@dataclass(frozen=True)
class Detection:
    """A detection on one volume."""

    spec: ModelSpec
    slicer: Slicer
    merge: Merge
    verifier: Verifier | None = None
    outliner: Outliner | None = None

    def answer(self, index: int, outputs: Mapping[str, NDArray[np.float32]], cancel: Cancel) -> SliceResult:
        """The boxes above the threshold, cut at the edges of the slice, surest first.

        Where a second network looks at the boxes, a score is what both think together (`pooled`): the detector has
        seen the box in its surroundings, the other one has seen more places that look like it. Each errs where the
        other does not. Boxes that the detector scores below the manifest's `floor` are not worth the second look.
        """
        (output,) = self.spec.outputs
        floor = self.verifier.verify.floor if self.verifier is not None else output.threshold
        seen = self._within(outputs[self.spec.output_name][0], floor)
        if not seen:
            return SliceResult(index)
        picture = self.slicer.picture(index)
        if self.verifier is not None:
            normalised, fill = self.slicer.normalise(picture), float(self.slicer.normalise.clip[0])
            chances = self.verifier(normalised, [edges for edges, _ in seen], fill, cancel)
            seen = [(edges, pooled(score, chance)) for (edges, score), chance in zip(seen, chances, strict=True)]
        seen = [(edges, score) for edges, score in seen if score >= output.threshold]
        outlines: list[Patch | None] = [None] * len(seen)
        if self.outliner is not None:
            outlines = self.outliner(picture, [edges for edges, _ in seen], cancel)
        boxes = [
            SliceBox(edges, score, output.label, output.colour, outline)
            for (edges, score), outline in zip(seen, outlines, strict=True)
        ]
        return SliceResult(index, boxes=tuple(sorted(boxes, key=lambda box: -box.score)))

    def _within(self, answer: NDArray[np.float32], floor: float) -> list[tuple[Edges, float]]:
        """Boxes (k, 5) of the canvas from a score on, cut at the edges of the slice; not those that lie beyond."""
        rows, columns = self.slicer.where.slice_size
        kept: list[tuple[Edges, float]] = []
        for *corners, score in answer[answer[:, 4] >= floor].tolist():
            row0, column0, row1, column1 = self.slicer.where.edges_on_slice((*corners,))
            edges = max(row0, 0.0), max(column0, 0.0), min(row1, float(rows)), min(column1, float(columns))
            if edges[2] - edges[0] >= 0.5 and edges[3] - edges[1] >= 0.5:
                kept.append((edges, min(score, 1.0)))
        return kept

    def proposals(self, results: Mapping[int, SliceResult]) -> list[Proposal]:
        """One proposal for each group of linked boxes, surest first. Its score is that of its surest box."""
        seen = [(index, box) for index in sorted(results) for box in results[index].boxes]
        grid, axes = self.slicer.volume.grid, self.slicer.axes
        groups = linked(seen, self.merge, grid.spacing[axes.through])
        found = [self._proposal([seen[at] for at in group]) for group in groups]
        return sorted(found, key=lambda proposal: -(proposal.score or 0.0))

    def _proposal(self, group: Sequence[tuple[int, SliceBox]]) -> Proposal:
        (output,) = self.spec.outputs
        shape, axes = self.slicer.volume.grid.shape, self.slicer.axes
        around = np.array([box.edges for _, box in group])
        (row0, column0), (row1, column1) = whole_pixels((*around[:, :2].min(axis=0), *around[:, 2:].max(axis=0)))
        slices = [index for index, _ in group]
        start, stop = axes.to_box((min(slices), row0, column0), (max(slices) + 1, row1, column1), shape)
        mask = self._outlined(group)
        if mask is None:
            k, j, i = (b - a for a, b in zip(start, stop, strict=True))
            mask = Mask.of(np.ones((k, j, i), np.bool_), start, shape)
        return Proposal(
            output.label,
            output.concept,
            output.category,
            mask,
            max(box.score for _, box in group),
            output.anatomy,
            output.colour,
            kind=Kind.DETECTION,
            box=(*start, *stop),
        )

    def _outlined(self, group: Sequence[tuple[int, SliceBox]]) -> Mask | None:
        """The outlines of a group as one mask; None where there is none."""
        drawn = [(index, box.outline) for index, box in group if box.outline is not None]
        return stacked(drawn, self.slicer.axes, self.slicer.volume.grid.shape) if drawn else None


def stacked(drawn: Sequence[tuple[int, Patch]], axes: PlaneAxes, shape: Index) -> Mask:
    """Patches of slices, at least one, as one mask of a grid."""
    starts = np.array([(index, *patch.start) for index, patch in drawn])
    first = starts.min(axis=0)
    end = (starts + [(1, *patch.shape) for _, patch in drawn]).max(axis=0)
    pictures = np.zeros(end - first, np.bool_)
    for (slice_at, row, column), (_, patch) in zip(starts - first, drawn, strict=True):
        rows, columns = patch.shape
        pictures[slice_at, row : row + rows, column : column + columns] |= patch.mask
    offset, _ = axes.to_box((*first.tolist(),), (*end.tolist(),), shape)
    return Mask.of(axes.to_voxels(pictures), offset, shape)


def linked(seen: Sequence[tuple[int, SliceBox]], merge: Merge, step_mm: float) -> list[list[int]]:
    """Which boxes (slice, box) are one thing, as lists of their positions in `seen`.

    Two are linked where they overlap by `merge.overlap` in the plane and their slices, `step_mm` apart each, are no
    farther apart than `merge.gap_mm`; what is linked by way of others is one thing too.
    """
    from scipy.sparse import coo_array  # slow imports, wanted with the first finding and not at start-up
    from scipy.sparse.csgraph import connected_components

    edges = np.array([box.edges for _, box in seen]).reshape(-1, 4)
    held: dict[int, list[int]] = {}
    for at, (index, _) in enumerate(seen):
        held.setdefault(index, []).append(at)
    reach = int((merge.gap_mm + _ROUNDING) / step_mm)
    pairs = [np.zeros((0, 2), np.intp)]
    for index, here in held.items():
        for other in range(index, index + reach + 1):
            there = held.get(other, [])
            overlaps = np.argwhere(_overlap(edges[here], edges[there]) >= merge.overlap)
            pairs.append(np.stack([np.array(here)[overlaps[:, 0]], np.array(there, int)[overlaps[:, 1]]], axis=1))
    one, two = np.concatenate(pairs).T
    links = coo_array((np.ones(len(one), np.bool_), (one, two)), shape=(len(seen), len(seen)))
    count, labels = connected_components(links, directed=False)
    return [np.flatnonzero(labels == at).tolist() for at in range(count)]


def _overlap(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes, shape (n, 4), with others, shape (m, 4); shape (n, m)."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1) for boxes in (some, others))
    return np.asarray(common / (np.add.outer(*areas) - common))
