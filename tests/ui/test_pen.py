"""A stroke that a worker keeps: seen at once, in the journal before anything that the reader does next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from overread.domain.finding import Mask, Status, find
from overread.imaging.editing.shape import margin
from overread.session.editing import margin as margin_change
from overread.session.journal import Journal, journal_path
from overread.ui import pen
from support.series import head_like, write_series
from support.window import Driver, near, pixels
from ui.test_tools import CTRL, PLAIN, SHAPE, Hand, block

VIOLET = (0x9B, 0x8C, 0xFF)


@pytest.fixture
def hand(driver_of: Callable[..., Driver], study: Path, monkeypatch: pytest.MonkeyPatch) -> Hand:
    """A hand whose strokes all are too large to be kept at once, and a finding to draw on."""
    monkeypatch.setattr(pen, "_AT_ONCE", 0)
    made = Hand(driver_of(models=0), study)
    made.draw(block(slice(3, 9), slice(40, 60), slice(40, 60)))
    made.key(Qt.Key.Key_B)
    return made


@pytest.fixture
def busy(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> Hand:
    """The same where no worker ever has time for a stroke."""
    call = hand.session.jobs.call

    def kept_waiting(label: str, *rest: Any, **more: Any) -> Any:
        return None if label == "Keeping the stroke" else call(label, *rest, **more)

    monkeypatch.setattr(hand.session.jobs, "call", kept_waiting)
    return hand


def stroke(hand: Hand) -> None:
    hand.drag((hand.k, 80, 60), (hand.k, 80, 90))


def test_a_worker_keeps_it(hand: Hand) -> None:
    before = hand.finding.mask
    stroke(hand)
    hand.driver.until(lambda: not hand.window.desk.pen.keeping)
    after = hand.finding
    assert after.mask.voxels[hand.k, 80, 60:91].all()
    assert (after.mask.voxels & before.voxels).sum() == before.count
    assert after.measures is not None
    assert after.measures.largest_slice == hand.k
    hand.undone_and_done_again(before, f"Brush {after.title}")


def test_it_is_seen_before_it_is_kept(busy: Hand) -> None:
    before = busy.finding
    stroke(busy)
    assert busy.window.desk.pen.keeping
    assert busy.finding == before
    x, y = busy.place((busy.k, 80, 75)).toTuple()
    assert near(pixels(busy.pane()), VIOLET)[y - 20 : y + 20, x - 5 : x + 5].any()
    QTest.mouseMove(busy.pane(), busy.place((busy.k, 20, 20)))
    QApplication.processEvents()
    assert busy.window.desk.pen.keeping, "moving the mouse does not wait for it"


def test_what_the_reader_does_next_finds_it_done(busy: Hand) -> None:
    before = busy.finding.mask
    stroke(busy)
    busy.key(Qt.Key.Key_Z, CTRL)
    assert busy.session.redo_label == f"Brush {busy.finding.title}", "undo takes the stroke back, not the step before"
    assert busy.finding.mask == before
    stroke(busy)
    busy.key(Qt.Key.Key_A)
    assert busy.finding.status is Status.ACCEPTED
    assert busy.voxels[busy.k, 80, 75], "accepted as it was drawn"
    assert [act.verb for act in busy.finding.acts[-2:]] == ["brush", "accept"]
    stroke(busy)
    busy.drag((busy.k, 100, 60), (busy.k, 100, 90))
    busy.window.trigger("accept")
    assert busy.voxels[busy.k, 80, 75]
    assert busy.voxels[busy.k, 100, 75]


@pytest.mark.parametrize("end", ["another series", "closed"])
def test_it_is_kept_when_the_series_goes(busy: Hand, tmp_path: Path, end: str) -> None:
    image = busy.session.image
    assert image is not None
    who, finding_id = image.stack.identity, busy.finding.id
    journal = Path(busy.session.journal(who).path)
    stroke(busy)
    if end == "closed":
        busy.window.close()
    else:
        write_series(tmp_path / "other", head_like((6, 64, 64)), PatientID="OTHER")
        busy.session.open([tmp_path / "other"])  # not by a hand: nothing that a filter sees
    assert not busy.window.desk.pen.keeping
    kept = Journal(journal, who.study_uid)
    try:
        finding = find(kept.replay().value, finding_id)
    finally:
        kept.close()
    assert finding is not None
    assert finding.mask.voxels[busy.k, 80, 75]
    assert journal.name == journal_path(journal.parent, who).name


def test_what_a_worker_makes_meanwhile_stays(hand: Hand) -> None:
    stack = hand.session.image.stack
    before = hand.finding.mask
    grown = margin(before, stack.grid, 4.0)
    hand.drag((hand.k, 80, 60), (hand.k, 80, 90), lift=False)
    hand.window.desk.editor.editing.apply(margin_change(stack.grid, 4.0))
    hand.done()
    assert hand.finding.mask == grown, "while the pen is down"
    QTest.mouseRelease(hand.pane(), Qt.MouseButton.LeftButton, PLAIN, hand.place((hand.k, 80, 90)))
    hand.driver.until(lambda: not hand.window.desk.pen.keeping)
    drawn = hand.voxels
    assert drawn[hand.k, 80, 60:91].all()
    assert (drawn & grown.voxels).sum() == grown.count
    far = drawn.copy()
    far[hand.k, 70:91] = False
    assert np.array_equal(far, grown.voxels), "and nothing else"


def test_a_first_stroke_begins_a_finding(busy: Hand) -> None:
    from dataclasses import replace

    busy.session.set_view(replace(busy.session.view, selected=None))
    stroke(busy)
    busy.key(Qt.Key.Key_Escape)
    assert busy.finding.title == "Lesion 2"
    assert Mask.of(busy.voxels).shape == SHAPE
    assert busy.voxels[busy.k, 80, 75]
