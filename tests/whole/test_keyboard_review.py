"""A study of two series with 30 boxes and 5 masks, reviewed and exported with real key events and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from overread import paths
from overread.domain.finding import Finding, Kind, Status
from overread.domain.listing import Order
from overread.session.journal import Journal, journal_path
from support.crowd import Crowd, CrowdDetector
from support.window import Driver

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
REASONS = ("artefact", "vessel", "normal variant", "duplicate", "wrong extent")
STUDY = "1.2.826.0.1.3680043.8.498.77"


class Hands:
    """Presses keys; keeps a book of its own of what each verdict should have made of each finding."""

    def __init__(self, driver: Driver) -> None:
        self.driver, self.session = driver, driver.session
        self.expected: dict[str, tuple[Status, str]] = {}

    def selected(self) -> Finding:
        finding = self.session.selected
        assert finding is not None
        assert finding.status is Status.PROPOSED, "N goes to what is undecided"
        return finding

    def accept(self) -> None:
        self.expected[self.selected().id] = Status.ACCEPTED, ""
        self.driver.key(Qt.Key.Key_A)

    def reject(self, digit: int, text: str = "") -> None:
        self.expected[self.selected().id] = Status.REJECTED, text or REASONS[digit - 1]
        self.driver.key(Qt.Key.Key_X)
        self.driver.until(lambda: QApplication.activePopupWidget() is not None)
        popup = QApplication.activePopupWidget()
        QTest.keyClick(popup, Qt.Key(Qt.Key.Key_0.value + digit))
        if text:
            field = popup.focusWidget()
            QTest.keyClicks(field, text)
            QTest.keyClick(field, Qt.Key.Key_Return)
        self.driver.until(lambda: QApplication.activePopupWidget() is None)

    def undo(self, finding: Finding) -> None:
        """Take the last verdict back."""
        self.driver.key(Qt.Key.Key_Z, CONTROL)
        del self.expected[finding.id]

    def review(self, most: int) -> None:
        """Judge what is selected, and what comes after it, one way and another."""
        for number in range(most):
            if number % 3 == 0:
                self.reject(number % 5 + 1)
            elif number == 4:
                self.reject(6, "coil near the skin")
            else:
                self.accept()

    def export(self, folder: Path) -> list[Path]:
        """Ctrl+E, Return, and what is new in the folder."""
        before = set(folder.glob("*.dcm"))
        self.driver.key(Qt.Key.Key_E, CONTROL)
        drawer = self.driver.window.findings_panel.export_panel
        self.driver.until(drawer.go.hasFocus)  # once it is known what can leave
        self.driver.key(Qt.Key.Key_Return)
        self.driver.until(lambda: "checked:" in drawer.result.text())
        self.driver.key(Qt.Key.Key_Escape)
        assert not drawer.isVisible()
        return sorted(set(folder.glob("*.dcm")) - before)


@pytest.fixture
def crowds() -> dict[str, Crowd]:
    return {"LUNG AX": Crowd(3, 17, seed=1), "ABDOMEN AX": Crowd(2, 13, seed=2)}


@pytest.fixture
def driver(driver_of: Callable[..., Driver], tmp_path: Path, crowds: dict[str, Crowd]) -> Driver:
    """The study open, both series read by a detector that knows where things are."""
    for name, crowd in crowds.items():
        crowd.write(tmp_path / "study" / name, STUDY, name)
    driver = driver_of(models=0, size=(1920, 1080))
    (tmp_path / "out").mkdir()
    habits = replace(driver.session.settings, reader="Ada Lovelace", export_folder=str(tmp_path / "out"))
    driver.session.change_settings(habits)
    driver.open(tmp_path / "study")
    detector = CrowdDetector(crowds)
    for _ in crowds:
        arrived: list[int] = []
        driver.session.run_plugin(detector, arrived.append)
        driver.until(lambda: bool(arrived))  # noqa: B023  waited for here
        driver.key(Qt.Key.Key_Tab)
        driver.until(lambda: driver.loaded)
    return driver


def tracked(item: Dataset) -> Iterator[str]:
    """All Tracking UIDs (112040, DCM) of a report."""
    for inner in item.get("ContentSequence", []):
        name = inner.get("ConceptNameCodeSequence", [Dataset()])[0]
        if name.get("CodeValue") == "112040":
            yield inner.UID
        yield from tracked(inner)


def test_a_study_is_reviewed_by_keyboard_alone(driver: Driver, tmp_path: Path) -> None:
    session, hands, notice = driver.session, Hands(driver), driver.window.notice
    kinds = [finding.kind for finding in session.findings]
    assert (kinds.count(Kind.DETECTION), kinds.count(Kind.SEGMENTATION)) == (30, 5)
    assert session.image is not None
    first, patient = session.image.stack, session.image.stack.identity
    start = session.findings

    # By score, the highest first, one after the other.
    driver.key(Qt.Key.Key_L, SHIFT)
    assert session.view.listing.order is Order.SCORE
    driver.key(Qt.Key.Key_N)
    assert hands.selected().score == max(f.score or 0 for f in session.shown_findings)
    assert hands.selected().measures is not None
    assert session.view.cursor[0] == hands.selected().measures.largest_slice  # type: ignore[union-attr]
    hands.review(7)

    # A verdict is taken back; the finding is gone back to and judged otherwise.
    second_thoughts = hands.selected()
    hands.accept()
    hands.undo(second_thoughts)
    driver.key(Qt.Key.Key_N, SHIFT)
    assert hands.selected().id == second_thoughts.id
    hands.reject(2)

    # What scores below 0.50 is put aside, all the rest accepted in one step; then what was put aside is looked at.
    for _ in range(10):
        driver.key(Qt.Key.Key_Period)
    aside = [f for f in session.shown_findings if f.status is Status.PROPOSED and (f.score or 0) < 0.5]
    rest = [f for f in session.shown_findings if f.status is Status.PROPOSED and (f.score or 0) >= 0.5]
    assert aside
    assert rest
    driver.key(Qt.Key.Key_A, CONTROL)
    hands.expected.update({f.id: (Status.ACCEPTED, "") for f in rest})
    assert f"{len(aside)} below 0.50 not shown" in notice.hint.text()
    driver.key(Qt.Key.Key_A, SHIFT)
    driver.key(Qt.Key.Key_N)
    hands.review(len(aside))

    # The first series leaves; the same key goes on to the second.
    assert notice.title.text() == "Nothing is left undecided on this series."
    assert "N goes on to" in notice.hint.text()
    written = hands.export(tmp_path / "out")
    driver.key(Qt.Key.Key_N)
    driver.until(lambda: driver.loaded)
    assert session.image.stack.uid != first.uid
    count = len(session.shown_findings)
    hands.review(count)
    assert notice.title.text() == "Nothing is left undecided."
    written += hands.export(tmp_path / "out")

    # Each finding became what the keys said, for the reason given, in the reader's name.
    assert len(hands.expected) == 35
    assert {f.id: (f.status, f.reason) for f in session.findings} == hands.expected
    assert set(REASONS) | {"coil near the skin"} == {f.reason for f in session.findings if f.reason}
    assert {f.reader.name for f in session.findings if f.reader} == {"Ada Lovelace"}
    assert [f.mask for f in session.findings] == [f.mask for f in start], "a verdict changes no voxel"

    # What left is what was accepted.
    accepted = {f.id for f in session.findings if f.status is Status.ACCEPTED}
    reports = [
        pydicom.dcmread(path) for path in written if pydicom.dcmread(path, specific_tags=["Modality"]).Modality == "SR"
    ]
    assert len(reports) == 2
    assert {uid for report in reports for uid in tracked(report)} == accepted
    segments = [
        segment.TrackingUID
        for path in written
        if (image := pydicom.dcmread(path)).Modality == "SEG"
        for segment in image.SegmentSequence
    ]
    masks = {f.id for f in session.findings if f.kind is Kind.SEGMENTATION}
    assert accepted & masks <= set(segments) <= accepted

    # The journal tells it all, unbroken, and reopened it says the same.
    journal = Journal(journal_path(paths.data() / "journals", patient), patient.study_uid)
    try:
        assert journal.broken() is None
        assert journal.replay().value == session.findings
        names = [entry.label for entry in journal.entries()]
        assert f"Accept {len(rest)} findings, of those shown (Crowd from 0.50)" in names
    finally:
        journal.close()

    # And every step of it can be taken back.
    while session.undo_label.startswith(("Accept", "Reject")):
        driver.key(Qt.Key.Key_Z, CONTROL)
    assert session.findings == start
