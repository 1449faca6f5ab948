"""SIGKILL in the middle of a review: the window opens again and everything up to the last finished step is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from overread import paths
from overread.session.journal import Journal
from support.models import bright_model
from support.series import head_like, write_series
from support.window import Driver

SCRIPT = """
import sys
from pathlib import Path
from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtTest import QTest
from overread import paths
from overread.ui.desktop import application, build_window

paths.model_folders = lambda: (paths.data() / "models",)
program = application()
window = build_window(program)
window.resize(1280, 800)
window.show()
window.open_paths([sys.argv[1]])
session = window.session


def step():
    if not window.isActiveWindow():
        window.activateWindow()
        return
    if not session.shown_findings:
        return
    if session.selected is None:
        QTest.keyClick(window, Qt.Key.Key_N)
        QTest.keyClick(window, Qt.Key.Key_B)
        return
    pane = window.panes.shown[0]
    at = pane.rect().center() + QPoint(-60 + 7 * len(session.selected.acts) % 120, -40)
    QTest.mousePress(pane, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    QTest.mouseMove(pane, at + QPoint(12, 5))
    QTest.mouseRelease(pane, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at + QPoint(12, 5))
    print(len(session.selected.acts), session.selected.mask.digest, flush=True)


timer = QTimer()
timer.timeout.connect(step)
timer.start(0)
program.exec()
"""


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    bright_model(paths.data() / "models", model_id="glioma-flair")
    write_series(
        tmp_path / "study", head_like((12, 128, 128)), spacing=(1.8, 1.8), step=6.0, WindowCenter=300, WindowWidth=800
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "study")], stdout=subprocess.PIPE, text=True, env=environment
    )
    yield process
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def test_killed_in_mid_review_nothing_finished_is_lost(
    reading: subprocess.Popen[str], driver_of: Callable[..., Driver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reading.stdout is not None
    seen = [reading.stdout.readline().split() for _ in range(9)]
    reading.send_signal(signal.SIGKILL)
    assert reading.wait() == -signal.SIGKILL
    seen += [line.split() for line in reading.stdout.read().splitlines() if len(line.split()) == 2]
    acts, digest = seen[-1]

    driver = driver_of(models=0, shipped=True)
    monkeypatch.setattr(paths, "model_folders", lambda: (paths.data() / "models",))
    driver.open(tmp_path / "study")
    (finding,) = driver.session.shown_findings
    assert len(finding.acts) - int(acts) in (0, 1), "more than the gesture in hand is lost"
    if len(finding.acts) == int(acts):
        assert finding.mask.digest == digest
    assert finding.original is not None
    assert driver.session.undo_label == "Brush Bright 1"
    assert driver.session.undo()

    (journal,) = (paths.data() / "journals").glob("*.sqlite")
    image = driver.session.image
    assert image is not None
    book = Journal(journal, image.stack.identity.study_uid)
    entries = list(book.entries())
    assert book.broken() is None
    book.close()
    assert entries[0].model == "glioma-flair 1.0.0"
    assert all(entry.reader and entry.at for entry in entries)
    assert json.loads(entries[1].change)["set"]
