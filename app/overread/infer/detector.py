"""A model at work on one volume: slice by slice while the reader scrolls, or all of it at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import Cancelled, UserError
from overread.domain.ports import Proposal
from overread.domain.study import Stack
from overread.domain.volume import Volume
from overread.imaging.components import components
from overread.infer.backends import Chain, Served
from overread.infer.gate import refusal
from overread.infer.manifest import ModelSpec, Output
from overread.infer.results import Patch, SliceResult, Timing
from overread.infer.scheduler import SliceQueue
from overread.infer.slices import Slicer


def _patch(probability: NDArray[np.float32], output: Output) -> Patch | None:
    mask = probability >= output.threshold
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    score = np.rint(probability[box] * 255).clip(0, 255).astype(np.uint8)
    return Patch((box[0].start, box[1].start), mask[box].copy(), score)


class ModelRun:
    """One model on one volume. Safe to use from one worker thread; the results are values."""

    def __init__(self, spec: ModelSpec, served: Served, volume: Volume) -> None:
        """Measures the volume's grey values, so every slice has to be there."""
        self.spec, self.served = spec, served
        self.slicer = Slicer.of(volume, spec.prepare)

    @property
    def count(self) -> int:
        """How many slices there are in the model's plane."""
        return self.slicer.count

    def slices(self, queue: SliceQueue) -> Iterator[SliceResult]:
        """Read what the queue hands out, until nobody waits for more."""
        while (taken := queue.take()) is not None:
            index, cancel = taken
            done = False
            try:
                start = time.perf_counter()
                tensor = self.slicer.tensor(index)
                ready = time.perf_counter()
                output = self.served.backend.run(tensor, cancel)[0]
                if not np.isfinite(output).all():  # nothing is above a threshold then: it would look like a clean slice
                    raise UserError(
                        f"{self.spec.name} gave no numbers for slice {index + 1}, so nothing was read.",
                        "Run “overread models check”.",
                    )
                ran = time.perf_counter()
                maps = (self.slicer.where.onto_slice(output[o.channel]) for o in self.spec.outputs)
                patches = tuple(_patch(p, o) for p, o in zip(maps, self.spec.outputs, strict=True))
                end = time.perf_counter()
                done = True
            except Cancelled:
                continue
            finally:
                queue.finish(index, done=done)
            timing = Timing((ready - start) * 1e3, (ran - ready) * 1e3, (end - ran) * 1e3)
            yield SliceResult(index, patches, timing)

    def proposals(self, results: Mapping[int, SliceResult]) -> list[Proposal]:
        """Everything the slices show, taken together: one proposal for each connected part, largest first."""
        grid, axes = self.slicer.volume.grid, self.slicer.axes
        found: list[Proposal] = []
        for at, output in enumerate(self.spec.outputs):
            voxels = np.zeros(grid.shape, np.bool_)
            score = np.zeros(grid.shape, np.uint8)
            for result in results.values():
                patch = result.patches[at]
                if patch is not None:
                    (row, column), (rows, columns) = patch.start, patch.mask.shape
                    box = slice(row, row + rows), slice(column, column + columns)
                    axes.picture(voxels, result.index)[box] = patch.mask
                    axes.picture(score, result.index)[box] = patch.score
            for mask in components(voxels, grid, output.min_volume_ml):
                mean = float(score[mask.box][mask.inner].mean()) / 255
                found.append(
                    Proposal(output.label, output.concept, output.category, mask, mean, output.anatomy, output.colour)
                )
        return found


class OnnxDetector:
    """A model folder as a detector like any other."""

    def __init__(self, spec: ModelSpec, chain: Chain) -> None:
        self.spec, self._chain = spec, chain
        self.timings: tuple[Timing, ...] = ()
        self.served: Served | None = None

    @property
    def id(self) -> str:
        """The model's id."""
        return self.spec.id

    @property
    def title(self) -> str:
        """The model's name."""
        return self.spec.name

    @property
    def version(self) -> str:
        """The model's version."""
        return self.spec.version

    def refuse(self, stack: Stack) -> str:
        """The gate's sentence."""
        return refusal(self.spec, stack)

    def start(self, volume: Volume) -> ModelRun:
        """Choose the backend (once) and measure the volume."""
        if self.served is None:
            self.served = self._chain.serve(self.spec)
        return ModelRun(self.spec, self.served, volume)

    def __call__(self, volume: Volume, progress: Callable[[float], None]) -> Sequence[Proposal]:
        """Read every slice and propose what they show together."""
        run = self.start(volume)
        results: dict[int, SliceResult] = {}
        for result in run.slices(SliceQueue(run.count)):
            results[result.index] = result
            progress(len(results) / run.count)
        self.timings = tuple(result.timing for result in results.values())
        return run.proposals(results)
