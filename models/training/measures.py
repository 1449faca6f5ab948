"""How good an answer is: counts of right and wrong, distances of outlines, and intervals over patients.

Where two masks are compared their shape is free: give `mask[inside]` to measure within a field of view only.
The terms and what to do with empty masks follow Metrics Reloaded (Maier-Hein et al., Nature Methods 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class Counts:
    """Right and wrong answers of a yes-or-no question: pixels of a mask, or images. A ratio without cases is nan."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @classmethod
    def of(cls, found: NDArray[np.generic], truth: NDArray[np.generic]) -> Counts:
        """Compare two arrays of one shape; what is not 0 is a yes. ValueError where the shapes differ."""
        if found.shape != truth.shape:
            raise ValueError(f"the shapes differ: {found.shape} and {truth.shape}")
        a, b = found.astype(bool), truth.astype(bool)
        both, either = int((a & b).sum()), int((a | b).sum())
        return cls(both, int(a.sum()) - both, int(b.sum()) - both, a.size - either)

    @property
    def dice(self) -> float:
        """2TP / (2TP + FP + FN), Dice's coefficient and the F1 score; 1 where nothing is there and nothing found."""
        return _share(2 * self.true_positive, self.false_positive + self.false_negative, empty=1.0)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN), Jaccard's index; 1 where nothing is there and nothing found."""
        return _share(self.true_positive, self.false_positive + self.false_negative, empty=1.0)

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN): how much of what is there was found."""
        return _share(self.true_positive, self.false_negative)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP): how much of the rest was left alone."""
        return _share(self.true_negative, self.false_positive)

    @property
    def precision(self) -> float:
        """TP / (TP + FP): how much of what was found is there."""
        return _share(self.true_positive, self.false_positive)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all."""
        return _share(self.true_positive + self.true_negative, self.false_positive + self.false_negative)


def _share(part: int, rest: int, empty: float = float("nan")) -> float:
    return part / (part + rest) if part + rest else empty


def dice(found: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    """Dice's coefficient of two masks of one shape; 1 where both are empty."""
    return Counts.of(found, truth).dice


def hd95(found: NDArray[np.generic], truth: NDArray[np.generic], spacing_mm: Sequence[float]) -> float:
    """The 95th percentile Hausdorff distance of two masks in mm, between the centres of the voxels of their surfaces.

    The larger of the two directed 95th percentiles (Metrics Reloaded). ``spacing_mm`` has an entry for each axis of
    the masks (2-D or 3-D), in their order. 0 where both are empty, inf where one is: such a patient belongs into the
    table, so report the median over patients. ValueError where shapes and spacing do not fit.
    """
    if found.shape != truth.shape or len(spacing_mm) != found.ndim:
        raise ValueError(f"shapes and spacing do not fit: {found.shape}, {truth.shape} and {len(spacing_mm)} spacings")
    a, b = found.astype(bool), truth.astype(bool)
    if not a.any() or not b.any():
        return 0.0 if a.any() == b.any() else float("inf")
    box = ndimage.find_objects((a | b).astype(np.uint8))[0]  # the distance maps need no more than both masks
    a, b = _surface(a[box]), _surface(b[box])
    to_a, to_b = (ndimage.distance_transform_edt(~surface, sampling=spacing_mm) for surface in (a, b))
    return float(max(np.percentile(to_b[a], 95), np.percentile(to_a[b], 95)))


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels with a neighbour over a face that is not in the mask; outside the array is not in it."""
    inner: NDArray[np.bool_] = ndimage.binary_erosion(mask)
    return mask & ~inner


def best_threshold(chances: Sequence[NDArray[np.float32]], truths: Sequence[NDArray[np.generic]]) -> float:
    """The threshold (0.2, 0.25 … 0.8) with the best mean per-patient Dice; the middle one where several tie."""
    tried = np.arange(4, 17) / 20
    means = np.array([np.mean([dice(c >= t, m) for c, m in zip(chances, truths, strict=True)]) for t in tried])
    best = np.flatnonzero(means >= means.max() - 1e-9)
    return float(tried[best[len(best) // 2]])


def interval(
    values: Sequence[float],
    seed: int = 0,
    rounds: int = 10_000,
    statistic: Callable[..., NDArray[np.float64]] = np.mean,
) -> tuple[float, float]:
    """95 % percentile bootstrap interval (Efron 1979) of the mean of one value per patient.

    ``statistic`` may be another function with numpy's ``axis``, such as np.median. Patients whose value is nan, since
    the measure is not defined for them, are left out. ValueError where no patient remains.
    """
    table = np.asarray(values, np.float64)
    table = table[~np.isnan(table)]
    if not len(table):
        raise ValueError("no patient has a value")
    picks = np.random.default_rng(seed).integers(0, len(table), (rounds, len(table)))
    return _middle(statistic(table[picks], axis=1))


def interval_by_patient(
    statistic: Callable[[NDArray[np.intp]], float], patients: Sequence[Hashable], seed: int = 0, rounds: int = 2_000
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of any statistic over rows (images, scans) that belong to patients.

    ``patients`` says whose each row is. Each round draws patients with replacement and gives the numbers of all their
    rows, with repeats, to ``statistic``; rounds for which that is nan (an AUC with one class only) are left out.
    ValueError where there is no row, or where every round is left out.
    """
    rows: dict[Hashable, list[int]] = {}
    for row, patient in enumerate(patients):
        rows.setdefault(patient, []).append(row)
    if not rows:
        raise ValueError("there are no rows")
    people = [np.array(own, np.intp) for own in rows.values()]
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(people), len(people)) for _ in range(rounds))
    values = np.array([statistic(np.concatenate([people[one] for one in draw])) for draw in draws])
    values = values[~np.isnan(values)]
    if not len(values):
        raise ValueError("the statistic is not defined in any round")
    return _middle(values)


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    # a value that occurred, not one between two of them, which would be nan beside an infinite distance
    low, high = np.percentile(values, (2.5, 97.5), method="inverted_cdf")
    return float(low), float(high)
