"""What a classification says of an image, and which part of the image made the network say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Kind, Mask
from overread.domain.heatmap import Heatmap
from overread.domain.ports import Cancel, Proposal
from overread.infer.graphs import Explain
from overread.infer.manifest import ModelSpec
from overread.infer.results import SliceClass, SliceResult
from overread.infer.slices import Slicer


@dataclass(frozen=True)
class Classification:
    """A classification of each image of a volume."""

    spec: ModelSpec
    slicer: Slicer
    explain: Explain

    def answer(self, index: int, outputs: Mapping[str, NDArray[np.float32]], cancel: Cancel) -> SliceResult:
        """The probability of each class, and its activation map over the model's canvas."""
        del cancel  # nothing else has to run
        probabilities = outputs[self.spec.output_name][0]
        maps = outputs[self.spec.activation_output][0]
        extent, plane = self.slicer.where.extent, self.spec.prepare.plane
        method, layer = self.explain.method, self.explain.layer
        return SliceResult(
            index,
            classes=tuple(
                SliceClass(o.label, float(probabilities[o.channel]), o.colour, o.threshold) for o in self.spec.outputs
            ),
            heatmaps=tuple(
                Heatmap.of(maps[o.channel], extent, plane, index, o.label, method, layer) for o in self.spec.outputs
            ),
        )

    def proposals(self, results: Mapping[int, SliceResult]) -> list[Proposal]:
        """Exactly one for each class and image, be it above its threshold or below."""
        nowhere = Mask(self.slicer.volume.grid.shape, (0, 0, 0), (0, 0, 0), b"")
        return [
            Proposal(
                output.label,
                output.concept,
                output.category,
                nowhere,
                named.probability,
                output.anatomy,
                output.colour,
                kind=Kind.CLASSIFICATION,
                threshold=output.threshold,
                heatmap=heatmap,
            )
            for index in sorted(results)
            for output, named, heatmap in zip(
                self.spec.outputs, results[index].classes, results[index].heatmaps, strict=True
            )
        ]
