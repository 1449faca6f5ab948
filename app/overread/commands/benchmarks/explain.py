"""What it costs to say why, against pytorch-grad-cam on the same net in torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.commands.benchmarks.rows import Row, alternately, milliseconds
from overread.commands.engine import models
from overread.domain.geometry import Plane
from overread.domain.heatmap import Heatmap
from overread.domain.ports import Cancel
from overread.infer.detector import OnnxDetector
from overread.infer.selftest import SelfTest
from overread.render.heat import shares

_ROUNDS = 30


def explain(scratch: Path) -> list[Row]:
    """The class of an image with its heatmap, by each classifier; and the heatmap of a region, by each that has one."""
    del scratch
    rows = []
    for detector in models():
        if detector.spec.activation_output:
            rows.append(_beside_the_class(detector))
        elif detector.spec.explaining is not None:
            rows.append(_of_a_region(detector))
    return rows


def _beside_the_class(detector: OnnxDetector) -> Row:
    spec, served = detector.spec, detector.chain.serve(detector.spec)
    served.settle()
    backend, tensor = served.backend, SelfTest(spec).probes[0].input[:1]

    def ours() -> object:
        maps = backend.run(tensor, Cancel())[spec.activation_output][0, 0]
        return shares(Heatmap.of(maps, (0.0, 0.0, 1.0, 1.0), Plane.AXIAL, 0, "", "", ""))

    threads = max(1, (os.cpu_count() or 2) - 1)  # as many as ours have
    peer, why = _peer(spec.folder, threads)
    name, where = "explain: heatmap beside the class", f"{spec.id}, {backend.name} {backend.precision}"
    if peer is None:
        return Row(name, "ms", milliseconds(lambda _: ours(), _ROUNDS), f"{where}, no peer: {why}")
    times, others = alternately(ours, peer, _ROUNDS)
    where = f"{where}, torch with {threads} thread{'s' if threads > 1 else ''}"
    return Row(name, "ms", times, where, "pytorch-grad-cam on torch", others, limit=10.0, on="ratio")


def _peer(folder: Path, threads: int) -> tuple[Callable[[], object] | None, str]:
    """The same class and heatmap by pytorch-grad-cam; None where it is not here, and what is missing."""
    try:
        reference: Any = import_module("models.training.grad_cam")  # beside the program in its repository alone
        net, tensor = reference.shipped(folder)
        made = reference.Reference(net)
        import_module("torch").set_num_threads(threads)
    except ImportError as error:
        return None, f"{error.name} is not here (run from the repository, with the extra explain)"
    return lambda: made(tensor, lambda logits: logits[0]), ""


def _of_a_region(detector: OnnxDetector) -> Row:
    explaining = detector.spec.explaining
    if explaining is None:
        raise ValueError(f"{detector.id} has nothing that explains it")
    served = detector.chain.serve(explaining)
    served.settle()
    backend = served.backend
    tensor: NDArray[np.float32] = SelfTest(explaining).probes[0].input[:1]
    times = milliseconds(lambda _: backend.run(tensor, Cancel()), _ROUNDS)
    return Row(f"explain: a region, {detector.id}", "ms", times, f"{backend.name} {backend.precision}, the graph alone")
