"""Sorting, filtering, cutoffs and reasons on the screen, by keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from overread.domain.finding import Status
from overread.domain.listing import Order
from overread.ui.finding_card import FindingCard
from support.crowd import Crowd, CrowdDetector
from support.sitting import box_mask, finding_of
from support.window import Driver, near, pixels

AMBER = (0xF5, 0xB8, 0x3D)
SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def driver(driver_of: Callable[..., Driver], tmp_path: Path) -> Driver:
    """A series with 2 masks and 6 boxes, proposed."""
    driver = driver_of(models=0, size=(1600, 960))
    crowd = Crowd(2, 6)
    driver.open(crowd.write(tmp_path / "ct", "1.2.3.77", "LUNG AX"))
    propose(driver, {"LUNG AX": crowd})
    return driver


def propose(driver: Driver, crowds: dict[str, Crowd]) -> None:
    arrived: list[int] = []
    driver.session.run_plugin(CrowdDetector(crowds), arrived.append)
    driver.until(lambda: bool(arrived))


def numbers(driver: Driver) -> list[int]:
    return [row.finding.number for row in driver.window.findings_panel.list.rows]


def popup(driver: Driver) -> object:
    driver.until(lambda: QApplication.activePopupWidget() is not None)
    return QApplication.activePopupWidget()


def test_the_list_is_sorted_filtered_and_cut_by_keys(driver: Driver) -> None:
    panel, bar = driver.window.findings_panel, driver.window.findings_panel.listing_bar
    assert numbers(driver) == [1, 2, 3, 4, 5, 6, 7, 8]
    driver.key(Qt.Key.Key_L, SHIFT)
    driver.key(Qt.Key.Key_L, SHIFT)
    assert driver.session.view.listing.order is Order.SIZE
    sizes = [row.finding.mask.count for row in panel.list.rows]
    assert sizes == sorted(sizes, reverse=True)
    driver.key(Qt.Key.Key_Slash)
    QTest.keyClicks(bar.text, "mass")
    assert sorted(numbers(driver)) == [1, 2]
    assert bar.unseen.text() == "6 filtered out"
    driver.key(Qt.Key.Key_Return)
    driver.key(Qt.Key.Key_N)
    assert driver.session.selected is not None
    assert driver.session.selected.label == "Mass"
    driver.key(Qt.Key.Key_A, SHIFT)
    assert len(numbers(driver)) == 8
    assert driver.session.view.listing.order is Order.SIZE, "listing all again keeps the order"


def test_a_cutoff_takes_low_scores_from_list_and_image_and_leaves_them_undecided(driver: Driver) -> None:
    session, bar = driver.session, driver.window.findings_panel.listing_bar
    last = session.shown_findings[-1]
    driver.window.findings_panel._choose(last.id)
    assert near(pixels(driver.pane()), AMBER).sum() > 60
    for _ in range(13):
        driver.key(Qt.Key.Key_Period)
    assert session.view.selected is None, "what is not shown cannot be judged"
    assert session.view.listing.cutoff("crowd") == pytest.approx(0.65)
    assert bar.cutoffs["crowd"].slider.value() == 65
    kept = [f for f in session.shown_findings if f.score is not None and f.score >= 0.65]
    assert len(numbers(driver)) == len(kept) == 4
    assert bar.unseen.text() == "4 below 0.65 not shown"
    assert not any(mark.text.startswith(last.title) for mark in driver.pane()._box_marks(driver.pane().projection))
    assert {f.status for f in session.shown_findings} == {Status.PROPOSED}

    # Accept all shown is one step, and its name in the journal says what was shown.
    driver.key(Qt.Key.Key_A, CONTROL)
    assert [f.status for f in session.shown_findings].count(Status.ACCEPTED) == 4
    assert session.undo_label == "Accept 4 findings, of those shown (Crowd from 0.65)"
    assert driver.window.notice.hint.text() == "4 below 0.65 not shown."
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert {f.status for f in session.shown_findings} == {Status.PROPOSED}

    # The slider does the same.
    bar.cutoffs["crowd"].slider.setValue(0)
    assert len(numbers(driver)) == 8
    assert not bar.unseen.isVisible()


def test_a_reason_of_ones_own_and_a_list_of_ones_own(driver: Driver) -> None:
    session = driver.session
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_X)
    QTest.keyClick(popup(driver), Qt.Key.Key_6)
    QTest.keyClicks(popup(driver).own, "  motion  at the edge ")
    QTest.keyClick(popup(driver).own, Qt.Key.Key_Return)
    driver.until(lambda: QApplication.activePopupWidget() is None)
    first = session.shown_findings[0]
    assert (first.status, first.reason) == (Status.REJECTED, "motion at the edge")
    assert session.view.selected == session.shown_findings[1].id, "on to the next"

    driver.window.trigger("reasons")
    editor = popup(driver)
    editor.lines.setPlainText("calcified\n\nvessel\nvessel")
    editor.keep()
    driver.until(lambda: QApplication.activePopupWidget() is None)
    assert session.settings.reasons == ("calcified", "vessel")
    driver.key(Qt.Key.Key_X)
    QTest.keyClick(popup(driver), Qt.Key.Key_Escape)
    driver.until(lambda: QApplication.activePopupWidget() is None)
    assert session.shown_findings[1].status is Status.PROPOSED, "Escape rejects nothing"
    driver.key(Qt.Key.Key_X)
    QTest.keyClick(popup(driver), Qt.Key.Key_X)
    driver.until(lambda: QApplication.activePopupWidget() is None)
    assert session.shown_findings[1].reason == "calcified"


def test_a_key_never_judges_what_the_list_does_not_show(driver: Driver) -> None:
    session = driver.session
    driver.key(Qt.Key.Key_N)
    first = session.view.selected
    driver.key(Qt.Key.Key_X)
    QTest.keyClick(popup(driver), Qt.Key.Key_1)
    driver.until(lambda: QApplication.activePopupWidget() is None)
    session.set_view(session.view.__class__(**{**vars(session.view), "selected": first}))
    assert session.selected is not None
    driver.key(Qt.Key.Key_A)
    assert session.shown_findings[0].status is Status.REJECTED
    assert session.view.selected == session.shown_findings[1].id, "it goes to one that is shown instead"


def test_three_hundred_findings_stay_fluid(driver: Driver) -> None:
    session = driver.session
    assert session.image is not None
    stack = session.image.stack
    places = [(k, j, i) for k in range(1, 22) for j in range(10, 150, 36) for i in range(10, 150, 36)][:300]
    many = tuple(
        finding_of(stack, box_mask(stack.grid.shape, at, (2, 8, 8)), number=n, id=f"2.25.{n}", score=n / 300)
        for n, at in enumerate(places, start=1)
    )
    session.edit("Many", many)
    QApplication.processEvents()
    times = []
    for _ in range(20):
        for key in (Qt.Key.Key_N, Qt.Key.Key_A, Qt.Key.Key_Period, Qt.Key.Key_Comma):
            start = time.thread_time()
            driver.key(key)
            times.append(time.thread_time() - start)
    panel = driver.window.findings_panel
    assert len(numbers(driver)) == 300
    assert len(panel.list.findChildren(FindingCard)) <= 2, "rows are painted, not built"
    assert median(times) < 0.1, "what a key costs the window's thread, painting included"
