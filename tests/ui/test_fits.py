"""Nothing is cut off, on a laptop's screen as on a large one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtWidgets import QAbstractButton, QCheckBox, QLabel, QPushButton, QWidget

from overread.domain.finding import Code, Findings
from overread.session.terms import place
from overread.ui.elided import ElidedLabel
from support.series import head_like, write_series
from support.window import Driver

LONG = ("VON-DER-LANGEN-STRASSE^WILHELMINA ALEXANDRA", "0123456789-0123456789")


@pytest.mark.parametrize("size", [(1280, 800), (1366, 768), (1920, 1080)])
def test_nothing_is_cut_off(driver_of: Callable[..., Driver], tmp_path: Path, size: tuple[int, int]) -> None:
    write_series(
        tmp_path / "study",
        head_like((12, 128, 128)),
        spacing=(1.8, 1.8),
        step=6.0,
        patient=LONG,
        description="AX 3D FLAIR FS BRAIN LAB NAVIGATION POST",
        StudyDate="20200102",
        PatientBirthDate="19400305",
        PatientSex="F",
    )
    driver = driver_of(size=size)
    driver.open(tmp_path / "study")
    driver.read()
    session = driver.session
    (finding,) = session.shown_findings
    session.edit("Name", renamed(session.findings, finding.id, "FLAIR abnormality, left frontal"))
    driver.key(Qt.Key.Key_N)
    session.edit(*place(session.findings, finding.id, Code("83251001", "SCT", "Frontal lobe"), session.reader))
    clipped(driver.window)
    driver.key(Qt.Key.Key_A)
    driver.key(Qt.Key.Key_B)
    clipped(driver.window)
    driver.key(Qt.Key.Key_B)
    driver.key(Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    drawer = driver.window.findings_panel.export_panel
    driver.until(drawer.go.isEnabled)
    clipped(driver.window)
    driver.until(lambda: kinds_in_view(driver) >= 3, timeout=10_000)
    assert driver.window.findings_panel.list.isVisible() == (size[1] > 900), "on a low screen the drawer has its place"
    clipped(driver.window)
    driver.key(Qt.Key.Key_Escape)
    assert driver.window.findings_panel.list.isVisible()
    driver.key(Qt.Key.Key_Q)
    compare = driver.window.findings_panel.compare_panel
    driver.until(lambda: any("Dice" in label.text() for label in compare.findChildren(QLabel)))
    clipped(driver.window)
    driver.key(Qt.Key.Key_Q)
    driver.key(Qt.Key.Key_F1)
    driver.until(driver.window.sheet.isVisible)
    clipped(driver.window)


def test_what_is_selected_stays_in_view(driver_of: Callable[..., Driver], tmp_path: Path) -> None:
    voxels = head_like((12, 128, 128))
    for number in range(6):
        voxels[1 + number : 3 + number, 20 + 16 * number :, 20:30][:, :10] = voxels.max()
    write_series(tmp_path / "many", voxels, spacing=(1.8, 1.8), step=6.0)
    driver = driver_of(size=(1366, 768))
    driver.open(tmp_path / "many")
    driver.read()
    panel = driver.window.findings_panel
    assert len(panel.list.rows) >= 5
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)  # the last one
    driver.key(Qt.Key.Key_E)
    session = driver.session
    driver.until(lambda: panel.tool_box.brush_bar.isVisible())
    card = panel.list.card
    assert session.selected == panel.list.rows[-1].finding == card.finding
    driver.until(lambda: card.visibleRegion().boundingRect().height() == card.height(), timeout=5_000)


def kinds_in_view(driver: Driver) -> int:
    """How many rows of the export drawer can be seen whole without scrolling."""
    boxes = driver.window.findings_panel.export_panel.kinds.boxes.values()
    return sum(box.visibleRegion().boundingRect().height() >= box.height() for box in boxes)


def renamed(findings: Findings, finding_id: str, title: str) -> Findings:
    return tuple(replace(finding, label=title) if finding.id == finding_id else finding for finding in findings)


def clipped(window: QWidget) -> None:
    """Every label has the width that its text needs, or says with … that it has not; every button lies inside."""
    whole = QRect(QPoint(0, 0), window.size())
    for widget in window.findChildren(QWidget):
        if not widget.isVisible() or not isinstance(widget, QLabel | QAbstractButton):
            continue
        if widget.visibleRegion().isEmpty():  # scrolled away
            continue
        place = QRect(widget.mapTo(window, QPoint(0, 0)), widget.size())
        name = widget.text() or widget.accessibleName() or widget.objectName()
        assert whole.contains(place), f"“{name}” reaches out of the window: {place}"
        visible = widget.visibleRegion().boundingRect()
        assert visible.width() >= widget.width() - 1, f"“{name}” is covered at its side"
        if isinstance(widget, ElidedLabel):
            assert widget.full == widget.text() or widget.text().endswith("…")
            assert widget.toolTip() == widget.full
        elif isinstance(widget, QPushButton | QCheckBox) and widget.text() not in widget.toolTip():
            words = widget.fontMetrics().horizontalAdvance(widget.text().replace("&", ""))
            assert widget.width() >= words + 8, f"“{name}” has no room for its words"
        elif isinstance(widget, QLabel) and not widget.wordWrap():
            assert widget.width() >= widget.sizeHint().width(), f"“{name}” is cut off"
