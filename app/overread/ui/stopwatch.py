"""What a reader feels, measured on the real window: painting a slice, and how long the window does not answer."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEvent, QPointF, Qt, QTimer
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication

from overread.domain.finding import Mask
from overread.domain.geometry import Grid, plane_axes
from overread.domain.view import Tool
from overread.session.records import parts
from overread.session.review import draw_new
from overread.session.session import Session
from overread.session.state import Phase
from overread.ui import looking
from overread.ui.desktop import application, build_window, display
from overread.ui.main_window import MainWindow
from overread.ui.slice_pane import SlicePane

_BEAT_MS = 2
_JUMPS = 20
_PATIENCE_S = 180.0


@dataclass(frozen=True)
class Felt:
    """Milliseconds, those of the peer (where there is one), and the circumstances in words."""

    values: tuple[float, ...]
    peer: tuple[float, ...]
    conditions: str


@contextmanager
def _window(home: Path) -> Iterator[tuple[QApplication, MainWindow]]:
    """A window of 1920 × 1080 with settings and journals of its own; without a screen Qt draws into memory."""
    if not display():
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    kept = os.environ.get("OVERREAD_HOME")
    os.environ["OVERREAD_HOME"] = str(home)
    program = application()
    window = build_window(program)
    window.resize(1920, 1080)
    window.show()
    try:
        yield program, window
    finally:
        window.close()
        if kept is None:
            del os.environ["OVERREAD_HOME"]
        else:
            os.environ["OVERREAD_HOME"] = kept


def _live(program: QApplication, until: Callable[[], bool]) -> float:
    """Let the window live until something holds; returns the seconds that took."""
    started = time.monotonic()
    while not until() and time.monotonic() - started < _PATIENCE_S:
        program.processEvents()
        time.sleep(0.0005)
    return time.monotonic() - started


def _settled(session: Session) -> bool:
    """Whether everything is loaded and read."""
    image = session.image
    if session.sources.scanning or image is None or not image.ready.complete:
        return False
    return not any(r.busy or r.phase is Phase.WAITING for r in session.runs.readings.values())


def _circumstances(program: QApplication, session: Session) -> str:
    read = [f"{r.model_id} {r.done}/{r.total}" for r in session.runs.readings.values() if r.total]
    shape = "×".join(str(n) for n in session.image.stack.grid.shape) if session.image else "nothing"
    return f"{shape}, read by {', '.join(read) or 'no model'}, Qt on {program.platformName()}, {os.cpu_count()} cores"


def scrolling(folder: Path, home: Path, steps: int) -> Felt:
    """From a step of the wheel until the slice is painted, findings on; pyqtgraph's ImageItem paints it without any."""
    import pyqtgraph  # here alone: it would weigh on the start that is measured

    with _window(home) as (program, window):
        window.open_paths([folder])
        session = window.session
        _live(program, lambda: _settled(session))
        pane, image = window.panes.shown[0], session.image
        assert image is not None
        plot = pyqtgraph.GraphicsLayoutWidget()
        item = pyqtgraph.ImageItem(axisOrder="row-major")
        plot.addViewBox().addItem(item)
        plot.resize(pane.size())
        plot.show()
        program.processEvents()
        ours: list[float] = []
        others: list[float] = []
        for n in range(steps + 5):
            k = (n * 7) % image.stack.grid.shape[0]
            started = time.perf_counter()
            session.set_view(replace(session.view, cursor=(k, *session.view.cursor[1:])))
            pane.repaint()
            ours.append((time.perf_counter() - started) * 1000)
            started = time.perf_counter()
            item.setImage(np.asarray(image.volume.voxels[k]), levels=(0, 700))
            plot.viewport().repaint()
            others.append((time.perf_counter() - started) * 1000)
        plot.close()
        where = f"pane of {pane.width()}×{pane.height()}, {len(session.shown_findings)} findings, "
        return Felt(tuple(ours[5:]), tuple(others[5:]), where + _circumstances(program, session))


