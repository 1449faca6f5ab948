"""What models say of their probabilities, and which classes belong together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread.domain.finding import Finding, Kind
from overread.domain.geometry import Plane
from overread.domain.heatmap import Heatmap
from overread.imaging.paint import empty
from overread.infer import manifest
from overread.session.classes import calibration, siblings, trust
from overread.session.first_look import FirstLook
from support.sitting import detectors, finding_of, stack_of

STACK = stack_of()


def a_class(number: int, index: int = 0, **facts: Any) -> Finding:
    seen = Heatmap.of(np.ones((2, 2)), (0, 0, 8, 8), Plane.AXIAL, index, "x", "CAM", "last")
    kind: dict[str, Any] = {"kind": Kind.CLASSIFICATION, "score": 0.5, "threshold": 0.5, "heatmap": seen}
    return finding_of(STACK, empty(STACK.grid.shape), number=number, **{**kind, **facts})


def test_classes_of_one_model_on_one_image_belong_together() -> None:
    one, other, elsewhere = a_class(1), a_class(2), a_class(3, index=1)
    stranger = a_class(4, model="else")
    assert siblings(one, (one, other, elsewhere, stranger)) == (one, other)
    assert siblings(replace(one, heatmap=None), (one, other)) == ()


def test_calibration_is_told_from_the_results_of_the_model(models: Path) -> None:
    shipped = Path(__file__).resolve().parents[2] / "models" / "cxr-pneumonia"
    spec = manifest.read(shipped)
    results = spec.results
    assert calibration(spec) == (
        f"calibrated (temperature {results['temperature']:.2f}), off by {results['public_test']['ece']:.3f}"
        f" on the average on {results['public_test']['images']} held-out images"
    )
    (detector, *_) = detectors(models)
    assert calibration(detector.spec) == "not calibrated"
    assert trust(a_class(1, model="nobody"), [detector]) == ""


def test_the_first_look_is_told_once() -> None:
    told: list[int] = []
    look = FirstLook(lambda: told.append(1))
    assert not look.over("a")
    look.looked("a")
    look.looked("a")
    assert (look.over("a"), look.over("b"), told) == (True, False, [1])


@pytest.mark.parametrize("table", [{}, {"temperature": "hot"}])
def test_no_calibration_is_said_where_there_is_none(models: Path, table: dict[str, Any]) -> None:
    (detector, *_) = detectors(models)
    assert calibration(replace(detector.spec, results=table)) == "not calibrated"
