"""Models of every task at work in a sitting: shown while the reader scrolls, proposed once, judged, never lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from overread.domain.finding import Findings, Kind, Status
from overread.domain.geometry import Plane
from overread.domain.listing import Listing
from overread.infer.results import SliceBox
from overread.session.review import accept, redraw
from overread.session.state import Phase
from support.series import head_like, write_series
from support.sitting import DOE, Sitting, box_mask, detectors
from support.tiny import kinds_model, peaks_model, sides_model

# The model that is on by default.
MODEL = "glioma-flair"


def _blobs(slices: int) -> np.ndarray:
    k, j, i = np.indices((slices, 96, 96))
    hill = 900 * np.exp(-((j - 30) ** 2 + (i - 40) ** 2) / 60) * (abs(k - slices // 2) <= 1)
    return (hill - abs(k - slices // 2)).astype(np.int16)


def _paused(sitting: Sitting, study: Path) -> str:
    """Open, and have the model read no more than what the reader looks at; the stack's identity."""
    sitting.session.open([study])
    while sitting.session.image is None or not sitting.session.image.ready.complete or sitting.mail:
        assert sitting.deliver() or sitting.run()
    sitting.session.runs.pause(MODEL)
    sitting.settle()
    assert sitting.session.image is not None
    return sitting.session.image.stack.uid


def _phase(sitting: Sitting) -> Phase:
    return sitting.session.runs.readings[MODEL].phase


@pytest.mark.parametrize("contour", [False, True])
def test_boxes_live_then_proposed_then_judged(sit: Callable[..., Sitting], tmp_path: Path, contour: bool) -> None:
    peaks_model(tmp_path / "models", MODEL, contour=contour)
    write_series(tmp_path / "ct", _blobs(40), modality="CT", step=2.0)
    sitting = sit(detectors(tmp_path / "models"))
    uid = _paused(sitting, tmp_path / "ct")
    runs = sitting.session.runs
    assert _phase(sitting) is Phase.PAUSED
    (box,) = runs.live_boxes(uid, Plane.AXIAL, 20, Listing())
    higher = Listing().with_cutoff(MODEL, 1.0)
    assert runs.live_boxes(uid, Plane.AXIAL, 20, higher) == [], "below the cutoff it is not shown either"
    assert isinstance(box, SliceBox)
    assert box.edges == pytest.approx((26, 37, 35, 44))
    assert len(runs.live(uid, Plane.AXIAL, 20)) == contour, "the outline is drawn as it comes"
    assert runs.live_boxes(uid, Plane.AXIAL, 23, Listing()) == runs.live_boxes(uid, Plane.CORONAL, 20, Listing()) == []
    runs.read_all(MODEL)
    sitting.settle()
    assert (_phase(sitting), runs.live_boxes(uid, Plane.AXIAL, 20, Listing())) == (Phase.DONE, [])
    (found,) = sitting.session.findings
    assert (found.kind, found.box, found.status) == (Kind.DETECTION, (19, 26, 37, 22, 35, 44), Status.PROPOSED)
    assert (found.measures is not None) is contour

    sitting.session.edit(*accept(sitting.session.findings, [found.id], DOE))
    assert sitting.session.image is not None
    stack = sitting.session.image.stack
    smaller = box_mask(stack.grid.shape, (20, 30, 40), (1, 3, 3))
    sitting.session.edit(*redraw(sitting.session.findings, found.id, smaller, stack, DOE, "erase"))
    assert sitting.session.findings[0].bounds == (20, 30, 40, 21, 33, 43)
    assert sitting.session.undo()
    assert sitting.session.findings[0].bounds == found.box
    assert _reopened(sit, tmp_path / "models", tmp_path / "ct", sitting) == sitting.session.findings
    assert sitting.errors == []


def _reopened(sit: Callable[..., Sitting], models: Path, study: Path, before: Sitting) -> Findings:
    """What another sitting finds in the journal, after its model has read the series again."""
    before.die()
    again = sit(detectors(models))
    again.open(study)
    assert _phase(again) is Phase.DONE
    return again.session.findings


def test_classes_of_an_image_come_once_and_stay(sit: Callable[..., Sitting], tmp_path: Path) -> None:
    sides_model(tmp_path / "models", MODEL)
    write_series(tmp_path / "cr", head_like((1, 64, 64)), modality="CR")
    sitting = sit(detectors(tmp_path / "models"))
    sitting.open(tmp_path / "cr")
    assert (_phase(sitting), sitting.errors) == (Phase.DONE, [])
    assert [f.label for f in sitting.session.findings] == ["Bright", "Dark"]
    assert all(f.kind is Kind.CLASSIFICATION and f.heatmap is not None for f in sitting.session.findings)
    dark = sitting.session.findings[1]
    sitting.session.edit(*accept(sitting.session.findings, [dark.id], DOE))
    assert [f.status for f in sitting.session.findings] == [Status.PROPOSED, Status.ACCEPTED]
    assert _reopened(sit, tmp_path / "models", tmp_path / "cr", sitting) == sitting.session.findings


def test_the_kinds_of_a_finding_are_kept(sit: Callable[..., Sitting], tmp_path: Path) -> None:
    kinds_model(tmp_path / "models", MODEL)
    write_series(tmp_path / "mr", head_like((40, 64, 64)), step=3.0)
    sitting = sit(detectors(tmp_path / "models"))
    _paused(sitting, tmp_path / "mr")
    sitting.session.runs.read_all(MODEL)
    sitting.settle()
    assert {label for finding in sitting.session.findings for label, _ in finding.classes} == {"Rising", "Level"}
    assert _reopened(sit, tmp_path / "models", tmp_path / "mr", sitting) == sitting.session.findings
