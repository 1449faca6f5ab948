"""How good a model is, patient by patient, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def probabilities(net: nn.Module, slices: NDArray[np.float32], batch: int = 8) -> NDArray[np.float32]:
    """Run a net on normalised slices (n, channels, rows, columns); the chance of its one class, (n, rows, columns)."""
    net.eval()
    device = next(net.parameters()).device
    with torch.inference_mode():
        parts = [
            torch.sigmoid(net(torch.from_numpy(slices[at : at + batch]).to(device)))[:, 0].float().cpu().numpy()
            for at in range(0, len(slices), batch)
        ]
    return np.concatenate(parts)


def dice(found: NDArray[np.bool_], truth: NDArray[np.generic]) -> float:
    """Dice's coefficient 2|A∩B| / (|A|+|B|) of two masks of one shape; 1 where both are empty."""
    a, b = found.astype(bool), truth.astype(bool)
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def best_threshold(chances: Sequence[NDArray[np.float32]], truths: Sequence[NDArray[np.generic]]) -> float:
    """The threshold (0.2, 0.25 … 0.8) with the best mean per-patient Dice; the middle one where several tie."""
    tried = np.arange(4, 17) / 20
    means = np.array([np.mean([dice(c >= t, m) for c, m in zip(chances, truths, strict=True)]) for t in tried])
    best = np.flatnonzero(means >= means.max() - 1e-9)
    return float(tried[best[len(best) // 2]])


def interval(values: Sequence[float], seed: int = 0, rounds: int = 10_000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean over patients (Efron 1979)."""
    table = np.asarray(values, np.float64)
    picks = np.random.default_rng(seed).integers(0, len(table), (rounds, len(table)))
    low, high = np.percentile(table[picks].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)
