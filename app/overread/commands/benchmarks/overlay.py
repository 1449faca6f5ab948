"""From voxels in memory to the overlay composed, with each model that there is."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from overread.commands.benchmarks.rows import Row
from overread.commands.benchmarks.series import CHEST, FLAIR, LUNG, T1C, series, stack_of
from overread.commands.engine import models
from overread.dicom.load import loaded
from overread.domain.finding import Status
from overread.domain.study import Stack
from overread.domain.view import Camera
from overread.infer.detector import ModelRun, OnnxDetector
from overread.infer.results import SliceResult
from overread.infer.scheduler import SliceQueue
from overread.render.boxes import BoxMark, box_text
from overread.render.overlay import Layer
from overread.render.projection import project
from overread.render.slices import compose
from overread.session.presets import opening_window

_ROUNDS, _STOPS = 3, 20
# What the papers report for one slice on a GPU, and what is to be held here on a CPU; ms by task.
_PUBLISHED = {"segment": 75.0, "detect": 49.0, "classify": 58.0}
_LIMITS = {"segment": 16.0, "detect": 25.0, "classify": 25.0}
# A model takes the first that is within its gate. A radiograph is one image.
_SERIES = ((FLAIR, 24), (T1C, 24), (LUNG, 24), (CHEST, 1))


def slice_e2e(scratch: Path) -> list[Row]:
    """Each model on a made-up series: a slice prepared, run, brought back and drawn."""
    stacks = [stack_of(series(scratch, sort, slices)) for sort, slices in _SERIES]
    rows = []
    for detector in models():
        stack = next((stack for stack in stacks if not detector.refuse(stack)), None)
        if stack is not None and detector.spec.patches is None:
            rows.append(_measured(detector, stack))
    return rows


def cancel(scratch: Path) -> list[Row]:
    """From the moment a model at work is called off until its thread is free again."""
    stack = stack_of(series(scratch, *_SERIES[0]))
    detector = next((d for d in models() if d.spec.patches is None and not d.refuse(stack)), None)
    if detector is None:
        return []
    run = detector.start(loaded(stack))
    run.served.settle()
    times: list[float] = []
    for turn in range(_STOPS):
        queue = SliceQueue(run.count)
        worker = threading.Thread(target=lambda queue=queue: list(run.slices(queue)))
        worker.start()
        time.sleep(0.02 + 0.001 * turn)  # somewhere within a slice
        started = time.perf_counter()
        queue.close()
        worker.join()
        times.append((time.perf_counter() - started) * 1000)
    return [Row("cancel", "ms", tuple(times), f"{detector.id} at work on slices", limit=100.0, on="max")]


def _measured(detector: OnnxDetector, stack: Stack) -> Row:
    volume, task = loaded(stack), detector.spec.task
    run = detector.start(volume)
    run.served.settle()
    times: list[float] = []
    rounds = max(_ROUNDS, 40 // run.count)
    for turn in range(rounds + 1):
        started = time.perf_counter()
        for result in run.slices(SliceQueue(run.count)):
            _draw(run, result)
            if turn:  # the first one warms up
                times.append((time.perf_counter() - started) * 1000)
            started = time.perf_counter()
    backend = run.served.backend
    k, j, i = stack.grid.shape
    return Row(
        f"slice-e2e {detector.id}",
        "ms",
        tuple(times),
        f"{k} × {j}×{i} {stack.identity.modality}, drawn at 1024², {backend.name} {backend.precision}, "
        f"{os.cpu_count()} cores",
        "published for this task, on a GPU",
        (_PUBLISHED[task],),
        limit=_LIMITS[task],
    )


def _draw(run: ModelRun, result: SliceResult) -> None:
    """What a pane would show of a fresh answer."""
    volume, plane = run.slicer.volume, run.spec.prepare.plane
    patches = [*result.patches, *(box.outline for box in result.boxes)]
    compose(
        volume,
        project(volume.grid, plane, result.index, (1024, 1024), Camera()),
        opening_window(volume.stack),
        live=[Layer(patch.mask, patch.start, Status.PROPOSED) for patch in patches if patch is not None],
        boxes=[BoxMark(box.edges, box_text(box.label, box.score)) for box in result.boxes],
        heatmap=result.heatmaps[0] if result.heatmaps else None,
    )
