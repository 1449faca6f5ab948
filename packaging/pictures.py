"""Make the README's pictures anew, from the synthetic demo study alone.

    .venv/bin/python packaging/pictures.py

Works with or without a screen; the pictures go to packaging/pictures.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "pictures"
SIZE = (1680, 1050)


def main() -> int:
    """Drive the window through the main job and keep what it looks like."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as home:
        os.environ["OVERREAD_HOME"] = home
        return _drive(Path(home))


def _drive(home: Path) -> int:
    from PySide6.QtCore import QPoint, Qt
    from PySide6.QtTest import QTest

    from overread.dicom.demo import ensure_demo
    from overread.session.state import Phase
    from overread.ui.desktop import application, build_window

    program = application()
    window = build_window(program)
    session = window.session
    session.change_settings(replace(session.settings, reader="Ada Lovelace"))
    window.resize(*SIZE)
    window.show()
    FOLDER.mkdir(exist_ok=True)

    def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise TimeoutError("the window did not get there")
            program.processEvents()

    def settled() -> bool:
        card = window.findings_panel.list.card
        return card is None or card.portrait is None or card.portrait.fresh

    def keep(name: str) -> None:
        until(settled)
        QTest.qWait(500)  # the status bar looks round a few times a second
        window.grab().save(str(FOLDER / f"{name}.png"))
        sys.stdout.write(f"{FOLDER.name}/{name}.png\n")

    window.open_paths([ensure_demo(home)])
    until(lambda: session.image is not None and session.image.ready.complete and not session.sources.scanning)
    over = (Phase.DONE, Phase.NOTHING, Phase.CLOSED, Phase.OFF)
    readings = session.runs.readings
    until(lambda: readings["glioma-flair"].phase is Phase.DONE and all(r.phase in over for r in readings.values()))
    until(lambda: session.jobs.running == ())
    window.trigger("next-finding")
    until(lambda: not window.notice.isVisible())
    keep("proposal")
    window.trigger("layout")
    window.trigger("brush")
    QTest.qWait(200)  # the panes find their new sizes
    pane = window.panes.shown[0]
    finding, projection = session.selected, pane.projection
    if finding is None or projection is None:
        raise RuntimeError("the model proposes nothing on the demo study")
    k = session.view.cursor[0]
    rows, columns = finding.mask.voxels[k].nonzero()
    x, y = projection.to_screen((float(k), float(rows.mean()), float(columns.max() - 2)))
    ratio = pane.devicePixelRatioF()
    start = QPoint(round(x / ratio), round(y / ratio))
    QTest.mousePress(pane, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    for step in range(6):
        QTest.mouseMove(pane, start + QPoint(0, step))
        program.processEvents()
    QTest.mouseRelease(pane, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start + QPoint(0, 6))
    window.trigger("original")
    keep("edit")
    window.trigger("original")
    window.trigger("brush")
    window.trigger("layout")
    window.trigger("export")
    drawer = window.findings_panel.export_panel
    os.chdir(home)
    until(drawer.go.isEnabled)
    drawer.folder.setText("Overread")
    drawer.start()
    until(lambda: "checked" in drawer.result.text())
    keep("export")
    window.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
