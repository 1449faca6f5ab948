"""The editing tools under real mouse and key events, each asserted on the voxels it leaves, and undone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDoubleSpinBox

from overread.domain.finding import Finding, Mask
from overread.domain.geometry import Plane
from overread.domain.view import Tool
from overread.imaging.editing.outline import enclosed
from overread.imaging.editing.parts import Logic, combined, copied, filled
from overread.imaging.editing.shape import Smoothing, margin, smooth
from overread.session.review import draw_new
from overread.ui.editor import Where
from support.window import Driver, near, pixels

PLAIN, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
CTRL = Qt.KeyboardModifier.ControlModifier
SHAPE = (12, 128, 128)
EDITED = (0x9B, 0x8C, 0xFF)


class Hand:
    """A reader with a mouse over one pane, and findings of their own."""

    def __init__(self, driver: Driver, study: Path) -> None:
        self.driver, self.session, self.window = driver, driver.session, driver.window
        driver.open(study)
        self.k = self.session.view.cursor[0]
        self.plane = Plane.AXIAL

    def pane(self):
        return self.window.panes.panes[self.plane]

    def place(self, index: tuple[float, float, float]) -> QPoint:
        x, y = self.pane().projection.to_screen(index)
        ratio = self.pane().devicePixelRatioF()
        return QPoint(round(x / ratio), round(y / ratio))

    def drag(self, *corners: tuple[float, float, float], held: Qt.KeyboardModifier = PLAIN, lift: bool = True) -> None:
        """Press at the first place, go through the others in small steps, let go at the last."""
        steps = [tuple(np.add(a, np.subtract(b, a) * n / 8)) for a, b in pairwise(corners) for n in range(1, 9)]
        QTest.mousePress(self.pane(), Qt.MouseButton.LeftButton, held, self.place(corners[0]))
        for step in steps:
            QTest.mouseMove(self.pane(), self.place(step))
            QApplication.processEvents()
        if lift:
            QTest.mouseRelease(self.pane(), Qt.MouseButton.LeftButton, held, self.place(corners[-1]))
        self.done()

    def click(self, index: tuple[float, float, float], held: Qt.KeyboardModifier = PLAIN) -> None:
        QTest.mouseClick(self.pane(), Qt.MouseButton.LeftButton, held, self.place(index))
        self.done()

    def key(self, key: Qt.Key, held: Qt.KeyboardModifier = PLAIN) -> None:
        self.driver.key(key, held)
        self.done()

    def done(self) -> None:
        """Wait until the change is made."""
        self.driver.until(lambda: not self.window.desk.editor.editing.busy)
        QApplication.processEvents()

    def draw(self, voxels: np.ndarray) -> Finding:
        """A finding of those voxels, selected."""
        stack = self.session.image.stack
        label, findings, new_id = draw_new(self.session.findings, Mask.of(voxels), stack, self.session.reader)
        self.session.edit(label, findings)
        from dataclasses import replace

        self.session.set_view(replace(self.session.view, selected=new_id))
        return self.finding

    @property
    def finding(self) -> Finding:
        finding = self.session.selected
        assert finding is not None
        return finding

    @property
    def voxels(self) -> np.ndarray:
        return self.finding.mask.voxels

    def undone_and_done_again(self, before: Mask, label: str) -> None:
        """The step has its name, can be taken back and be done again."""
        after = self.finding.mask
        assert self.session.undo_label == label
        self.key(Qt.Key.Key_Z, CTRL)
        assert self.finding.mask == before
        self.key(Qt.Key.Key_Y, CTRL)
        assert self.finding.mask == after
        self.key(Qt.Key.Key_Z, CTRL)


@pytest.fixture
def hand(driver_of: Callable[..., Driver], study: Path) -> Hand:
    return Hand(driver_of(models=0), study)


def block(k: slice, j: slice, i: slice) -> np.ndarray:
    voxels = np.zeros(SHAPE, np.bool_)
    voxels[k, j, i] = True
    return voxels


SQUARE = [(30.5, 40.5), (30.5, 60.5), (50.5, 60.5), (50.5, 40.5)]


def test_lasso_draws_and_with_shift_erases(hand: Hand) -> None:
    hand.key(Qt.Key.Key_G)
    assert hand.session.view.tool is Tool.LASSO
    corners = [(hand.k, j, i) for j, i in SQUARE]
    hand.drag(*corners, lift=False)
    assert near(pixels(hand.pane()), EDITED).sum() > 60, "the line is seen while it is drawn"
    assert not hand.session.shown_findings
    QTest.mouseRelease(hand.pane(), Qt.MouseButton.LeftButton, PLAIN, hand.place(corners[-1]))
    hand.done()
    expected = block(slice(hand.k, hand.k + 1), slice(31, 51), slice(41, 61))
    assert np.array_equal(hand.voxels, expected)
    assert hand.session.undo_label == "Draw Lesion 1"
    before = hand.finding.mask
    half = [(hand.k, j, i) for j, i in ((25.5, 35.5), (25.5, 50.5), (55.5, 50.5), (55.5, 35.5))]
    hand.drag(*half, held=SHIFT)
    assert np.array_equal(hand.voxels, block(slice(hand.k, hand.k + 1), slice(31, 51), slice(51, 61)))
    hand.undone_and_done_again(before, "Lasso: erase from Lesion 1")
    hand.key(Qt.Key.Key_Z, CTRL)
    assert not hand.session.shown_findings


def test_a_lasso_in_the_coronal_and_sagittal_pane(hand: Hand) -> None:
    hand.key(Qt.Key.Key_L)
    hand.key(Qt.Key.Key_G)
    _, j, i = hand.session.view.cursor
    hand.plane = Plane.CORONAL
    hand.drag((3.5, j, 30.5), (3.5, j, 60.5), (8.5, j, 60.5), (8.5, j, 30.5))
    assert np.array_equal(hand.voxels, block(slice(4, 9), slice(j, j + 1), slice(31, 61)))
    hand.plane = Plane.SAGITTAL
    hand.drag((2.5, 20.5, i), (2.5, 40.5, i), (5.5, 40.5, i), (5.5, 20.5, i))
    both = block(slice(4, 9), slice(j, j + 1), slice(31, 61)) | block(slice(3, 6), slice(21, 41), slice(i, i + 1))
    assert np.array_equal(hand.voxels, both)


def test_polygon_by_clicks_closed_by_return_or_its_first_corner_and_dropped_by_escape(hand: Hand) -> None:
    hand.key(Qt.Key.Key_P, SHIFT)
    corners = [(hand.k, j, i) for j, i in SQUARE]
    for corner in corners:
        hand.click(corner)
    hand.click((hand.k, 90, 90))
    hand.key(Qt.Key.Key_Backspace)
    hand.key(Qt.Key.Key_Return)
    expected = block(slice(hand.k, hand.k + 1), slice(31, 51), slice(41, 61))
    assert np.array_equal(hand.voxels, expected)
    before = hand.finding.mask
    for j, i in ((60.5, 60.5), (60.5, 80.5), (70.5, 80.5), (70.5, 60.5), (60.5, 60.5)):
        hand.click((hand.k, j, i))
    more = expected | block(slice(hand.k, hand.k + 1), slice(61, 71), slice(61, 81))
    assert np.array_equal(hand.voxels, more)
    hand.undone_and_done_again(before, "Polygon Lesion 1")
    hand.click((hand.k, 10, 10))
    hand.click((hand.k, 10, 20))
    hand.key(Qt.Key.Key_Escape)
    assert hand.window.desk.editor.outline is None
    assert hand.session.view.tool is Tool.POLYGON, "Escape drops what is in the hand, and the tool only then"
    hand.key(Qt.Key.Key_Escape)
    assert hand.session.view.tool is Tool.WINDOW


def test_scissors_cut_through_all_slices_or_keep_what_is_inside(hand: Hand) -> None:
    before = hand.draw(block(slice(2, 10), slice(20, 70), slice(20, 70))).mask
    hand.key(Qt.Key.Key_C, SHIFT)
    corners = [(hand.k, j, i) for j, i in SQUARE]
    hand.drag(*corners)
    hole = block(slice(0, 12), slice(31, 51), slice(41, 61))
    assert np.array_equal(hand.voxels, before.voxels & ~hole)
    hand.undone_and_done_again(before, "Cut inside an outline: Lesion 1")
    hand.drag(*corners, held=SHIFT)
    assert np.array_equal(hand.voxels, before.voxels & hole)
    hand.undone_and_done_again(before, "Cut outside an outline: Lesion 1")
    hand.window.desk.editor.set(this_slice=True)
    hand.drag(*corners)
    here = block(slice(hand.k, hand.k + 1), slice(31, 51), slice(41, 61))
    assert np.array_equal(hand.voxels, before.voxels & ~here)


@pytest.mark.parametrize("walk", [True, False])
def test_scribbles_grow_to_the_edge(hand: Hand, walk: bool) -> None:
    hand.key(Qt.Key.Key_S, SHIFT)
    hand.window.desk.editor.set(walk=walk)
    hand.drag((hand.k, 75, 78), (hand.k, 79, 82))
    ring = [(hand.k, 77 + 30 * np.sin(a), 80 + 30 * np.cos(a)) for a in np.linspace(0, 2 * np.pi, 9)]
    hand.drag(*ring, held=SHIFT)
    assert hand.window.desk.editor.scribbled == (True, True)
    hand.key(Qt.Key.Key_Return)
    bright = hand.session.image.volume.voxels[hand.k] > 500
    got = hand.voxels
    assert 2 * (got[hand.k] & bright).sum() / (got[hand.k].sum() + bright.sum()) > 0.97
    assert np.unique(np.argwhere(got)[:, 0]).tolist() == [hand.k]
    assert hand.window.desk.editor.scribbled == (False, False)


def test_the_smart_brush_stops_at_the_edge_where_the_brush_does_not(hand: Hand) -> None:
    bright = hand.session.image.volume.voxels[hand.k] > 500
    column = int(np.flatnonzero(bright[77])[0])
    hand.key(Qt.Key.Key_B, SHIFT)
    hand.window.desk.resize_brush(2.0)
    hand.drag((hand.k, 74, column + 3), (hand.k, 80, column + 3))
    smart = hand.voxels[hand.k]
    assert (smart & ~bright).sum() <= 1
    assert smart.sum() > 20
    assert hand.session.undo_label == "Draw Lesion 1"
    hand.key(Qt.Key.Key_B)
    hand.drag((hand.k, 74, column + 3), (hand.k, 80, column + 3))
    assert (hand.voxels[hand.k] & ~bright).sum() > 5


def test_drawing_only_inside_or_outside_of_another_finding(hand: Hand) -> None:
    other = hand.draw(block(slice(0, 12), slice(30, 60), slice(30, 60)))
    before = hand.draw(block(slice(0, 1), slice(0, 2), slice(0, 2))).mask
    hand.key(Qt.Key.Key_G)
    corners = [(hand.k, j, i) for j, i in ((40.5, 40.5), (40.5, 80.5), (80.5, 80.5), (80.5, 40.5))]
    lasso = block(slice(hand.k, hand.k + 1), slice(41, 81), slice(41, 81))
    for where, allowed in ((Where.INSIDE, other.mask.voxels), (Where.OUTSIDE, ~other.mask.voxels)):
        hand.window.desk.editor.set(where=where, beside=other.id)
        hand.drag(*corners)
        assert np.array_equal(hand.voxels, before.voxels | (lasso & allowed))
        hand.undone_and_done_again(before, "Lasso Lesion 2")
    hand.key(Qt.Key.Key_B)
    hand.drag((hand.k, 45, 45), (hand.k, 45, 75))
    assert not (hand.voxels & other.mask.voxels).any()
    assert hand.voxels[hand.k, 45, 62:75].all()


def test_the_part_that_is_clicked_stays(hand: Hand) -> None:
    small = block(slice(5, 8), slice(20, 25), slice(20, 25))
    before = hand.draw(small | block(slice(4, 9), slice(60, 90), slice(60, 90))).mask
    hand.key(Qt.Key.Key_I, SHIFT)
    hand.click((hand.k, 22, 22))
    assert np.array_equal(hand.voxels, small)
    hand.undone_and_done_again(before, "Keep the clicked part of Lesion 1")


def test_margin_is_shown_before_it_is_applied(hand: Hand) -> None:
    before = hand.draw(block(slice(4, 8), slice(50, 70), slice(50, 70))).mask
    grid, editor = hand.session.image.stack.grid, hand.window.desk.editor
    hand.key(Qt.Key.Key_M, SHIFT)
    box = hand.window.findings_panel.tool_box
    field = next(b for b in box.findChildren(QDoubleSpinBox) if b.accessibleName() == "Margin")
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, "7.5")
    hand.driver.until(lambda: editor.seen is not None and editor.numbers.margin_mm == 7.5)
    assert editor.seen[1] == margin(before, grid, 7.5)
    assert "ml" in box.said.text()
    assert hand.finding.mask == before, "looking changes nothing"
    QTest.keyClick(field, Qt.Key.Key_Return)
    hand.done()
    assert hand.finding.mask == margin(before, grid, 7.5)
    hand.undone_and_done_again(before, "Margin +7.5 mm of Lesion 1")


@pytest.mark.parametrize("what", ["smooth", "values", "islands", "holes", "between", "combine", "copy-next"])
def test_each_change_once(hand: Hand, what: str) -> None:
    """By its action: the first time it shows its numbers, the second time it is made."""
    other = hand.draw(block(slice(5, 9), slice(60, 80), slice(60, 80)))
    drawn = block(slice(4, 7), slice(50, 70), slice(50, 70))
    drawn[4:7, 58:60, 58:60] = False
    drawn |= block(slice(10, 11), slice(50, 70), slice(50, 70)) | block(slice(4, 5), slice(5, 7), slice(5, 7))
    before = hand.draw(drawn).mask
    editor, grid = hand.window.desk.editor, hand.session.image.stack.grid
    stored = hand.session.image.volume.voxels
    editor.set(smoothing=Smoothing.OPENING, smooth_mm=4.0, low=200, high=350, logic=Logic.SUBTRACT, other=other.id)
    assert hand.k == 6
    whole = drawn & ~block(slice(4, 5), slice(0, 9), slice(0, 9)) & ~block(slice(10, 11), slice(0, 128), slice(0, 128))
    expected = {
        "smooth": lambda: smooth(before, grid, Smoothing.OPENING, 4.0),
        "values": lambda: Mask.of(drawn & (stored >= 200) & (stored <= 350)),
        "islands": lambda: Mask.of(whole),
        "holes": lambda: filled(before, 0),
        "between": lambda: None,
        "combine": lambda: combined(before, other.mask, Logic.SUBTRACT),
        "copy-next": lambda: copied(before, 0, 6, 1),
    }[what]()
    hand.window.trigger(what)
    hand.window.trigger(what) if what != "copy-next" else None
    hand.done()
    assert hand.finding.mask != before
    if what == "between":
        assert np.array_equal(hand.voxels[8], hand.voxels[10]), "between equal outlines lies the same"
        assert hand.voxels[7:10].any(axis=(1, 2)).all()
    else:
        assert hand.finding.mask == expected
    if what == "copy-next":
        assert hand.session.view.cursor[0] == 7
    label = hand.session.undo_label
    assert label.endswith("Lesion 2")
    hand.undone_and_done_again(before, label)


def test_what_takes_long_does_not_hold_the_window_and_escape_calls_it_off(hand: Hand) -> None:
    before = hand.draw(np.ones(SHAPE, np.bool_)).mask
    editor = hand.window.desk.editor
    editor.set(margin_mm=-40.0)
    hand.window.trigger("margin")
    hand.window.trigger("margin")
    assert editor.editing.busy
    QTest.keyClick(hand.window, Qt.Key.Key_Escape)
    assert not editor.editing.busy
    QApplication.processEvents()
    assert hand.finding.mask == before


def test_the_tool_box_shows_what_is_in_the_hand(hand: Hand) -> None:
    box = hand.window.findings_panel.tool_box
    assert not box.isVisible()
    hand.key(Qt.Key.Key_G)
    assert box.isVisible()
    assert box.buttons["lasso"].isChecked()
    assert not box.buttons["margin"].isEnabled(), "there is nothing to change yet"
    hand.draw(block(slice(4, 8), slice(50, 70), slice(50, 70)))
    assert box.buttons["margin"].isEnabled()
    for action_id, button in box.buttons.items():
        assert button.text()
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        QApplication.processEvents()
        assert button.isChecked(), action_id
    hand.window.trigger("palette")
    palette = hand.window.palette_float
    QTest.keyClicks(palette.field, "scissors")
    QTest.keyClick(palette.field, Qt.Key.Key_Return)
    assert hand.session.view.tool is Tool.SCISSORS


def test_an_outline_seen_is_the_outline_drawn(hand: Hand) -> None:
    """A zoomed and shifted picture changes nothing of what a lasso encloses."""
    from overread.ui import looking

    looking.zoom(hand.session, Plane.AXIAL, 2.0)
    looking.pan(hand.session, Plane.AXIAL, 12.0, -9.0)
    points = [(50.2, 51.3), (48.7, 72.8), (66.1, 80.4), (78.9, 60.2), (64.3, 62.1)]
    hand.key(Qt.Key.Key_G)
    hand.drag(*[(hand.k, j, i) for j, i in points])
    expected = enclosed(points, SHAPE[1:])
    assert (hand.voxels[hand.k] != expected).sum() <= 12, "a screen pixel is a fraction of a voxel"


def test_a_colour_from_the_menu_tints_the_fill_and_leaves_the_line(hand: Hand) -> None:
    before = hand.draw(block(slice(4, 8), slice(20, 60), slice(40, 80)))
    plain = pixels(hand.pane())
    hand.window.trigger("colour")
    hand.driver.until(lambda: QApplication.activePopupWidget() is not None)
    QTest.keyClick(QApplication.activePopupWidget(), Qt.Key.Key_2)
    hand.driver.until(lambda: hand.finding.tint == "#E69F00")
    picture = pixels(hand.pane())
    at = hand.place((hand.k, 40.0, 60.0))
    red, _, blue = (picture[at.y(), at.x()].astype(int) - plain[at.y(), at.x()]).tolist()
    assert red > blue, "orange where it was violet"
    assert abs(int(near(picture, EDITED).sum()) - int(near(plain, EDITED).sum())) < 50
    assert hand.finding.status is before.status
    hand.key(Qt.Key.Key_Z, CTRL)
    assert hand.finding == before
