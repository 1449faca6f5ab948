"""Boxes and whole images are proposed, judged and taken back like drawn voxels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from overread.commands.answers import finding_answer
from overread.domain.finding import Finding, Kind, Mask, Status
from overread.domain.geometry import Plane
from overread.domain.heatmap import Heatmap
from overread.domain.ports import Proposal
from overread.imaging.measure import measure
from overread.session.review import accept, proposed, redraw, reject, restore
from support.sitting import ABNORMAL, DOE, LESION, box_mask, model_source, stack_of

STACK = stack_of()
SHAPE = STACK.grid.shape
EMPTY = Mask.of(np.zeros(SHAPE, np.bool_))
BOX = (1, 4, 4, 3, 8, 9)
FILLED = box_mask(SHAPE, (1, 4, 4), (2, 4, 5))
OUTLINE = box_mask(SHAPE, (1, 5, 5), (2, 2, 3))


def detected(mask: Mask, box: tuple[int, int, int, int, int, int] = BOX) -> Proposal:
    return Proposal("Nodule", LESION, ABNORMAL, mask, 0.7, kind=Kind.DETECTION, box=box)


def named(label: str, score: float, index: int = 0) -> Proposal:
    heat = Heatmap.of(np.array([[score, 0.0]]), (0, 0, 24, 24), Plane.AXIAL, index, label, "CAM", "features")
    return Proposal(label, LESION, ABNORMAL, EMPTY, score, kind=Kind.CLASSIFICATION, threshold=0.5, heatmap=heat)


def findings_of(*proposals: Proposal) -> tuple[Finding, ...]:
    return proposed(proposals, STACK, model_source())


def test_a_box_is_not_measured_but_an_outline_in_it_is() -> None:
    box, outline = findings_of(detected(FILLED), detected(OUTLINE))
    assert (box.measures, box.box, box.score) == (None, BOX, 0.7)
    assert outline.measures == measure(OUTLINE, STACK.grid)
    assert box.id != outline.id
    moved = findings_of(detected(OUTLINE, (1, 4, 4, 3, 8, 10)))[0]
    assert moved.id not in (box.id, outline.id)
    assert findings_of(detected(FILLED))[0].id == box.id


def test_drawing_in_a_box_measures_it_and_restoring_takes_that_back() -> None:
    before = findings_of(detected(FILLED))
    _, drawn = redraw(before, before[0].id, OUTLINE, STACK, DOE, "erase")
    assert drawn[0].measures == measure(OUTLINE, STACK.grid)
    assert drawn[0].bounds == (1, 5, 5, 3, 7, 8)
    _, back = restore(drawn, drawn[0].id, STACK, DOE)
    assert (back[0].measures, back[0].mask, back[0].bounds) == (None, FILLED, BOX)


def test_each_class_of_each_image_is_one_finding() -> None:
    findings = findings_of(named("Pneumonia", 0.91236), named("Normal", 0.08), named("Pneumonia", 0.2, index=1))
    assert [(f.label, f.score, f.positive) for f in findings] == [
        ("Pneumonia", 0.9124, True),
        ("Normal", 0.08, False),
        ("Pneumonia", 0.2, False),
    ]
    assert len({f.id for f in findings}) == 3
    assert [f.heatmap.index for f in findings if f.heatmap] == [0, 0, 1]


def test_a_class_is_accepted_though_it_has_no_voxels_and_an_erased_box_is_not() -> None:
    findings = findings_of(named("Pneumonia", 0.9), detected(FILLED))
    _, findings = redraw(findings, findings[1].id, EMPTY, STACK, DOE, "erase")
    _, judged = accept(findings, [f.id for f in findings], DOE)
    assert [f.status for f in judged] == [Status.ACCEPTED, Status.REJECTED]
    _, judged = reject(judged, [judged[0].id], DOE, "artefact")
    assert (judged[0].status, judged[0].heatmap) == (Status.REJECTED, findings[0].heatmap)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_class_surer_than_sure_is_none(score: float) -> None:
    with pytest.raises(ValueError, match="has the score"):
        findings_of(named("Pneumonia", score))


def test_what_machines_are_told() -> None:
    kinds: dict[str, dict[str, Any]] = {}
    several = replace(detected(OUTLINE), kind=Kind.SEGMENTATION, box=None, classes=(("Glioma", 0.8), ("Other", 0.2)))
    for finding in findings_of(detected(FILLED), named("Pneumonia", 0.9), several):
        kinds[finding.kind] = finding_answer(finding, STACK)
    assert list(kinds) == ["detection", "classification", "segmentation"]
    assert kinds["detection"]["box_mm"] == [[3.5, 3.5, 1.5], [8.5, 7.5, 7.5]]
    assert (kinds["detection"]["volume_ml"], kinds["detection"]["axes_mm"]) == (None, None)
    assert "threshold" not in kinds["detection"]
    assert kinds["classification"]["box_mm"] is None
    assert (kinds["classification"]["threshold"], kinds["classification"]["positive"]) == (0.5, True)
    assert kinds["segmentation"]["classes"] == {"Glioma": 0.8, "Other": 0.2}
    assert kinds["segmentation"]["volume_ml"] == 0.036  # 2 × 2 × 3 voxels of 3 mm³
