"""What the slices of a segmentation show: voxels above a threshold, and what sort of thing each part is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Mask
from overread.domain.geometry import Grid, Index
from overread.domain.ports import Backend, Cancel, Proposal
from overread.domain.probability import LARGEST, Probabilities
from overread.imaging.components import components, joined
from overread.infer.manifest import ModelSpec, Named, Output
from overread.infer.refine import around, second_look, touched
from overread.infer.results import Levels, Patch, SliceClass, SliceResult
from overread.infer.slices import Slicer

# How far around what was drawn its probabilities are kept, in the plane that the model reads; across it, one slice.
MARGIN_MM = 5.0


def parts(
    output: Output, voxels: NDArray[np.bool_], score: NDArray[np.uint8], grid: Grid
) -> Iterator[tuple[Mask, float]]:
    """The parts of an output's voxels (k, j, i) that count, largest first, each with its mean score, 0 to 1.

    `score` (k, j, i) is in 255ths.
    """
    found = components(voxels, grid, output.min_volume_ml, output.keep)
    for mask in joined(found) if output.together else found:
        yield mask, float(score[mask.box][mask.inner].mean()) / 255


def field(mask: Mask, score: NDArray[np.uint8], margin: Index) -> Probabilities | None:
    """The probabilities, of those of a whole grid in 255ths, in a mask's box and `margin` voxels around it.

    Without the margin where the box would be too large with it; None where it is too large at all.
    """
    ends = zip(mask.start, mask.extent, margin, mask.shape, strict=True)
    wide = tuple(slice(max(0, at - by), min(size, at + n + by)) for at, n, by, size in ends)
    box = wide if score[wide].size <= LARGEST else mask.box
    start = (box[0].start, box[1].start, box[2].start)
    return Probabilities.of(np.ascontiguousarray(score[box]), start, mask.shape)


@dataclass(frozen=True)
class Segmentation:
    """A segmentation of one volume."""

    spec: ModelSpec
    slicer: Slicer
    backend: Backend

    def answer(self, index: int, outputs: Mapping[str, NDArray[np.float32]], cancel: Cancel) -> SliceResult:
        """A patch for each output; where there is one, the slice's classes too."""
        del cancel  # nothing else has to run
        return self._read(index, outputs, levels=self.spec.refine is None)

    def _read(self, index: int, outputs: Mapping[str, NDArray[np.float32]], *, levels: bool) -> SliceResult:
        canvas = outputs[self.spec.output_name][0]
        likely = [self.slicer.where.onto_slice(canvas[output.channel]) for output in self.spec.outputs]
        patches = tuple(Patch.of(p >= output.threshold) for p, output in zip(likely, self.spec.outputs, strict=True))
        classes: tuple[SliceClass, ...] = ()
        if self.spec.class_output and any(patch is not None for patch in patches):
            probabilities = outputs[self.spec.class_output][0].tolist()
            pairs = zip(self.spec.classes, probabilities, strict=True)
            classes = tuple(SliceClass(named.label, probability, named.colour) for named, probability in pairs)
        return SliceResult(index, patches, classes=classes, levels=tuple(map(Levels.of, likely)) if levels else ())

    def proposals(self, results: Mapping[int, SliceResult]) -> list[Proposal]:
        """One proposal for each connected part, largest first."""
        refine, count = self.spec.refine, self.slicer.count
        drawn = frozenset(index for index, result in results.items() if any(result.patches))
        if refine is not None:
            drawn = touched(refine, drawn, count)
            again = second_look(refine, self.slicer, self.backend, around(drawn, 1, count))
            results = {index: self._read(index, outputs, levels=True) for index, outputs in again.items()}
        grid, axes = self.slicer.volume.grid, self.slicer.axes
        k, j, i = (1 if at == axes.through else math.ceil(MARGIN_MM / mm) for at, mm in enumerate(grid.spacing))
        found: list[Proposal] = []
        for at, output in enumerate(self.spec.outputs):
            voxels = np.zeros(grid.shape, np.bool_)
            score = np.zeros(grid.shape, np.uint8)
            for index, result in results.items():
                patch, levels = result.patches[at], result.levels[at]
                if patch is not None and index in drawn:
                    axes.picture(voxels, index)[patch.box] = patch.mask
                if levels is not None:
                    axes.picture(score, index)[levels.box] = levels.values
            for mask, mean in parts(output, voxels, score, grid):
                found.append(self._proposal(output, mask, mean, field(mask, score, (k, j, i)), results))
        return found

    def _proposal(
        self, output: Output, mask: Mask, score: float, kept: Probabilities | None, results: Mapping[int, SliceResult]
    ) -> Proposal:
        named: Named = output
        classes: tuple[tuple[str, float], ...] = ()
        if self.spec.classes:
            shares = self._shares(mask, results)
            named = self.spec.classes[int(shares.argmax())]
            classes = tuple((kind.label, float(share)) for kind, share in zip(self.spec.classes, shares, strict=True))
        return Proposal(
            named.label,
            named.concept,
            named.category,
            mask,
            score,
            named.anatomy,
            named.colour,
            classes=classes,
            probabilities=kept,
        )

    def _shares(self, mask: Mask, results: Mapping[int, SliceResult]) -> NDArray[np.float64]:
        """The mean over a part's voxels of the classes' probabilities on the slice of each, shape (classes,)."""
        through = self.slicer.axes.through
        counts = mask.inner.sum(axis=tuple(axis for axis in range(3) if axis != through))
        held = [mask.start[through] + int(at) for at in np.flatnonzero(counts)]
        votes = [[named.probability for named in results[index].classes] for index in held]
        return np.average(np.array(votes), axis=0, weights=counts[counts > 0])
