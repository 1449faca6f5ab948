"""Where a finding is, said by keys: one step, on the card, in what leaves."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom import Dataset
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton

from overread.domain.finding import Status
from support.window import Driver

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def said(driver: Driver) -> str:
    card = driver.window.findings_panel.list.card
    assert card is not None
    return "\n".join(label.text() for label in card.findChildren(QLabel))


def sites(item: Dataset) -> list[str]:
    """The values of all Finding Sites (363698007, SCT) of a report."""
    found = []
    for inner in item.get("ContentSequence", []):
        if inner.get("ConceptNameCodeSequence", [Dataset()])[0].get("CodeValue") == "363698007":
            found.append(str(inner.ConceptCodeSequence[0].CodeValue))
        found += sites(inner)
    return found


def test_a_place_is_said_by_keys_and_leaves(driver: Driver, study: Path, tmp_path: Path) -> None:
    driver.open(study)
    driver.read()
    session = driver.session
    driver.key(Qt.Key.Key_N)
    before = session.selected
    assert before is not None
    assert "Frontal lobe" not in said(driver)
    driver.key(Qt.Key.Key_L, CTRL | SHIFT)
    finder = driver.window.site_finder
    assert finder.isVisible()
    driver.key(Qt.Key.Key_Escape)
    assert not finder.isVisible()
    card = driver.window.findings_panel.list.card
    assert card is not None
    (button,) = (one for one in card.findChildren(QPushButton) if one.text() == "Place…")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    QTest.keyClicks(finder.field, "frontal lobe")
    assert finder.list.item(0).text() == "Frontal lobe    83251001 SCT"
    QTest.keyClick(finder.field, Qt.Key.Key_Return)
    placed = session.selected
    assert placed is not None
    assert placed.anatomy is not None
    assert (placed.anatomy.value, placed.status) == ("83251001", Status.PROPOSED)
    assert session.undo_label == f"Place {before.title} in Frontal lobe"
    assert "in Frontal lobe" in said(driver)
    driver.key(Qt.Key.Key_Z, CTRL)
    assert session.selected == before
    driver.key(Qt.Key.Key_Y, CTRL)
    assert session.selected == placed
    image = session.image
    assert image is not None
    assert session.journal(image.stack.identity).replay().value == session.findings
    driver.key(Qt.Key.Key_A)
    driver.key(Qt.Key.Key_E, CTRL)
    drawer = driver.window.findings_panel.export_panel
    driver.until(drawer.go.isEnabled)
    drawer.name.setText("Ada Lovelace")
    drawer.folder.setText(str(tmp_path / "out"))
    drawer.start()
    driver.until(lambda: "checked:" in drawer.result.text())
    left = {one.Modality: one for one in map(pydicom.dcmread, (tmp_path / "out").glob("*.dcm"))}
    (segment,) = left["SEG"].SegmentSequence
    assert [code.CodeValue for code in segment.AnatomicRegionSequence] == ["83251001"]
    assert sites(left["SR"]) == ["83251001"]
