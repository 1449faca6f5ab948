"""Why a model drew something where it did: a map of what, on one slice, speaks for a region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
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
from overread.infer.graphs import EIGEN_CAM, SCORE_CAM
from overread.infer.manifest import ModelSpec, Output
from overread.infer.results import require_numbers
from overread.infer.score_cam import score_cam
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
    principal component, which shows what stands out to the model, whatever it takes it for; or "Score-CAM", which runs
    the model once more for each feature (see `score_cam`) and is of the region's class, but no gradient.
    """

    def __init__(self, spec: ModelSpec, chain: Chain | FarChain) -> None:
        self.spec, self._chain, self._lock = spec, chain, Lock()
        self._served: Serving | None = None

    def __call__(
        self,
        volume: Volume,
        index: int,
        region: Bools,
        output: Output,
        cancel: Cancel,
        pace: Callable[[float], None] = lambda done: None,
    ) -> Heatmap:
        """The map of slice `index` for a region (rows, columns) of it as it lies on the screen. Runs on a worker.

        Where the model is run many times, `pace` hears in between which part is done, and may take its time. UserError
        where the region is lost on the model's canvas, or where the model gives no numbers.
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

        def run(given: F32) -> Mapping[str, F32]:
            outputs = backend.run(given, cancel)
            require_numbers(outputs.values(), f"{spec.name} gave no numbers for slice {index + 1}")
            return outputs

        if explain.method == EIGEN_CAM:
            values = first_component(run(tensor)[explain.features][0])
            method, label = f"{EIGEN_CAM}, not class specific", ""
        else:
            mark = slicer.where.onto_canvas(region.astype(np.float32), fill=0.0) >= 0.5
            if not mark.any():
                raise UserError(f"On this slice it is too small for {spec.name} to be asked.")
            method, label = explain.method, output.label
            if explain.graph is None:
                features, method = run(tensor)[explain.features][0], f"{SCORE_CAM}, approximate"
                values = score_cam(run, tensor, features, partial(_sureness, spec, output, mark), pace)
            else:
                marks = np.zeros((1, len(spec.outputs), *mark.shape), np.float32)
                marks[0, output.channel] = mark
                (answer,) = run(np.concatenate([tensor, marks], axis=1)).values()
                values = answer[0, 0]
        ran = f"{backend.name} {backend.precision}"
        return Heatmap.of(values, slicer.where.extent, spec.prepare.plane, index, label, method, explain.layer, ran)


def _sureness(spec: ModelSpec, output: Output, mark: Bools, outputs: Mapping[str, F32]) -> F32:
    """How sure the model is of a region, its mean probability there, for each of n canvases; shape (n,)."""
    return np.asarray(outputs[spec.output_name][:, output.channel][:, mark].mean(axis=1), np.float32)


def first_component(features: F32) -> F32:
    """The first principal component of features (channels, h, w) over the cells; shape (h, w).

    Its sign is that in which it reaches farther from 0 (Chung & Ying, Appl. Sci. 2025, 15(13), 7562, equation 13).
    """
    cells = features.reshape(len(features), -1).T.astype(np.float64)
    cells -= cells.mean(axis=0)
    _, directions = np.linalg.eigh(cells.T @ cells)
    values = (cells @ directions[:, -1]).reshape(features.shape[1:])
    return np.asarray(-values if -values.min() > values.max() else values, np.float32)
