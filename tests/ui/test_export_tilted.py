"""The export drawer over slices that a tilted gantry has sheared: refused, or resampled where the reader agrees."""

from __future__ import annotations

from pathlib import Path

import pydicom
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from support.findings import finding
from support.leaving import ball
from support.series import head_like, write_series
from support.window import Driver


def test_consent_is_asked_for_such_a_series_alone_and_each_time(driver: Driver, study: Path, tmp_path: Path) -> None:
    places = [(0.0, 1.1 * k, 3.0 * k) for k in range(12)]
    write_series(tmp_path / "tilted", head_like(), positions=places, modality="CT", description="Head")
    driver.open(tmp_path / "tilted")
    session = driver.session
    driver.until(lambda: session.image is not None and session.image.ready.whole)
    assert session.image is not None
    stack = session.image.stack
    session.edit("Draw", (finding(stack, ball(stack, (0.5, 0.4, 0.5), 0.2)),))
    driver.key(Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    drawer = driver.window.findings_panel.export_panel
    driver.until(drawer.go.isEnabled)
    drawer.name.setText("Ada Lovelace")
    drawer.folder.setText(str(tmp_path / "out"))
    assert drawer.resample.isVisible()
    assert not drawer.resample.isChecked()
    assert drawer.kinds._said["seg"].text() == "0 of 1"
    assert "--resample" in drawer.kinds.boxes["seg"].toolTip()
    assert drawer.go.text() == "Export SR"
    drawer.resample.click()
    assert drawer.kinds._said["seg"].text() == "1 of 1"
    assert drawer.go.text() == "Export SEG and SR"
    QTest.mouseClick(drawer.go, Qt.MouseButton.LeftButton)
    driver.until(lambda: "checked:" in drawer.result.text())
    assert "Resampled onto an upright grid" in drawer.result.text()
    left = [pydicom.dcmread(path) for path in (tmp_path / "out").glob("*.dcm")]
    assert sorted(str(one.Modality) for one in left) == ["CT"] * 12 + ["SEG", "SR"]
    drawer.hide()
    drawer.open()
    assert not drawer.resample.isChecked()
    drawer.hide()
    driver.open(study)
    driver.until(lambda: session.image is not None and session.image.stack.uid != stack.uid)
    drawer.open()
    assert not drawer.resample.isVisible()
