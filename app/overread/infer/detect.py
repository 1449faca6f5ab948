"""What a detector's boxes are together: boxes of neighbouring slices are one thing, outlined where a model can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Kind, Mask
from overread.domain.ports import Backend, Cancel, Proposal
from overread.infer.manifest import Contour, Merge, ModelSpec
from overread.infer.results import Edges, Patch, SliceBox, SliceResult, require_numbers
from overread.infer.slices import Slicer, centred

# Slice distances are measured from positions written with few digits, mm.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Outliner:
    """The second network of a detector: box in, outline out. Lengths in mm are (down, across)."""

    contour: Contour
    backend: Backend
    spacing_mm: tuple[float, float]

    def __call__(self, picture: NDArray[np.float32], edges: Edges, cancel: Cancel) -> Patch | None:
        """Outline what lies in a box of a slice; None where the network sees nothing there.

        The crop is stretched from its own darkest to its own brightest pixel, as the network has learnt it.
        """
        row0, column0, row1, column1 = edges
        down, across = (wanted / given for wanted, given in zip(self.contour.spacing_mm, self.spacing_mm, strict=True))
        middle = (row0 + row1) / 2 - 0.5, (column0 + column1) / 2 - 0.5
        where = centred((down, across), middle, (picture.shape[0], picture.shape[1]), self.contour.size)
        crop = where.onto_canvas(picture, fill=None)
        low, high = float(crop.min()), float(crop.max())
        stretched = (crop - low) / max(high - low, 1e-6)
        (answer,) = self.backend.run(stretched[None, None], cancel).values()
        require_numbers([answer], "The model's outline holds no numbers")
        probability = where.onto_slice(answer[0, 0])
        labels = self._parts(probability)
        (top, left), (bottom, right) = whole_pixels(edges)
        sizes = np.bincount(labels[top:bottom, left:right].reshape(-1), minlength=2)
        sizes[0] = 0
        return Patch.of(labels == int(sizes.argmax()), probability) if sizes.any() else None

    def _parts(self, probability: NDArray[np.float32]) -> NDArray[np.int32]:
        """The connected parts (8 neighbours) above the threshold, numbered from 1."""
        above = (probability >= self.contour.threshold).astype(np.uint8)
        return np.asarray(cv2.connectedComponents(above, connectivity=8)[1], np.int32)


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
    outliner: Outliner | None

    def answer(self, index: int, outputs: Mapping[str, NDArray[np.float32]], cancel: Cancel) -> SliceResult:
        """The boxes above the threshold, cut at the edges of the slice, surest first."""
        (output,) = self.spec.outputs
        rows, columns = self.slicer.where.slice_size
        picture: NDArray[np.float32] | None = None
        boxes: list[SliceBox] = []
        for *corners, score in outputs[self.spec.output_name][0].tolist():
            if score < output.threshold:
                continue
            row0, column0, row1, column1 = self.slicer.where.edges_on_slice((*corners,))
            edges = max(row0, 0.0), max(column0, 0.0), min(row1, float(rows)), min(column1, float(columns))
            if edges[2] - edges[0] < 0.5 or edges[3] - edges[1] < 0.5:
                continue
            outline = None
            if self.outliner is not None:
                picture = self.slicer.picture(index) if picture is None else picture
                outline = self.outliner(picture, edges, cancel)
            boxes.append(SliceBox(edges, min(score, 1.0), output.label, output.colour, outline))
        return SliceResult(index, boxes=tuple(sorted(boxes, key=lambda box: -box.score)))

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
        if not drawn:
            return None
        shape, axes = self.slicer.volume.grid.shape, self.slicer.axes
        starts = np.array([(index, *patch.start) for index, patch in drawn])
        first = starts.min(axis=0)
        end = (starts + [(1, *patch.mask.shape) for _, patch in drawn]).max(axis=0)
        pictures = np.zeros(end - first, np.bool_)
        for (slice_at, row, column), (_, patch) in zip(starts - first, drawn, strict=True):
            rows, columns = patch.mask.shape
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
