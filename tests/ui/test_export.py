"""The export drawer: profile and kinds, what leaves and what stays, the signature; nothing of it modal."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from overread.domain.finding import Status
from overread.session.review import accept, reject
from overread.ui.export_panel import ExportPanel
from support.window import Driver


@pytest.fixture
def drawer(driver: Driver, study: Path, tmp_path: Path) -> ExportPanel:
    """The drawer over a study whose first finding is accepted and the others are rejected."""
    driver.open(study)
    driver.read()
    session = driver.session
    first, *others = session.shown_findings
    session.edit(*accept(session.findings, [first.id], session.reader))
    if others:
        session.edit(*reject(session.findings, [one.id for one in others], session.reader, "vessel"))
    driver.key(Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    panel = driver.window.findings_panel.export_panel
    driver.until(panel.go.isEnabled)
    panel.name.setText("Ada Lovelace")
    panel.folder.setText(str(tmp_path / "out"))
    return panel


def export(driver: Driver, drawer: ExportPanel) -> dict[str, pydicom.Dataset]:
    QTest.mouseClick(drawer.go, Qt.MouseButton.LeftButton)
    driver.until(lambda: "checked:" in drawer.result.text())
    read = [pydicom.dcmread(path) for path in Path(drawer.folder.text()).glob("*.dcm")]
    return {str(one.Modality): one for one in read}


def test_the_standard_profile_is_ticked_and_says_what_would_be_in_each_kind(drawer: ExportPanel) -> None:
    assert (drawer.kinds.profile.currentText(), drawer.go.text()) == ("standard", "Export SEG and SR")
    assert [name for name, box in drawer.kinds.boxes.items() if box.isChecked()] == ["seg", "sr"]
    assert drawer.kinds._said["seg"].text() == "1 of 1"
    assert QApplication.activeModalWidget() is None


def test_kinds_that_are_ticked_by_hand_leave(driver: Driver, drawer: ExportPanel) -> None:
    drawer.kinds.boxes["sr"].click()
    assert drawer.kinds.profile.currentText() == "chosen by hand"
    assert drawer.go.text() == "Export SEG"
    assert set(export(driver, drawer)) == {"SEG"}


def test_nothing_is_ticked_and_nothing_leaves(drawer: ExportPanel) -> None:
    for name in ("seg", "sr"):
        drawer.kinds.boxes[name].click()
    assert not drawer.go.isEnabled()


def test_a_signature_is_asked_for_each_time(driver: Driver, drawer: ExportPanel) -> None:
    drawer.sign.click()
    assert export(driver, drawer)["SR"].VerificationFlag == "VERIFIED"
    drawer.hide()
    drawer.open()
    assert not drawer.sign.isChecked()


def test_nobody_signs_while_findings_wait(driver: Driver, drawer: ExportPanel) -> None:
    drawer.sign.click()
    session = driver.session
    session.undo()
    while any(finding.status is not Status.PROPOSED for finding in session.shown_findings):
        assert session.undo()
    assert not drawer.sign.isEnabled()
    assert not drawer.sign.isChecked()
    assert not drawer.go.isEnabled()


def test_the_second_report_names_the_first(driver: Driver, drawer: ExportPanel, tmp_path: Path) -> None:
    first = export(driver, drawer)["SR"]
    drawer.folder.setText(str(tmp_path / "again"))
    drawer.result.clear()
    second = export(driver, drawer)["SR"]
    (series,) = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_the_patient_is_taken_out_where_the_switch_is_on(driver: Driver, drawer: ExportPanel) -> None:
    assert not drawer.nameless.more.isVisible()
    drawer.nameless.switch.click()
    assert drawer.nameless.more.isVisible()
    drawer.nameless.images.click()
    image = driver.session.image
    assert image is not None
    who, series = image.stack.identity, len(image.stack.frames)
    QTest.mouseClick(drawer.go, Qt.MouseButton.LeftButton)
    driver.until(lambda: "checked:" in drawer.result.text())
    left = [pydicom.dcmread(path) for path in Path(drawer.folder.text()).glob("*.dcm")]
    assert len(left) >= series + 2
    assert {one.PatientIdentityRemoved for one in left} == {"YES"}
    assert who.patient_id not in {str(one.PatientID) for one in left}
    assert len({str(one.StudyInstanceUID) for one in left}) == 1
    assert len(list(Path(drawer.folder.text()).glob("DEIDENTIFICATION_*"))) == 2
    *_, entry = driver.session.journal(who).entries()
    assert entry.label.startswith("De-identified: SEG_")
