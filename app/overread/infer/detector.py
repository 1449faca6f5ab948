"""A model at work on one volume: slice by slice while the reader scrolls, or all of it at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import Cancelled
from overread.domain.ports import Backend, Cancel, Proposal
from overread.domain.study import Stack
from overread.domain.volume import Volume
from overread.infer.backends.chain import Chain
from overread.infer.backends.far import FarChain, Serving
from overread.infer.channels import NO_CHANNELS, Channels, laid
from overread.infer.classify import Classification
from overread.infer.detect import Detection, Outliner, Verifier
from overread.infer.gate import refusal
from overread.infer.manifest import ModelSpec
from overread.infer.outline import BoxOutline
from overread.infer.results import SliceResult, Timing, require_numbers
from overread.infer.scheduler import SliceQueue
from overread.infer.segment import Segmentation
from overread.infer.slices import Slicer
from overread.infer.volumes import VolumeRun
from overread.infer.why import Why


class Task(Protocol):
    """What is done with a network's answers."""

    def answer(self, index: int, outputs: Mapping[str, NDArray[np.float32]], cancel: Cancel) -> SliceResult:
        """What the outputs, each with one slice first, say about slice `index`."""

    def proposals(self, results: Mapping[int, SliceResult]) -> list[Proposal]:
        """Everything the slices show, taken together."""


def _task(spec: ModelSpec, backend: Backend, looks: Mapping[str, Backend], slicer: Slicer) -> Task:
    if spec.explain is not None and spec.activation_output:
        return Classification(spec, slicer, spec.explain)
    if spec.merge is None:
        return Segmentation(spec, slicer, backend)
    axes, verifier, outliner = slicer.axes, None, None
    spacing = slicer.volume.grid.spacing[axes.down], slicer.volume.grid.spacing[axes.across]
    if spec.verify is not None:
        verifier = Verifier(spec.verify, looks["verify"], spacing)
    if spec.contour is not None:
        outliner = Outliner(spec.contour, looks["contour"], spacing)
    return Detection(spec, slicer, spec.merge, verifier, outliner)


class ModelRun:
    """One model on one volume. Safe to use from one worker thread; the results are values."""

    def __init__(self, spec: ModelSpec, served: Serving, volume: Volume, others: Channels = NO_CHANNELS) -> None:
        """Measures the volume's grey values, so every slice has to be there; the other series are laid on its grid."""
        self.spec, self.served = spec, served
        inputs = [
            (each.intensity, laid(others[each.role], volume.grid, Cancel()) if each.role in others else None)
            for each in spec.inputs
        ]
        self.slicer = Slicer.of(volume, spec.prepare, inputs)
        self._backend, self._looks = served.backend, served.looks
        self._task = _task(spec, self._backend, self._looks, self.slicer)

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
                outputs = self._backend.run(tensor, cancel)
                require_numbers(outputs.values(), f"{self.spec.name} gave no numbers for slice {index + 1}")
                ran = time.perf_counter()
                answer = self._task.answer(index, outputs, cancel)
                end = time.perf_counter()
                done = True
            except Cancelled:
                continue
            finally:
                queue.finish(index, done=done)
            timing = Timing((ready - start) * 1e3, (ran - ready) * 1e3, (end - ran) * 1e3)
            yield replace(answer, timing=timing, backend=self._ran)

    @property
    def _ran(self) -> str:
        """What ran last; where the networks of a model ran on different links, all of these."""
        used = (self._backend, *self._looks.values())
        return ", ".join(dict.fromkeys(f"{backend.name} {backend.precision}" for backend in used))

    def proposals(self, results: Mapping[int, SliceResult]) -> list[Proposal]:
        """Everything the slices show, taken together."""
        return self._task.proposals(results)

    def provenance(self, results: Mapping[int, SliceResult]) -> str:
        """What has read the slices, and looked at them a second time: "ONNX Runtime CPU fp32", or several."""
        used = [result.backend for result in results.values()] + [self._ran]
        return ", ".join(dict.fromkeys(used))


class OnnxDetector:
    """A model folder as a detector like any other."""

    def __init__(self, spec: ModelSpec, chain: Chain | FarChain) -> None:
        self.spec, self.chain = spec, chain
        self.timings: tuple[Timing, ...] = ()
        self.provenance = ""
        self.served: Serving | None = None
        self._choosing = threading.Lock()

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

    @cached_property
    def why(self) -> Why:
        """What asks the model for its reasons."""
        return Why(self.spec, self.chain)

    @cached_property
    def outline(self) -> BoxOutline:
        """What outlines a reader's boxes."""
        return BoxOutline(self.spec, self.chain)

    def refuse(self, stack: Stack, study: Iterable[Stack] = ()) -> str:
        """The gate's sentence. Where a model reads several series, `study` holds all there are of this person's."""
        return refusal(self.spec, stack, study)

    def serve(self) -> Serving:
        """Choose the backend, once, and again where all have failed. Who asks meanwhile, waits for what is chosen."""
        with self._choosing:
            if self.served is not None:
                self.served.renew()
            if self.served is None or not self.served.alive:
                self.served = self.chain.serve(self.spec)
            return self.served

    def start(self, volume: Volume, others: Channels = NO_CHANNELS) -> ModelRun:
        """Choose the backend and measure the volume. Not for a 3-D model."""
        return ModelRun(self.spec, self.serve(), volume, others)

    def start_whole(self, volume: Volume, others: Channels = NO_CHANNELS) -> VolumeRun:
        """Choose the backend for a pass over the whole volume. ValueError where the model reads slices."""
        if self.spec.patches is None:
            raise ValueError(f"{self.spec.id} reads slices")
        return VolumeRun(self.spec, self.spec.patches, self.serve(), volume, others)

    def __call__(
        self, volume: Volume, progress: Callable[[float], None], others: Channels = NO_CHANNELS
    ) -> Sequence[Proposal]:
        """Read every slice, or the whole of it at once, and propose what that shows; the fastest backend reads."""
        if self.spec.patches is not None:
            whole = self.start_whole(volume, others)
            whole.served.settle()
            answer = whole.blank()
            for done, total in whole.read(answer, Cancel()):
                progress(done / total)
            self.timings, self.provenance = (answer.timing,), answer.backend
            return whole.proposals(answer)
        run = self.start(volume, others)
        run.served.settle()
        results: dict[int, SliceResult] = {}
        for result in run.slices(SliceQueue(run.count)):
            results[result.index] = result
            progress(len(results) / run.count)
        self.timings = tuple(result.timing for result in results.values())
        proposals = run.proposals(results)
        self.provenance = run.provenance(results)
        return proposals
