"""A 3-D model on a whole volume, against the same network in MONAI's sliding window."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread import paths
from overread.commands.benchmarks.eager import torch_net
from overread.commands.benchmarks.rows import Row, alternately, milliseconds
from overread.commands.benchmarks.series import FLAIR, series, stack_of
from overread.dicom.load import loaded
from overread.domain.ports import Cancel
from overread.infer.backends.chain import Chain
from overread.infer.detector import OnnxDetector
from overread.infer.inputs import Patches
from overread.infer.manifest import read
from overread.infer.windows import Windows

_SLICES, _ROUNDS = 120, 3
Labels = NDArray[np.intp]


def volume(scratch: Path) -> list[Row]:
    """From a prepared volume to its labels: the window, the network and the greatest channel, in both alike."""
    detector = OnnxDetector(read(paths.resources() / "bench" / "volume"), Chain())
    patches = detector.spec.patches
    if patches is None:
        return []
    run = detector.start_whole(loaded(stack_of(series(scratch, FLAIR, _SLICES))))
    run.served.settle()
    values, fill = run.tensor(Cancel())
    backend, name = run.served.backend, detector.spec.output_name
    ours = reading(values, patches, fill, lambda tensor: backend.run(tensor, Cancel())[name][0])
    shape = " × ".join(str(n) for n in values.shape[1:])
    what = f"{shape} voxels in patches of {' × '.join(map(str, patches.size))}, {backend.name} {backend.precision}"
    try:
        peer = monai_reading(values, patches, detector.spec.weights)
    except ImportError as error:
        return [Row("volume", "ms", milliseconds(lambda n: ours(), _ROUNDS), f"{what}, no peer: {error}")]
    same = float((ours() == peer()).mean())
    mine, theirs = alternately(ours, peer, _ROUNDS)
    conditions = f"{what}, {os.cpu_count()} cores; {same:.3%} of labels equal"
    return [Row("volume", "ms", mine, conditions, "MONAI in torch", theirs, limit=2.0, on="ratio")]


def reading(
    values: NDArray[np.float32],
    patches: Patches,
    fill: tuple[float, ...],
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> Callable[[], Labels]:
    """What labels a volume (channels, k, j, i) by our window."""

    def run() -> Labels:
        labels = np.zeros(values.shape[1:], np.intp)
        for step in Windows(values, patches.size, patches.overlap, patches.mirror, fill).steps(predict):
            if step.planes is not None:
                labels[step.first : step.first + step.planes.shape[1]] = step.planes.argmax(axis=0)
        return labels

    return run


def monai_reading(values: NDArray[np.float32], patches: Patches, weights: Path) -> Callable[[], Labels]:
    """What labels it by MONAI's. ImportError where MONAI, torch or onnx is not installed."""
    import torch
    from monai.inferers import SlidingWindowInferer

    net, image = torch_net(weights), torch.from_numpy(values[None])
    inferer = SlidingWindowInferer(patches.size, overlap=patches.overlap, mode="gaussian", sigma_scale=0.125)

    def run() -> Labels:
        with torch.inference_mode():
            return np.asarray(inferer(image, net)[0].argmax(0).numpy())

    return run
