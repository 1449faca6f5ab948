"""ROC, thresholds, temperature and calibration, against brute force and examples worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from models.training.classification import reliability, roc, roc_auc, temperature, threshold_for
from models.training.measures import Counts

RNG = np.random.default_rng(11)
TRUTH = RNG.random(300) < 0.3
SCORES = np.round(RNG.normal(TRUTH, 0.8), 1)  # rounded, so that many tie


def test_auc_is_mann_whitney_s_u() -> None:
    u = stats.mannwhitneyu(SCORES[TRUTH], SCORES[~TRUTH]).statistic
    assert roc_auc(SCORES, TRUTH) == pytest.approx(u / (TRUTH.sum() * (~TRUTH).sum()))
    assert roc_auc(SCORES.reshape(20, 15), TRUTH.reshape(20, 15)) == roc_auc(SCORES, TRUTH)
    curve = roc(SCORES, TRUTH)
    assert np.trapezoid(curve.sensitivity, curve.false_positive_rate) == pytest.approx(roc_auc(SCORES, TRUTH))


def test_every_point_of_the_curve_is_what_its_threshold_gives() -> None:
    curve = roc(SCORES, TRUTH)
    assert len(curve.thresholds) == len(set(SCORES.tolist())) + 1
    for rate, sensitivity, threshold in zip(
        curve.false_positive_rate, curve.sensitivity, curve.thresholds, strict=True
    ):
        counts = Counts.of(threshold <= SCORES, TRUTH)
        assert (1 - counts.specificity, counts.sensitivity) == pytest.approx((rate, sensitivity))


@pytest.mark.parametrize("sensitivity", [0.0, 0.5, 0.95, 1.0])
def test_the_threshold_is_the_most_specific_one_that_is_sensitive_enough(sensitivity: float) -> None:
    chosen = Counts.of(threshold_for(SCORES, TRUTH, sensitivity) <= SCORES, TRUTH)
    assert chosen.sensitivity >= sensitivity
    every = [Counts.of(value <= SCORES, TRUTH) for value in np.unique(SCORES)]
    assert chosen.specificity == max(counts.specificity for counts in every if counts.sensitivity >= sensitivity)


def test_the_threshold_lies_midway() -> None:
    assert threshold_for([0.1, 0.4, 0.6, 0.9], [0, 0, 1, 1], 1.0) == pytest.approx(0.5)
    assert threshold_for([0.1, 0.4], [1, 0], 1.0) == pytest.approx(0.1)


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(ValueError, match="both classes"):
        roc_auc([0.1, 0.2], [1, 1])
    with pytest.raises(ValueError, match="shapes differ"):
        roc([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="not a number"):
        roc([0.1, np.nan], [1, 0])
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_for([0.1, 0.2], [0, 1], 95)
    with pytest.raises(ValueError, match="are needed"):
        temperature([0.1, 0.2], [0, 1])
    with pytest.raises(ValueError, match="are needed"):
        reliability([[0.1, 0.9]], [0, 1])


def test_temperature_undoes_what_was_done() -> None:
    rng = np.random.default_rng(2)
    honest = rng.normal(0, 2, (20_000, 3))
    chances = special.softmax(honest, axis=1)
    labels = (rng.random((len(honest), 1)) > np.cumsum(chances, axis=1)).sum(axis=1)
    assert temperature(honest, labels) == pytest.approx(1.0, abs=0.05)
    assert temperature(honest * 3, labels) == pytest.approx(3.0, rel=0.05)
    before = reliability(special.softmax(honest * 3, axis=1), labels).ece
    after = reliability(special.softmax(honest * 3 / temperature(honest * 3, labels), axis=1), labels).ece
    assert after < 0.02 < before


def test_calibration_error_by_hand() -> None:
    # two answers of confidence 0.9, one right; two of 0.6, both right: (2 × |0.9 - 0.5| + 2 × |0.6 - 1|) / 4
    table = [[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]]
    measured = reliability(table, [0, 0, 0, 1])
    assert measured.ece == pytest.approx(0.4)
    assert measured.number.tolist() == [0] * 8 + [2] + [0] * 4 + [2, 0]  # (8/15, 9/15] and (13/15, 14/15]
    assert measured.accuracy[[8, 13]].tolist() == [1.0, 0.5]
    assert np.isnan(measured.confidence[0])
