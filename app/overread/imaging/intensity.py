"""How grey values are brought to a model's scale. Training and the engine call this same code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RULES = ("window", "median-spread", "percentile", "z-score")


@dataclass(frozen=True)
class IntensityRule:
    """What a model's `model.toml` says about grey values.

    `median-spread`: the head (voxels above the mean of the volume) has its median at 0 and the distance between its
    10th and 90th percentile at 1. `window`: real values `low` … `high` become 0 … 1. `percentile`: the values at the
    percentiles `low` and `high` of the image, or of the volume, become 0 and 1. `z-score`: the values that are not 0
    have mean 0 and standard deviation 1, and 0 stays 0, as nnU-Net does it on images whose background is 0
    (Isensee et al., Nat Methods 18:203, 2021).
    Results are clipped to `clip`.
    """

    rule: str
    clip: tuple[float, float]
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Normaliser:
    """Real values to model values: (value - centre) / scale, clipped. With `keeps_zero`, 0 stays 0."""

    centre: float
    scale: float
    clip: tuple[float, float]
    keeps_zero: bool = False

    @property
    def background(self) -> float:
        """The model value of what is not on the image."""
        return 0.0 if self.keeps_zero else self.clip[0]

    def __call__(self, real: NDArray[np.floating]) -> NDArray[np.float32]:
        """Normalise an array of any shape; float32."""
        scaled = (real.astype(np.float32) - np.float32(self.centre)) / np.float32(self.scale)
        np.clip(scaled, *self.clip, out=scaled)
        if self.keeps_zero:
            scaled[real == 0] = 0
        return scaled


def normaliser(rule: IntensityRule, real: NDArray[np.floating] | NDArray[np.integer]) -> Normaliser:
    """Measure an image, a volume or an even sample of it (real values up to a linear map, any shape)."""
    if rule.rule == "window":
        return Normaliser(rule.low, rule.high - rule.low, rule.clip)
    if rule.rule not in RULES:
        raise ValueError(f"unknown intensity rule {rule.rule!r}")
    if rule.rule == "z-score":
        body = real[real != 0]
        mean = float(body.mean(dtype=np.float64)) if body.size else 0.0
        spread = float(body.std(dtype=np.float64)) if body.size else 1.0
        return Normaliser(mean, max(spread, 1e-6), rule.clip, keeps_zero=True)
    sample = real.reshape(-1).astype(np.float64)
    if rule.rule == "percentile":
        low, high = np.percentile(sample, (rule.low, rule.high))
        return Normaliser(float(low), float(max(high - low, 1e-6)), rule.clip)
    body = sample[sample > sample.mean()]
    if body.size == 0:
        return Normaliser(float(sample.mean()), 1.0, rule.clip)
    low, middle, high = np.percentile(body, (10, 50, 90))
    return Normaliser(float(middle), float(max(high - low, 1e-6)), rule.clip)