def stalls(folder: Path, home: Path) -> Felt:
    """Gaps between turns of the event loop while a series loads and models read all of it, the reader scrolling."""
    gaps: list[float] = []
    with _window(home) as (program, window):
        for _ in range(50):
            program.processEvents()
        session = window.session
        last = time.perf_counter()

        def beat() -> None:
            nonlocal last
            now = time.perf_counter()
            gaps.append((now - last) * 1000)
            last = now
            image = session.image
            if image is not None and len(gaps) % 10 == 0:
                bottom = session.view.cursor[0] == image.stack.grid.shape[0] - 1
                looking.scroll(session, session.view.plane, -40 if bottom else 1)

        timer = QTimer()
        timer.setInterval(_BEAT_MS)
        timer.timeout.connect(beat)
        timer.start()
        window.open_paths([folder])
        seconds = _live(program, lambda: _settled(session))
        timer.stop()
        return Felt(tuple(gaps), (), f"{_circumstances(program, session)}, {seconds:.1f} s in all")


def overlays(folder: Path, home: Path, per_second: int) -> tuple[Felt, Felt, Felt]:
    """Scroll through a series that is being read: the share of frames, in percent, painted without their overlay.

    The first one while the model reads, the second one when everything is read. The third is how long the overlay
    takes after a jump to a slice not yet read, in multiples of the model's own median time.
    """
    with _window(home) as (program, window):
        session = window.session
        window.open_paths([folder])
        _live(program, lambda: session.image is not None and session.image.ready.complete and _reading(session))
        jumps = _jumps(program, session)
        first = _without(program, window, per_second)
        _live(program, lambda: _settled(session))
        later = _without(program, window, per_second)
        where = _circumstances(program, session)
        return Felt((first,), (), where), Felt((later,), (), where), Felt(jumps, (), f"{len(jumps)} jumps, {where}")


def _reading(session: Session) -> bool:
    return any(r.phase is Phase.RUNNING and len(r.times_ms) > 2 for r in session.runs.readings.values())


def _there(session: Session) -> bool:
    """Whether the overlay of the slice on screen is there."""
    image, view = session.image, session.view
    axes = plane_axes(image.stack.grid, view.plane) if image else None
    return bool(image and axes and session.runs.has_read(image.stack.uid, view.plane, view.cursor[axes.through]))


def _jumps(program: QApplication, session: Session) -> tuple[float, ...]:
    image = session.image
    assert image is not None
    slices = image.stack.grid.shape[0]
    times: list[float] = []
    for n in range(_JUMPS):
        for step in range(10):  # the wheel runs, and then stops on a slice that nobody has read
            k = (slices - 1 - 7 * n - (9 - step)) % slices
            session.set_view(replace(session.view, cursor=(k, *session.view.cursor[1:])))
            program.processEvents()
        if _there(session):
            continue
        waited = _live(program, lambda: _there(session))
        own = [np.median(r.times_ms) for r in session.runs.readings.values() if r.times_ms]
        times.append(waited * 1000 / float(sum(own)))
    return tuple(times)


def _without(program: QApplication, window: MainWindow, per_second: int) -> float:
    """Scroll from the first slice to the last one; the share of frames without an overlay, in percent."""
    session, pane, missing = window.session, window.panes.shown[0], 0
    assert session.image is not None
    count = session.image.stack.grid.shape[0]
    began = time.monotonic()
    for k in range(count):
        while time.monotonic() < began + k / per_second:
            program.processEvents()
            time.sleep(0.0005)
        session.set_view(replace(session.view, cursor=(k, *session.view.cursor[1:])))
        missing += not _there(session)
        pane.repaint()
    return 100.0 * missing / count


def first_overlay(folder: str, home: str) -> None:
    """Open a series in a new window and say, on stdout, at which moment of `time.monotonic` its overlay was painted."""
    with _window(Path(home)) as (program, window):
        window.open_paths([folder])
        _live(program, lambda: _there(window.session))
        window.panes.shown[0].repaint()
        sys.stdout.write(f"{time.monotonic()}\n")
        sys.stdout.flush()


