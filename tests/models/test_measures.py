"""What is measured, held against SimpleITK's filters, scipy's, brute force, and examples worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import stats

from models.training.measures import Counts, best_threshold, dice, hd95, interval, interval_by_patient

RNG = np.random.default_rng(4)
A, B = RNG.random((5, 20, 20)) > 0.6, RNG.random((5, 20, 20)) > 0.5
NOTHING = np.zeros((5, 20, 20), np.bool_)


def image(mask: NDArray[np.bool_], spacing: tuple[float, ...] = (1.0, 1.0, 1.0)) -> sitk.Image:
    made = sitk.GetImageFromArray(mask.astype(np.uint8))
    made.SetSpacing(spacing[::-1])
    return made


def test_overlap_is_simpleitk_s() -> None:
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(image(A), image(B))  # the target is the truth
    counts = Counts.of(A, B)
    assert dice(A, B) == counts.dice == pytest.approx(measure.GetDiceCoefficient())
    assert counts.iou == pytest.approx(measure.GetJaccardCoefficient())
    assert counts.sensitivity == pytest.approx(1 - measure.GetFalseNegativeError())
    assert counts.specificity == pytest.approx(1 - measure.GetFalsePositiveError())
    assert counts.precision == pytest.approx(1 - measure.GetFalseDiscoveryRate())
    assert counts.accuracy == pytest.approx((A == B).mean())


def test_counts_of_nothing() -> None:
    empty = Counts.of(NOTHING, NOTHING)
    assert (empty.dice, empty.iou, empty.specificity, empty.accuracy) == (1, 1, 1, 1)
    assert np.isnan([empty.sensitivity, empty.precision]).all()
    assert Counts.of(A, NOTHING).dice == Counts.of(NOTHING, A).dice == 0
    with pytest.raises(ValueError, match="shapes differ"):
        Counts.of(A, A[0])


def test_hd95_is_that_of_the_surfaces_by_brute_force() -> None:
    spacing = (3.0, 0.7, 0.9)
    a, b = NOTHING.copy(), NOTHING.copy()
    a[1:4, 3:12, 4:15] = True
    b[0:4, 5:17, 2:13] = True
    b[4, 18, 18] = True

    def surface(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        contour = sitk.GetArrayFromImage(sitk.LabelContour(sitk.ConstantPad(image(mask), [1] * 3, [1] * 3))) > 0
        return np.argwhere(contour[1:-1, 1:-1, 1:-1]) * np.array(spacing)

    apart = np.linalg.norm(surface(a)[:, None] - surface(b)[None], axis=2)
    expected = max(np.percentile(apart.min(axis=1), 95), np.percentile(apart.min(axis=0), 95))
    assert hd95(a, b, spacing) == hd95(b, a, spacing) == pytest.approx(expected)
    whole = sitk.HausdorffDistanceImageFilter()
    whole.Execute(image(a, spacing), image(b, spacing))
    assert 0 < hd95(a, b, spacing) < whole.GetHausdorffDistance()


def test_hd95_of_a_shift_is_the_shift() -> None:
    a, b = np.zeros((2, 30, 30), np.bool_)
    a[5:15, 5:15] = True
    b[5:15, 9:19] = True
    assert hd95(a, b, (1.0, 0.5)) == pytest.approx(2.0)


def test_hd95_of_nothing() -> None:
    assert hd95(NOTHING, NOTHING, (1, 1, 1)) == 0
    assert hd95(A, NOTHING, (1, 1, 1)) == hd95(NOTHING, A, (1, 1, 1)) == np.inf
    with pytest.raises(ValueError, match="do not fit"):
        hd95(A, B, (1, 1))


def test_the_best_threshold_is_found() -> None:
    truth = np.zeros((2, 8, 8), np.uint8)
    truth[:, 2:6, 2:6] = 1
    chance = np.where(truth > 0, 0.68, 0.52).astype(np.float32)
    assert best_threshold([chance], [truth]) == pytest.approx(0.6)


def test_interval_is_scipy_s() -> None:
    values = np.random.default_rng(1).normal(0.8, 0.1, 60)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(2))
    expected = theirs.confidence_interval
    assert interval(list(values)) == pytest.approx((expected.low, expected.high), abs=0.002)
    assert interval([*values, np.nan]) == interval(list(values))
    median = stats.bootstrap((values,), np.median, method="percentile", rng=np.random.default_rng(2))
    expected = median.confidence_interval
    assert interval(list(values), statistic=np.median) == pytest.approx((expected.low, expected.high), abs=0.003)
    with pytest.raises(ValueError, match="no patient"):
        interval([np.nan])


def test_an_infinite_distance_stays_in_the_interval_of_the_median() -> None:
    low, high = interval([1.0, 2.0, 3.0, 4.0, np.inf], statistic=np.median)
    assert 1 <= low < high
    assert interval([1.0] * 9 + [np.inf], statistic=np.median) == (1.0, 1.0)


def test_patients_are_drawn_and_not_rows() -> None:
    # ten people, each with twenty rows of one value: as uncertain as ten values, not as two hundred
    values = np.random.default_rng(5).normal(0, 1, 10)
    rows, people = np.repeat(values, 20), np.repeat(np.arange(10), 20)

    def mean(at: NDArray[np.intp]) -> float:
        return float(rows[at].mean())

    low, high = interval_by_patient(mean, people.tolist(), rounds=4000)
    assert (low, high) == pytest.approx(interval(values.tolist()), abs=0.05)
    alone_low, alone_high = interval_by_patient(mean, range(len(rows)), rounds=1000)
    assert alone_high - alone_low < (high - low) / 3


def test_rounds_without_an_answer_are_left_out() -> None:
    truth = np.array([True, False])

    def share(at: NDArray[np.intp]) -> float:
        return 0.5 if len(set(truth[at].tolist())) == 2 else float("nan")

    assert interval_by_patient(share, ["a", "b"], rounds=50) == (0.5, 0.5)
    with pytest.raises(ValueError, match="not defined"):
        interval_by_patient(share, ["a", "a", "b"][:1], rounds=5)
    with pytest.raises(ValueError, match="no rows"):
        interval_by_patient(share, [])
