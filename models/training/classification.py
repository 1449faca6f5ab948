"""Measures of scores and probabilities: ROC, the choice of a threshold, temperature scaling and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats


@dataclass(frozen=True, eq=False)
class Roc:
    """Operating points from (0, 0) to (1, 1), each (points,); a score counts from ``thresholds``, the first is inf."""

    false_positive_rate: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    thresholds: NDArray[np.float64]


def _flat(scores: ArrayLike, positive: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores and truth as two flat arrays. ValueError for other shapes, values that are nan, or one class only."""
    values, truth = np.asarray(scores, np.float64), np.asarray(positive).astype(bool)
    if values.shape != truth.shape:
        raise ValueError(f"the shapes differ: {values.shape} and {truth.shape}")
    if np.isnan(values).any():
        raise ValueError("a score is not a number")
    if truth.all() or not truth.any():
        raise ValueError("both classes are needed")
    return values.reshape(-1), truth.reshape(-1)


def roc(scores: ArrayLike, positive: ArrayLike) -> Roc:
    """The ROC curve of scores (any shape) against the truth (same shape), one point for each distinct score.

    ValueError for other shapes, scores that are nan, or one class only.
    """
    values, truth = _flat(scores, positive)
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)  # equal scores come and go together
    hits, alarms = np.cumsum(truth)[last], np.cumsum(~truth)[last]
    return Roc(
        np.concatenate([[0.0], alarms / alarms[-1]]),
        np.concatenate([[0.0], hits / hits[-1]]),
        np.concatenate([[np.inf], values[last]]),
    )


def roc_auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """The area under the ROC curve: how often a positive scores above a negative, ties half (Mann & Whitney 1947).

    For pixels as well: ``scores`` and ``positive`` have one shape, which is free. ValueError for other shapes, scores
    that are nan, or one class only.
    """
    values, truth = _flat(scores, positive)
    ranks = stats.rankdata(values)
    positives = int(truth.sum())
    above = float(ranks[truth].sum()) - positives * (positives + 1) / 2
    return above / (positives * (len(truth) - positives))


def threshold_for(scores: ArrayLike, positive: ArrayLike, sensitivity: float) -> float:
    """The threshold with the best specificity among those with at least this sensitivity (0 … 1).

    Choose it on validation data. It lies midway between the last score that must count and the next one below.
    ValueError for other shapes, scores that are nan, one class only, or a sensitivity outside 0 … 1.
    """
    if not 0 <= sensitivity <= 1:
        raise ValueError(f"a sensitivity is between 0 and 1, not {sensitivity:g}")
    curve = roc(scores, positive)
    at = max(1, int(np.argmax(curve.sensitivity >= sensitivity)))
    lowest = float(curve.thresholds[at])
    return (lowest + float(curve.thresholds[at + 1])) / 2 if at + 1 < len(curve.thresholds) else lowest


def temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature T for which softmax(logits / T) is most likely on validation data (Guo et al., ICML 2017).

    ``logits`` is (n, classes), ``labels`` (n,) the numbers of the true classes. For one sigmoid output z give the
    logits [0, z]: its probability is then sigmoid(z / T). T lies within 0.05 … 20. ValueError for other shapes.
    """
    table, truth = np.asarray(logits, np.float64), np.asarray(labels, np.intp)
    if table.ndim != 2 or truth.shape != table.shape[:1] or not len(truth):
        raise ValueError(f"logits (n, classes) and labels (n,) are needed, not {table.shape} and {truth.shape}")

    def loss(log_temperature: float) -> float:
        chances = special.log_softmax(table / np.exp(log_temperature), axis=1)
        return -float(chances[np.arange(len(truth)), truth].mean())

    found = optimize.minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of equal width over the confidence 0 … 1: its mean in each, the share that was right, and the number.

    All are (bins,); the means of an empty bin are nan.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    number: NDArray[np.intp]

    @property
    def ece(self) -> float:
        """The expected calibration error: the mean distance of confidence and accuracy, by the number in the bins."""
        filled = self.number > 0
        gaps = np.abs(self.confidence - self.accuracy)[filled]
        return float((gaps * self.number[filled]).sum() / self.number.sum())


def reliability(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> Reliability:
    """How sure a classifier is, against how often it is right (Guo et al. 2017, equations 2 and 3).

    ``probabilities`` is (n, classes), ``labels`` (n,) the numbers of the true classes; the confidence is that of the
    class with the greatest probability. For one sigmoid output p give [1 - p, p]. ValueError for other shapes.
    """
    table, truth = np.asarray(probabilities, np.float64), np.asarray(labels, np.intp)
    if table.ndim != 2 or truth.shape != table.shape[:1] or not len(truth):
        raise ValueError(f"probabilities (n, classes) and labels (n,) are needed, not {table.shape} and {truth.shape}")
    sure, right = table.max(axis=1), table.argmax(axis=1) == truth
    # the bins are ((m - 1) / bins, m / bins], as in the paper
    at = np.clip(np.ceil(sure * bins).astype(np.intp) - 1, 0, bins - 1)
    number = np.bincount(at, minlength=bins)
    share = np.maximum(number, 1)
    empty = np.where(number > 0, 1.0, np.nan)
    return Reliability(
        np.bincount(at, sure, bins) / share * empty, np.bincount(at, right, bins) / share * empty, number
    )
