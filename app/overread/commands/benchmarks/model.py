"""From voxels to an overlay."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from overread import paths
from overread.commands.benchmarks.rows import Row
from overread.commands.engine import models
from overread.dicom.demo import ensure_demo
from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.domain.finding import Status
from overread.domain.ports import Cancel
from overread.domain.study import Stack
from overread.domain.view import Camera
from overread.infer.detector import OnnxDetector
from overread.infer.scheduler import SliceQueue
from overread.render.overlay import Layer
from overread.render.projection import project
from overread.render.slices import compose
from overread.session.presets import opening_window

_ROUNDS = 4


def slice_model(scratch: Path) -> list[Row]:
    """Each model on the demo study: the slice prepared, run, brought back and drawn; the peer is the bare network."""
    demo = ensure_demo(paths.data() / "demo")
    stacks = list(scanned((demo,), scratch).stacks)
    rows = []
    for detector in models():
        stack = next((s for s in stacks if not detector.refuse(s)), None)
        if stack is not None and detector.spec.patches is None:
            rows.append(_measure(detector, stack))
    return rows


def _measure(detector: OnnxDetector, stack: Stack) -> Row:
    volume = loaded(stack)
    run = detector.start(volume)
    run.served.settle()
    window = opening_window(stack)
    whole: list[float] = []
    bare: list[float] = []
    for turn in range(_ROUNDS + 1):
        queue = SliceQueue(run.count)
        started = time.perf_counter()
        for result in run.slices(queue):
            layers = [Layer(p.mask, p.start, Status.PROPOSED) for p in result.patches if p is not None]
            plane = project(stack.grid, detector.spec.prepare.plane, result.index, (1024, 1024), Camera())
            compose(volume, plane, window, live=layers)
            if turn:
                whole.append((time.perf_counter() - started) * 1000)
            tensor = np.ascontiguousarray(run.slicer.tensor(result.index))
            started = time.perf_counter()
            run.served.backend.run(tensor, Cancel())
            if turn:
                bare.append((time.perf_counter() - started) * 1000)
            started = time.perf_counter()
    backend = run.served.backend
    size = "×".join(str(n) for n in stack.grid.shape)
    return Row(
        f"slice-model {detector.id}",
        "ms",
        tuple(whole),
        f"{size}, overlay drawn at 1024², {backend.name} {backend.precision}, {os.cpu_count()} cores",
        "the network alone",
        tuple(bare),
        limit=16.0,
    )
