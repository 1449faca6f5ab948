"""Marks and lesions: overlaps, who hits what, and the curve, by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.detection import RATES, Scan, box_iou, froc, matched, within_radius


def scan(scores: list[float], hits: list[list[int]], lesions: int = 1) -> Scan:
    return Scan(np.array(scores), np.array(hits, np.bool_).reshape(len(scores), lesions))


def test_overlap_of_boxes_is_that_of_their_pixels() -> None:
    rng = np.random.default_rng(6)
    starts = rng.integers(0, 12, (8, 3))
    boxes = np.concatenate([starts, starts + rng.integers(1, 9, (8, 3))], axis=1)

    def drawn(box: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        mask = np.zeros((24, 24, 24), np.bool_)
        mask[box[0] : box[3], box[1] : box[4], box[2] : box[5]] = True
        return mask

    masks = [drawn(box) for box in boxes]
    expected = [[(a & b).sum() / (a | b).sum() for b in masks[5:]] for a in masks[:5]]
    assert np.allclose(box_iou(boxes[:5], boxes[5:]), expected)
    assert box_iou([[0, 0, 2, 2]], [[0, 1, 2, 3]]).item() == pytest.approx(1 / 3)
    assert box_iou(np.zeros((0, 4)), [[0, 1, 2, 3]]).shape == (0, 1)
    with pytest.raises(ValueError, match="ends where it starts"):
        box_iou([[0, 0, 0, 2]], [[0, 1, 2, 3]])
    with pytest.raises(ValueError, match="edges"):
        box_iou([[0, 0, 1, 2]], [[0, 0, 0, 2, 3, 4]])


def test_a_mark_hits_within_the_radius() -> None:
    hits = within_radius([[0, 0, 0], [0, 3, 4]], [[0, 0, 4.9], [0, 0, 0]], [5, 5])
    assert hits.tolist() == [[True, True], [True, False]]
    assert within_radius(np.zeros((0, 3)), [[0, 0, 0]], [5]).shape == (0, 1)


def test_a_second_mark_on_a_lesion_counts_neither_way() -> None:
    answer = matched(scan([0.2, 0.9, 0.5, 0.7], [[1, 0], [1, 0], [0, 0], [1, 1]], lesions=2))
    assert answer.scores.tolist() == [0.9, 0.7, 0.5, 0.2]
    assert answer.truth.tolist() == [0, 1, -1, -1]
    assert answer.false_positive.tolist() == [False, False, True, False]


def test_the_curve_by_hand() -> None:
    scans = [
        scan([0.9, 0.8, 0.3], [[1], [0], [1]]),  # a hit, a false positive, a hit on the same once more
        scan([0.8, 0.4], [[0], [1]]),
        scan([], [], lesions=0),
        scan([0.6], [[]], lesions=0),
    ]
    curve = froc(scans)
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.8, 0.6, 0.4, 0.3]
    assert curve.false_positives.tolist() == [0, 0, 0.5, 0.75, 0.75, 0.75]
    assert curve.sensitivity.tolist() == [0, 0.5, 0.5, 0.5, 1, 1]
    assert [curve.sensitivity_at(rate) for rate in RATES] == [0.5, 0.5, 0.5, 1, 1, 1, 1]
    assert curve.cpm == pytest.approx((3 * 0.5 + 4) / 7)


def test_the_best_and_the_worst_curve() -> None:
    assert froc([scan([0.5], [[1]])]).cpm == 1
    assert froc([scan([], []), scan([0.9] * 9, [[0]] * 9)]).cpm == 0
    assert froc([scan([], [])]).cpm == 0
    with pytest.raises(ValueError, match="nothing to find"):
        froc([scan([0.5], [[]], lesions=0)])
    with pytest.raises(ValueError, match="hits"):
        Scan(np.array([0.5]), np.zeros((2, 1), np.bool_))
