"""Measures of detection: which mark hits what, the FROC curve, and the CPM of LUNA16.

Setio et al., "Validation, comparison, and combination of algorithms for automatic detection of pulmonary nodules in
computed tomography images: the LUNA16 challenge", Medical Image Analysis 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Where LUNA16 reads the curve: false positives per scan.
RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)


def box_iou(found: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Overlap (intersection over union) of each box found with each true one: (found, truth).

    Boxes are rows of half-open edges, all starts before all ends: (n, 4) row0, column0, row1, column1, or (n, 6).
    ValueError where the rows do not fit, or a box has no extent.
    """
    a, b = np.atleast_2d(np.asarray(found, np.float64)), np.atleast_2d(np.asarray(truth, np.float64))
    if not a.size or not b.size:
        return np.zeros((len(a) if a.size else 0, len(b) if b.size else 0))
    if a.shape[1] != b.shape[1] or a.shape[1] % 2:
        raise ValueError(f"boxes have as many starts as ends, not {a.shape[1]} and {b.shape[1]} edges")
    axes = a.shape[1] // 2
    if min((a[:, axes:] - a[:, :axes]).min(), (b[:, axes:] - b[:, :axes]).min()) <= 0:
        raise ValueError("a box ends where it starts, or before")
    starts = np.maximum(a[:, None, :axes], b[None, :, :axes])
    ends = np.minimum(a[:, None, axes:], b[None, :, axes:])
    both = np.clip(ends - starts, 0, None).prod(axis=2)
    sizes = [(boxes[:, axes:] - boxes[:, :axes]).prod(axis=1) for boxes in (a, b)]
    return np.asarray(both / (sizes[0][:, None] + sizes[1][None] - both))


def within_radius(found: ArrayLike, centres: ArrayLike, radii: ArrayLike) -> NDArray[np.bool_]:
    """Which mark lies nearer to which true centre than its radius, the rule of LUNA16: (found, truth).

    ``found`` (n, axes) and ``centres`` (m, axes) are points and ``radii`` (m,) lengths, all in mm.
    """
    b, r = np.asarray(centres, np.float64), np.asarray(radii, np.float64)
    a = np.asarray(found, np.float64)
    if not a.size or not b.size:
        return np.zeros((len(a), len(b)), np.bool_)
    return np.asarray(np.linalg.norm(a[:, None] - b[None], axis=2) < r[None])


@dataclass(frozen=True, eq=False)
class Scan:
    """The marks of one scan: their ``scores`` (found,) and what each ``hits``, booleans (found, truth)."""

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.hits.ndim != 2 or self.scores.shape != self.hits.shape[:1]:
            raise ValueError(f"scores (found,) and hits (found, truth), not {self.scores.shape} and {self.hits.shape}")


@dataclass(frozen=True, eq=False)
class Matched:
    """What became of the marks of one scan, in the order of their scores (best first), each (found,).

    ``truth`` is the number of what a mark found first, else -1; ``false_positive`` are those that hit nothing. A mark
    on what another one found already is neither: LUNA16 ignores it.
    """

    scores: NDArray[np.float64]
    truth: NDArray[np.intp]
    false_positive: NDArray[np.bool_]


def matched(scan: Scan) -> Matched:
    """Give each true lesion to the mark with the best score that hits it, and each mark one lesion at most."""
    order = np.argsort(-scan.scores, kind="stable")
    given = np.full(len(order), -1, np.intp)
    free = np.ones(scan.hits.shape[1], np.bool_)
    for at, mark in enumerate(order):
        open_to = np.flatnonzero(scan.hits[mark] & free)
        if len(open_to):
            given[at] = open_to[0]
            free[open_to[0]] = False
    return Matched(scan.scores[order], given, np.asarray(~scan.hits[order].any(axis=1)))


@dataclass(frozen=True, eq=False)
class Froc:
    """Operating points from the strictest threshold (inf) down, each (points,): the rate is a mean per scan."""

    false_positives: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    thresholds: NDArray[np.float64]

    def sensitivity_at(self, rate: float) -> float:
        """The best sensitivity with at most this mean number of false positives per scan."""
        return float(self.sensitivity[self.false_positives <= rate + 1e-12].max())

    @property
    def cpm(self) -> float:
        """The competition performance metric: the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 per scan.

        Only operating points that there are count; LUNA16's own script draws straight lines between them.
        """
        return float(np.mean([self.sensitivity_at(rate) for rate in RATES]))


def froc(scans: Sequence[Scan]) -> Froc:
    """The free-response ROC curve over scans. ValueError where there is no scan or nothing to find in any of them."""
    lesions = sum(scan.hits.shape[1] for scan in scans)
    if not lesions:
        raise ValueError("there is nothing to find in these scans")
    parts = [matched(scan) for scan in scans]
    scores = np.concatenate([part.scores for part in parts])
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(np.concatenate([part.truth >= 0 for part in parts])[order])
    alarms = np.cumsum(np.concatenate([part.false_positive for part in parts])[order])
    scores = scores[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)[: len(scores)]  # no mark: no point but the first
    return Froc(
        np.concatenate([[0.0], alarms[last] / len(scans)]),
        np.concatenate([[0.0], found[last] / lesions]),
        np.concatenate([[np.inf], scores[last]]),
    )