def strokes(folder: Path, home: Path, steps: int, count: int) -> tuple[Felt, Felt, Felt, Felt]:
    """A brush on one of ten large findings that all cross the slice on screen.

    The milliseconds from each of `steps` moves of the mouse, pen down, until it is painted; those that the window is
    held when the pen is lifted, of `count` strokes; those until each is in the journal and shown as a step; and the
    mebibytes that undoing them all holds.
    """
    with _window(home) as (program, window):
        session, pane = window.session, window.panes.shown[0]
        session.change_settings(replace(session.settings, models_on=()))
        window.open_paths([folder])
        _live(program, lambda: _settled(session))
        assert session.image is not None
        stack = session.image.stack
        for n, mask in enumerate(_ten(stack.grid)):
            label, findings, new_id = draw_new(session.findings, mask, stack, session.reader)
            session.edit(label, findings)
            if n == 0:
                session.set_view(replace(session.view, selected=new_id))
        session.set_view(replace(session.view, tool=Tool.BRUSH))
        pane = window.panes.shown[0]
        program.processEvents()
        middle, across = QPointF(pane.rect().center()), pane.height() / 4

        def at(n: float) -> QPointF:
            return middle + QPointF(across * np.cos(n / 9), across * np.sin(n / 7))

        _mouse(pane, QEvent.Type.MouseButtonPress, at(0))
        moves = [_mouse(pane, QEvent.Type.MouseMove, at(n)) for n in range(1, steps + 6)][5:]
        _mouse(pane, QEvent.Type.MouseButtonRelease, at(steps))
        ends: list[float] = []
        kept: list[float] = []
        held = parts(session.findings)
        megabytes = sum(len(finding.mask.packed) for finding in session.shown_findings) / 2**20
        where = (
            f"pane of {pane.width()}×{pane.height()}, {len(session.shown_findings)} findings of {megabytes:.1f} MiB, "
            + _circumstances(program, session)
        )
        for n in range(count):  # what one erases the next one draws: each of them changes something
            session.set_view(replace(session.view, tool=Tool.BRUSH if n % 2 else Tool.ERASER))
            program.processEvents()
            place = 20 * (n // 2)
            _mouse(pane, QEvent.Type.MouseButtonPress, at(place))
            _mouse(pane, QEvent.Type.MouseMove, at(place + 3))
            ends.append(_mouse(pane, QEvent.Type.MouseButtonRelease, at(place + 3)))
            kept.append(ends[-1] + 1000 * _live(program, lambda: not window.desk.pen.keeping))
            held |= parts(session.findings)
            program.processEvents()
            program.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # as the event loop does, which is not running
        undone = sum(session.undo() for _ in range(count))
        memory = Felt((sum(held.values()) / 2**20,), (), f"{undone} of {count} strokes undone, {where}")
        return Felt(tuple(moves), (), where), Felt(tuple(ends), (), where), Felt(tuple(kept), (), where), memory


def _mouse(pane: SlicePane, kind: QEvent.Type, at: QPointF) -> float:
    """Send a mouse event and have the pane painted; the milliseconds that took."""
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    button = none if kind is QEvent.Type.MouseMove else left
    held = none if kind is QEvent.Type.MouseButtonRelease else left
    event = QMouseEvent(kind, at, pane.mapToGlobal(at), button, held, Qt.KeyboardModifier.NoModifier)
    started = time.perf_counter()
    QApplication.sendEvent(pane, event)
    pane.repaint()
    return (time.perf_counter() - started) * 1000


def _ten(grid: Grid) -> Iterator[Mask]:
    """Ten ellipsoids on a ring around the middle of a grid, each a third of its width across."""
    middle, size = np.array(grid.shape) / 2, np.array(grid.shape) / 6
    ball = (
        np.linspace(-1, 1, int(size[0]) * 2),
        np.linspace(-1, 1, int(size[1]) * 2),
        np.linspace(-1, 1, int(size[2]) * 2),
    )
    k, j, i = np.meshgrid(*ball, indexing="ij", sparse=True)
    voxels = np.asarray(k * k + j * j + i * i <= 1)
    for n in range(10):
        ring = np.array([0, np.sin(n * np.pi / 5), np.cos(n * np.pi / 5)]) * size * 1.5
        k0, j0, i0 = (int(x) for x in middle + ring - np.array(voxels.shape) / 2)
        yield Mask.of(voxels, (k0, j0, i0), grid.shape)
