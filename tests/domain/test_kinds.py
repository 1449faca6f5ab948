"""Boxes and whole images are findings like drawn voxels are, each with what its kind has and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from overread.domain.finding import Act, Kind, Mask, Status, only_box
from overread.domain.geometry import Plane
from overread.domain.heatmap import Heatmap
from overread.domain.ports import Proposal
from support.values import MODEL, READER, WHEN, finding

EMPTY = Mask.of(np.zeros((3, 8, 8), bool))
BLOCK = Mask.of(np.ones((1, 2, 3), bool), (1, 4, 5), (3, 8, 8))
BOX = (0, 3, 4, 2, 7, 8)


@pytest.mark.parametrize(
    ("mask", "facts", "told"),
    [
        (BLOCK, {"kind": Kind.DETECTION}, "has a box"),
        (BLOCK, {"box": BOX}, "nothing else has"),
        (BLOCK, {"kind": Kind.DETECTION, "box": (0, 0, 0, 4, 8, 8)}, "voxels of its grid"),
        (BLOCK, {"kind": Kind.DETECTION, "box": (1, 2, 2, 1, 3, 3)}, "voxels of its grid"),
        (BLOCK, {"kind": Kind.CLASSIFICATION, "threshold": 0.5}, "no voxels"),
        (EMPTY, {"kind": Kind.CLASSIFICATION}, "a threshold"),
        (EMPTY, {"kind": Kind.CLASSIFICATION, "threshold": 0.5, "score": None}, "a score"),
    ],
)
def test_a_kind_without_what_it_has_is_none(mask: Mask, facts: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        finding(mask, **facts)
    code = finding(BLOCK).concept
    with pytest.raises(ValueError, match=told):
        Proposal("x", code, code, mask, **{"score": 0.5, **facts})


def test_the_box_is_the_models_until_the_reader_draws() -> None:
    seen = finding(BLOCK, kind=Kind.DETECTION, box=BOX)
    assert seen.bounds == BOX
    drawn = seen.redrawn(EMPTY, None, Act(READER, "erase", WHEN))
    assert (drawn.bounds, drawn.erased, drawn.box) == (None, True, BOX)
    again = drawn.redrawn(Mask.of(np.ones((1, 1, 1), bool), (2, 6, 7), (3, 8, 8)), None, Act(READER, "draw", WHEN))
    assert (again.bounds, again.erased, again.original) == ((2, 6, 7, 3, 7, 8), False, BLOCK)
    assert finding(BLOCK).bounds == (1, 4, 5, 2, 6, 8)


def test_a_mask_that_fills_the_box_is_no_outline() -> None:
    filled = Mask.of(np.ones((2, 4, 4), bool), (0, 3, 4), (3, 8, 8))
    assert only_box(filled, BOX)
    assert not only_box(BLOCK, BOX)
    assert not only_box(filled, None)


@pytest.mark.parametrize(("score", "positive"), [(0.49, False), (0.5, True), (0.9, True)])
def test_a_class_is_present_from_its_threshold_on(score: float, positive: bool) -> None:
    named = finding(EMPTY, kind=Kind.CLASSIFICATION, threshold=0.5, score=score)
    assert (named.positive, named.erased, named.bounds, named.model) == (positive, False, None, MODEL)
    assert finding(BLOCK, status=Status.PROPOSED).positive is None


def test_a_heatmap_keeps_its_numbers() -> None:
    values = np.array([[-1.5, 0.25, 3.0], [1e-30, 7.0, 0.0]])
    made = Heatmap.of(values, (0.0, 0.0, 20.0, 30.0), Plane.AXIAL, 2, "Pneumonia", "CAM", "features")
    np.testing.assert_array_equal(made.values, values.astype(np.float32))
    assert made == Heatmap.of(values.copy(), (0.0, 0.0, 20.0, 30.0), Plane.AXIAL, 2, "Pneumonia", "CAM", "features")
    with pytest.raises(ValueError, match="each of its cells"):
        Heatmap((2, 2), made.packed, made.extent, Plane.AXIAL, 0, "", "", "")
    with pytest.raises(ValueError, match="covers something"):
        Heatmap.of(values, (5.0, 0.0, 5.0, 30.0), Plane.AXIAL, 0, "", "", "")
