"""Score-CAM: which features of a layer, shown by themselves, make the model as sure as the whole slice does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Outputs = Mapping[str, F32]
# So many masked slices go through the network together.
BATCH = 8


def score_cam(
    run: Callable[[F32], Outputs],
    tensor: F32,
    features: F32,
    score: Callable[[Outputs], F32],
    pace: Callable[[float], None],
) -> F32:
    """The map of a slice, `tensor` (1, channels, rows, columns), shape (h, w), not negative.

    `run` is the network, `features` (K, h, w) what its layer made of the slice, `score` the class's score (n,) in its
    outputs, and `pace` hears before each batch which part of all is done. With Wang et al. (CVPR Workshops 2020) H_k is
    feature A_k resampled to the slice and stretched to 0 … 1, and the map ReLU(Σ_k α_k A_k) with

        α = softmax(C),   C_k = s(X ∘ H_k) − s(X_b)

    where ∘ masks the slice. The score s of their baseline X_b is the same for all k: the softmax does not notice it, so
    it is not run. No gradient is asked for; K runs of the network stand in for it.
    """
    count = len(features)
    down, across = (_stretch(cells, pixels) for cells, pixels in zip(features.shape[1:], tensor.shape[2:], strict=True))
    scores: list[F32] = []
    for first in range(0, count, BATCH):
        pace(first / count)
        wide = down @ features[first : first + BATCH] @ across.T
        low, high = (end(axis=(1, 2), keepdims=True) for end in (wide.min, wide.max))
        masks = (wide - low) / (high - low + np.float32(1e-8))  # what is the same everywhere hides all of the slice
        scores.append(score(run(tensor * masks[:, None])))
    gained = np.concatenate(scores).astype(np.float64)
    weights = np.exp(gained - gained.max())
    weights /= weights.sum()
    return np.asarray(np.maximum(np.tensordot(weights, features, axes=1), 0), np.float32)


def _stretch(cells: int, pixels: int) -> F32:
    """What resamples cells to pixels linearly, the first and last on one another as pytorch-grad-cam has it."""
    at = np.linspace(0, cells - 1, pixels)[:, None]
    return np.asarray(np.maximum(1 - np.abs(at - np.arange(cells)), 0), np.float32)
