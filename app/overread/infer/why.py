"""Why a model drew something where it did: a map of what, on one slice, speaks for a region."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import UserError
from overread.domain.finding import Bools, Finding, Kind
from overread.domain.heatmap import Heatmap
from overread.domain.ports import Cancel
from overread.domain.volume import Volume
from overread.infer.backends.chain import Chain
from overread.infer.backends.far import FarChain, Serving
from overread.infer.manifest import ModelSpec, Output
from overread.infer.results import require_numbers
from overread.infer.slices import Slicer

F32 = NDArray[np.float32]


def can_say(spec: ModelSpec) -> bool:
    """Whether a model can be asked about a region of a slice: it reads slices, of one series, and is explained."""
    return spec.explain is not None and spec.task == "segment" and spec.patches is None and not spec.inputs


def drawn_by(spec: ModelSpec, finding: Finding) -> Output:
    """The output of the model that drew a finding. UserError where it cannot be asked why."""
    if finding.kind is not Kind.SEGMENTATION or not can_say(spec):
        raise UserError(f"{spec.name} cannot say why it drew this.")
    if finding.model is None or finding.model.sha256 != spec.sha256:
        raise UserError(f"This was drawn by another version of {spec.name}, which is not here to be asked.")
    named = [output for output in spec.outputs if output.label == finding.label]
    if not named and len(spec.outputs) > 1:
        raise UserError(f"{spec.name} draws several things, and this is none of them by name.")
    return (*named, *spec.outputs)[0]


class Why:
    """A model asked for its reasons. What runs is chosen, and tested, with the first question.

    With a graph that explains it, the map is its answer for the region ("Seg-Grad-CAM": what on the slice raises the
    model's score of the region). With features alone it is "Eigen-CAM" (Muhammad & Yeasin, IJCNN 2020): their first
    principal component, which shows what stands out to the model, whatever it takes it for.
    """

    def __init__(self, spec: ModelSpec, chain: Chain | FarChain) -> None:
        self.spec, self._chain, self._lock = spec, chain, Lock()
        self._served: Serving | None = None

    def __call__(self, volume: Volume, index: int, region: Bools, output: Output, cancel: Cancel) -> Heatmap:
        """The map of slice `index` for a region (rows, columns) of it as it lies on the screen. Runs on a worker.

        UserError where the region is lost on the model's canvas, or where the model gives no numbers.
        """
        spec, explain = self.spec, self.spec.explain
        if explain is None:
            raise ValueError(f"{spec.id} has nothing that explains it")
        with self._lock:
            if self._served is None or not self._served.alive:
                self._served = self._chain.serve(spec.explaining or spec)
            backend = self._served.backend
        slicer = Slicer.of(volume, spec.prepare)
        tensor = slicer.tensor(index)
        if explain.features:
            features = backend.run(tensor, cancel)[explain.features]
            require_numbers([features], f"{spec.name} gave no numbers for slice {index + 1}")
            values, method, label = first_component(features[0]), f"{explain.method}, not class specific", ""
        else:
            mark = slicer.where.onto_canvas(region.astype(np.float32), fill=0.0) >= 0.5
            if not mark.any():
                raise UserError(f"On this slice it is too small for {spec.name} to be asked.")
            marks = np.zeros((1, len(spec.outputs), *mark.shape), np.float32)
            marks[0, output.channel] = mark
            (answer,) = backend.run(np.concatenate([tensor, marks], axis=1), cancel).values()
            require_numbers([answer], f"{spec.name} gave no numbers for slice {index + 1}")
            values, method, label = answer[0, 0], explain.method, output.label
        ran = f"{backend.name} {backend.precision}"
        return Heatmap.of(values, slicer.where.extent, spec.prepare.plane, index, label, method, explain.layer, ran)


def first_component(features: F32) -> F32:
    """The first principal component of features (channels, h, w) over the cells; shape (h, w).

    Its sign is that in which it reaches farther from 0 (Chung & Ying, Appl. Sci. 2025, 15(13), 7562, equation 13).
    """
    cells = features.reshape(len(features), -1).T.astype(np.float64)
    cells -= cells.mean(axis=0)
    _, directions = np.linalg.eigh(cells.T @ cells)
    values = (cells @ directions[:, -1]).reshape(features.shape[1:])
    return np.asarray(-values if -values.min() > values.max() else values, np.float32)
