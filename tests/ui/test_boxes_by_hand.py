"""Boxes moved, resized, drawn, split, merged, outlined and named, with the mouse and by keys; asserted on voxels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel

from overread import paths
from overread.domain.finding import Finding, Kind, Status
from overread.domain.geometry import Plane
from overread.domain.view import Layout, Tool
from overread.imaging.boxes import filled
from support.series import write_series
from support.tiny import peaks_model
from support.window import Driver, near, pixels

VIOLET = (0x9B, 0x8C, 0xFF)
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def driver(driver_of: Callable[..., Driver], tmp_path: Path) -> Driver:
    """A CT of air with two bright lumps, and a detector that boxes and outlines them."""
    voxels = np.zeros((8, 96, 96), np.int16)
    voxels[2:5, 30:37, 40:47] = 900
    voxels[6:7, 60:67, 20:27] = 900
    write_series(tmp_path / "ct", voxels, modality="CT", step=2.0, WindowCenter=500, WindowWidth=2000)
    peaks_model(paths.data() / "models", "glioma-flair", contour=True)
    driver = driver_of(models=0)
    driver.open(tmp_path / "ct")
    driver.read()
    driver.key(Qt.Key.Key_N)
    pixels(driver.pane())
    return driver


def chosen(driver: Driver) -> Finding:
    finding = driver.session.selected
    assert finding is not None
    return finding


def corner(driver: Driver, down: int, across: int) -> QPoint:
    """A corner, or the middle of a side, of the line of the selected box on the screen."""
    pane = driver.pane()
    (mark,) = [m for m in pane.boxes_here if m.finding_id == driver.session.view.selected]
    left, top, right, bottom = mark.on_screen(pane.projection)
    x = {-1: left, 0: (left + right) // 2, 1: right}[across]
    y = {-1: top, 0: (top + bottom) // 2, 1: bottom}[down]
    return QPoint(x, y)


def dragged(driver: Driver, start: QPoint, rows: int, columns: int) -> None:
    across, down = driver.pane().projection.scale
    way = QPoint(round(columns * across), round(rows * down))
    driver.drag([start, start + way / 2, start + way])


def test_a_corner_resizes_and_the_line_moves_in_one_step_each(driver: Driver) -> None:
    session, first = driver.session, chosen(driver)
    assert first.bounds is not None
    k0, j0, i0, k1, j1, i1 = first.bounds
    dragged(driver, corner(driver, 1, 1), 4, 6)
    wider = chosen(driver)
    assert (wider.bounds, wider.box) == ((k0, j0, i0, k1, j1 + 4, i1 + 6), first.bounds)
    assert (wider.status, session.undo_label) == (Status.EDITED, f"Resize {first.title}")
    picture = pixels(driver.pane())
    across, down = driver.pane().projection.scale
    edge = corner(driver, 1, 0)
    assert near(picture[edge.y() - 4 : edge.y() + 5, edge.x() - 20 : edge.x() + 20], VIOLET).any(), "double and violet"

    # A place on the line between the grips moves it; nothing else of it changes.
    quarter = corner(driver, -1, -1) + QPoint(round((i1 + 6 - i0) * across / 4), 0)
    dragged(driver, quarter, -3, 5)
    moved = chosen(driver)
    assert moved.bounds == (k0, j0 - 3, i0 + 5, k1, j1 + 1, i1 + 11)
    assert session.undo_label == f"Move {first.title}"
    driver.key(Qt.Key.Key_Z, CTRL)
    assert chosen(driver) == wider
    driver.key(Qt.Key.Key_Z, CTRL)
    assert chosen(driver) == first
    assert down > 0


def test_a_click_on_the_line_is_no_step_and_off_the_line_the_window_is_dragged(driver: Driver) -> None:
    session = driver.session
    before, undo = session.findings, session.undo_label
    QTest.mouseClick(driver.pane(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, corner(driver, 1, 1))
    assert (session.findings, session.undo_label) == (before, undo)
    window = session.view.window
    driver.drag([driver.point((2, 34, 44)), driver.point((2, 50, 70))])
    assert session.findings == before
    assert session.view.window != window


def test_the_mouse_says_what_it_would_do(driver: Driver) -> None:
    pane = driver.pane()

    def over(place: QPoint) -> Qt.CursorShape:
        nothing = Qt.MouseButton.NoButton
        at, on_screen = QPointF(place), QPointF(pane.mapToGlobal(place))
        move = QMouseEvent(QEvent.Type.MouseMove, at, on_screen, nothing, nothing, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(pane, move)
        return pane.cursor().shape()

    assert over(corner(driver, 1, 1)) is Qt.CursorShape.SizeFDiagCursor
    assert over(corner(driver, 1, -1)) is Qt.CursorShape.SizeBDiagCursor
    assert over(corner(driver, 0, 0)) is Qt.CursorShape.ArrowCursor
    assert over(corner(driver, 1, 0)) in (Qt.CursorShape.SizeVerCursor, Qt.CursorShape.SizeAllCursor)
    driver.key(Qt.Key.Key_K)
    assert over(corner(driver, 0, 0)) is Qt.CursorShape.CrossCursor


def test_depth_is_dragged_in_another_plane(driver: Driver) -> None:
    session, first = driver.session, chosen(driver)
    driver.key(Qt.Key.Key_P)
    assert (session.view.layout, session.view.plane) == (Layout.ONE, Plane.CORONAL)
    pixels(driver.pane())
    assert driver.pane().boxes_here, "a coronal slice crosses it too"
    dragged(driver, corner(driver, -1, 0), -1, 0)  # up is to the head: one slice more
    taller = chosen(driver)
    assert first.bounds is not None
    k0, j0, i0, k1, j1, i1 = first.bounds
    assert (taller.bounds, session.undo_label) == ((k0, j0, i0, k1 + 1, j1, i1), f"Resize {first.title}")


def test_keys_move_and_resize(driver: Driver) -> None:
    first = chosen(driver)
    assert first.bounds is not None
    box = np.array(first.bounds)
    for key, held, change in (
        (Qt.Key.Key_Right, CTRL, (0, 0, 1, 0, 0, 1)),
        (Qt.Key.Key_Down, CTRL, (0, 1, 0, 0, 1, 0)),
        (Qt.Key.Key_PageDown, CTRL, (1, 0, 0, 1, 0, 0)),
        (Qt.Key.Key_Right, CTRL | SHIFT, (0, 0, 0, 0, 0, 1)),
        (Qt.Key.Key_Up, CTRL | SHIFT, (0, 0, 0, 0, -1, 0)),
        (Qt.Key.Key_PageUp, CTRL | SHIFT, (-1, 0, 0, 1, 0, 0)),
    ):
        driver.key(key, held)
        box += change
        assert chosen(driver).bounds == tuple(box.tolist())
    assert chosen(driver).box == first.box


def test_a_box_of_ones_own_is_as_deep_as_wide_and_the_wheel_deepens_it(driver: Driver) -> None:
    session, pane = driver.session, driver.pane()
    k = session.view.cursor[0]
    driver.key(Qt.Key.Key_K)
    assert session.view.tool is Tool.BOX
    before = len(session.shown_findings)
    start, end = driver.point((k, 69.5, 59.5)), driver.point((k, 75.5, 65.5))
    driver.drag([start, (start + end) / 2, end])
    made = chosen(driver)
    assert len(session.shown_findings) == before + 1
    assert (made.kind, made.model, session.undo_label) == (Kind.DETECTION, None, f"Add box {made.title}")
    assert made.bounds is not None
    k0, j0, i0, k1, j1, i1 = made.bounds
    assert (j0, i0, j1, i1) == (70, 60, 76, 66)
    assert (k1 - k0) * 2.0 == pytest.approx((j1 - j0) * 1.0, abs=2.0), "6 mm by 6 mm: three slices of 2 mm"
    assert np.array_equal(made.mask.voxels, filled(made.bounds, made.mask.shape).voxels)

    # The same again with the wheel turned while the button is down.
    start, end = driver.point((k, 79.5, 59.5)), driver.point((k, 85.5, 65.5))
    QTest.mousePress(pane, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    QTest.mouseMove(pane, end)
    QApplication.processEvents()
    live = driver.window.desk.boxes.draft
    assert live is not None
    turn(driver, end, +1)
    QTest.mouseRelease(pane, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, end)
    deeper = chosen(driver).bounds
    assert deeper is not None
    assert session.view.cursor[0] == k, "the wheel did not scroll"
    assert deeper[3] - deeper[0] == min(k1 - k0 + 2, 8)
    # One slice less on each side by keys, laid down, deleted, and back.
    driver.key(Qt.Key.Key_PageDown, CTRL | SHIFT)
    driver.key(Qt.Key.Key_K)
    assert session.view.tool is Tool.WINDOW
    driver.key(Qt.Key.Key_Delete)
    assert len(session.shown_findings) == before + 1
    driver.key(Qt.Key.Key_Z, CTRL)
    assert len(session.shown_findings) == before + 2


def turn(driver: Driver, at: QPoint, notches: int) -> None:
    pane = driver.pane()
    event = QWheelEvent(
        QPointF(at),
        QPointF(pane.mapToGlobal(at)),
        QPoint(),
        QPoint(0, 120 * notches),
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(pane, event)
    QApplication.processEvents()


def test_escape_drops_the_box_in_hand(driver: Driver) -> None:
    session, pane = driver.session, driver.pane()
    before = session.findings
    driver.key(Qt.Key.Key_K)
    QTest.mousePress(pane, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, driver.point((2, 70, 60)))
    QTest.mouseMove(pane, driver.point((2, 80, 70)))
    QApplication.processEvents()
    assert driver.window.desk.boxes.draft is not None
    driver.key(Qt.Key.Key_Escape)
    QTest.mouseRelease(pane, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, driver.point((2, 80, 70)))
    assert session.findings == before


def test_split_here_and_merge_again(driver: Driver) -> None:
    session, first = driver.session, chosen(driver)
    assert first.bounds is not None
    session.set_view(replace(session.view, cursor=(3, 34, 44)))
    driver.key(Qt.Key.Key_J)
    halves = [f for f in session.shown_findings if f.box == first.box]
    assert [f.bounds[::3] for f in halves if f.bounds] == [(2, 3), (3, 5)]
    assert np.array_equal(halves[0].mask.voxels | halves[1].mask.voxels, first.mask.voxels)
    # Both marked: Ctrl+click on the other one's line, then U.
    pixels(driver.pane())
    other = halves[1]
    (mark,) = [m for m in driver.pane().boxes_here if m.finding_id == other.id]
    left, top, _, _ = mark.on_screen(driver.pane().projection)
    QTest.mouseClick(driver.pane(), Qt.MouseButton.LeftButton, CTRL, QPoint(left + 12, top))
    assert session.view.marked == {other.id}
    driver.key(Qt.Key.Key_U)
    whole = chosen(driver)
    assert (whole.bounds, np.array_equal(whole.mask.voxels, first.mask.voxels)) == (first.bounds, True)
    merged = [f for f in session.shown_findings if f.id == other.id]
    assert [(f.status, f.reason) for f in merged] == [(Status.REJECTED, f"merged into {whole.title}")]
    assert session.view.marked == frozenset()


def test_the_model_outlines_what_is_in_a_box_of_ones_own(driver: Driver) -> None:
    session = driver.session
    driver.key(Qt.Key.Key_K)
    driver.drag([driver.point((3, 26.5, 36.5)), driver.point((3, 30, 40)), driver.point((3, 40.5, 50.5))])
    box = chosen(driver)
    assert box.boxed
    assert box.model is None
    driver.key(Qt.Key.Key_C)
    driver.until(lambda: session.selected is not None and session.selected.model is not None)
    drawn = chosen(driver)
    assert (drawn.status, drawn.boxed, drawn.bounds) == (Status.EDITED, False, box.bounds)
    # The tiny network outlines what is brighter than the middle of its crop: the lump itself.
    voxels = np.zeros(drawn.mask.shape, bool)
    voxels[2:5, 30:37, 40:47] = True
    assert np.array_equal(drawn.mask.voxels, voxels)
    assert drawn.measures is not None
    assert session.undo_label == f"Outline {box.title}"
    card = driver.window.findings_panel.list.card
    assert card is not None
    assert any("edited by" in label.text() for label in card.findChildren(QLabel))


def test_named_from_the_table_by_keys(driver: Driver) -> None:
    session, first = driver.session, chosen(driver)
    driver.key(Qt.Key.Key_L, CTRL)
    finder = driver.window.term_finder
    assert finder.isVisible()
    QTest.keyClicks(finder.field, "solitary nodule")
    assert "427359005 SCT" in finder.list.item(0).text()
    QTest.keyClick(finder.field, Qt.Key.Key_Return)
    named = chosen(driver)
    assert (named.label, named.concept.value) == ("Solitary nodule of lung", "427359005")
    assert named.proposed is not None
    assert named.proposed.label == first.label
    assert session.undo_label == f"Relabel {first.title} as Solitary nodule of lung"


def test_a_code_of_ones_own_is_kept_and_used(driver: Driver) -> None:
    session, before = driver.session, chosen(driver)
    finder = driver.window.term_finder
    driver.key(Qt.Key.Key_L, CTRL)
    QTest.keyClicks(finder.field, "77 99MINE Odd thing")
    assert finder.list.item(0).text() == "Keep “Odd thing” as 77 99MINE, and call it so"
    QTest.keyClick(finder.field, Qt.Key.Key_Return)
    named = chosen(driver)
    assert (named.label, named.concept.value, named.concept.scheme) == ("Odd thing", "77", "99MINE")
    assert session.undo_label == f"Relabel {before.title} as Odd thing"
    driver.key(Qt.Key.Key_L, CTRL)
    QTest.keyClicks(finder.field, "odd")
    assert finder.list.item(0).text() == "Odd thing    77 99MINE"
