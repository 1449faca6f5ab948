"""What the slices of a segmentation show: voxels above a threshold, and what sort of thing each part is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Mask
from overread.domain.geometry import Grid
from overread.domain.ports import Backend, Cancel, Proposal
from overread.domain.probability import Probabilities
from overread.imaging.components import components, joined
from overread.infer.manifest import ModelSpec, Named, Output
from overread.infer.refine import second_look
from overread.infer.results import Patch, SliceClass, SliceResult
from overread.infer.slices import Slicer


def parts(
    output: Output, voxels: NDArray[np.bool_], score: NDArray[np.uint8], grid: Grid
) -> Iterator[tuple[Mask, float, Probabilities | None]]:
    """The parts of an output's voxels (k, j, i) that count, largest first, each with its mean score, 0 to 1.

    `score` (k, j, i) is in 255ths. Of each part its values are kept, unless its box is too large.
    """
    found = components(voxels, grid, output.min_volume_ml, output.keep)
    for mask in joined(found) if output.together else found:
        inner, values = mask.inner, score[mask.box]
        kept = Probabilities.of(np.where(inner, values, np.uint8(0)), mask.start, mask.shape)
        yield mask, float(values[inner].mean()) / 255, kept


@dataclass(frozen=True)
class Segmentation:
    """A segmentation of one volume."""

    spec: ModelSpec
    slicer: Slicer
    backend: Backend

    def answer(self, index: int, outputs: Mapping[str, NDArray[np.float32]], cancel: Cancel) -> SliceResult:
        """A patch for each output; where there is one, the slice's classes too."""
        del cancel  # nothing else has to run
        canvas = outputs[self.spec.output_name][0]
        patches = tuple(self._patch(canvas[output.channel], output) for output in self.spec.outputs)
        classes: tuple[SliceClass, ...] = ()
        if self.spec.class_output and any(patch is not None for patch in patches):
            probabilities = outputs[self.spec.class_output][0].tolist()
            pairs = zip(self.spec.classes, probabilities, strict=True)
            classes = tuple(SliceClass(named.label, probability, named.colour) for named, probability in pairs)
        return SliceResult(index, patches, classes=classes)

    def _patch(self, canvas: NDArray[np.float32], output: Output) -> Patch | None:
        probability = self.slicer.where.onto_slice(canvas)
        return Patch.of(probability >= output.threshold, probability)

    def proposals(self, results: Mapping[int, SliceResult]) -> list[Proposal]:
        """One proposal for each connected part, largest first."""
        if self.spec.refine is not None:
            seen = frozenset(index for index, result in results.items() if any(result.patches))
            again = second_look(self.spec.refine, self.slicer, self.backend, seen)
            results = {index: self.answer(index, outputs, Cancel()) for index, outputs in again.items()}
        grid, axes = self.slicer.volume.grid, self.slicer.axes
        found: list[Proposal] = []
        for at, output in enumerate(self.spec.outputs):
            voxels = np.zeros(grid.shape, np.bool_)
            score = np.zeros(grid.shape, np.uint8)
            for result in results.values():
                patch = result.patches[at]
                if patch is not None:
                    (row, column), (rows, columns) = patch.start, patch.shape
                    box = slice(row, row + rows), slice(column, column + columns)
                    axes.picture(voxels, result.index)[box] = patch.mask
                    axes.picture(score, result.index)[box] = patch.score
            found.extend(self._proposal(output, *part, results=results) for part in parts(output, voxels, score, grid))
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
