"""One plane of the image. It notes what changed and paints once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QEnterEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from overread.domain.finding import Finding, Status
from overread.domain.geometry import Floats, Plane
from overread.domain.heatmap import Heatmap
from overread.domain.view import Layout, Tool, slice_index
from overread.render.agreement import draw_agreement
from overread.render.boxes import BoxMark, box_marks, box_text
from overread.render.heat import shown_here
from overread.render.measures import MeasureMark, measure_marks
from overread.render.overlay import Layer, finding_layers
from overread.render.overlay import draw as draw_layers
from overread.render.projection import Projection, project
from overread.render.slices import compose
from overread.ui import captions, hands, looking, marks, notes
from overread.ui.desk import Desk
from overread.ui.gestures import Gesture, PanDrag, WindowDrag, ZoomDrag, draw
from overread.ui.hand import in_hand

_NOTCH = 120


class SlicePane(QWidget):
    """A picture of one plane with everything on it."""

    menu_asked = Signal(QPoint)
    double_clicked = Signal(object)
    entered = Signal(object)

    def __init__(self, desk: Desk, plane: Plane, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.desk, self.session, self.plane = desk, desk.session, plane
        self._gesture: Gesture | None = None
        self._picture: QImage | None = None
        self._bytes: NDArray[np.uint8] | None = None
        self._stale = self._redraft = True
        self._ground: NDArray[np.uint8] | None = None  # all but the selected finding and what is in the hand
        self._made_of: tuple[Any, ...] = ()
        self._chosen: list[Finding] = []
        self._mouse: QPointF | None = None
        self.boxes_here: list[BoxMark] = []
        self._measures: list[MeasureMark] = []
        self._heatmap: Heatmap | None = None
        self._wheel = 0
        self.painted = 0
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMinimumSize(160, 160)
        self.setAccessibleName(f"{plane.value} slices")

    def note(self) -> None:
        """Something that shows has changed; paint it when there is time."""
        self._stale = True
        self.update()

    def note_draft(self) -> None:
        """What is in the hand has changed, and nothing else."""
        self._redraft = True
        self.update()

    # Geometry

    @property
    def projection(self) -> Projection | None:
        """How the slice lies in the pane, in device pixels; None where there is no image."""
        image = self.session.image
        if image is None:
            return None
        ratio = self.devicePixelRatioF()
        size = max(1, round(self.width() * ratio)), max(1, round(self.height() * ratio))
        view = self.session.view
        index = slice_index(view, image.stack.grid, self.plane)
        return project(image.stack.grid, self.plane, index, size, view.camera(self.plane))

    @property
    def logical_pixels_per_mm(self) -> float:
        """Logical pixels for a millimetre."""
        projection = self.projection
        return projection.pixels_per_mm / self.devicePixelRatioF() if projection else 1.0

    def index_at(self, at: QPointF, *, anywhere: bool = False) -> Floats | None:
        """The fractional index (k, j, i) under a place; None off the picture, unless `anywhere`."""
        projection, ratio = self.projection, self.devicePixelRatioF()
        if projection is None:
            return None
        x, y = at.x() * ratio + 0.5, at.y() * ratio + 0.5  # the middle of the pixel that the pointer names
        return projection.to_index(x, y) if anywhere or projection.inside(x, y) else None

    def anchor_mm(self, at: QPointF) -> tuple[float, float]:
        """A place in mm from the middle of the pane, for zooming about it."""
        per_mm = self.logical_pixels_per_mm
        return (at.x() - self.width() / 2) / per_mm, (at.y() - self.height() / 2) / per_mm

    def pick(self, index: Floats) -> None:
        """Select the finding under a place, if there is one."""
        finding = self.desk.at(index)
        if finding is not None:
            self.session.set_view(replace(self.session.view, selected=finding.id))

    # Painting

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Compose if something changed, then put text and marks on it."""
        painter = QPainter(self)
        image, projection, view = self.session.image, self.projection, self.session.view
        state = 0 if image is None or projection is None else self._readiness(projection)
        if state != 1:  # else the picture covers all of the pane
            painter.fillRect(self.rect(), Qt.GlobalColor.black)
        if image is None or projection is None:
            painter.end()
            return
        width, height = float(self.width()), float(self.height())
        if state == 1:
            if self._stale or self._ground is None:
                self._compose(projection)
            if self._redraft:
                self._draft(projection)
            if self._picture is not None:
                painter.drawImage(QRectF(self.rect()), self._picture)
                self.desk.first_look.looked(image.stack.uid)
        elif state == 2:
            number = projection.index + 1
            reason = next((f for f in image.ready.failures if f.startswith(f"Slice {number}:")), "")
            marks.middle_text(painter, f"This slice cannot be shown. {reason}", width, height)
        marks.paint(painter, image, view, projection, width, height, self._probe())
        self._marks(painter, projection, width, height)
        painter.end()
        self.painted += 1

    def _readiness(self, projection: Projection) -> int:
        """1 where the slice can be shown, 0 while it is on its way, 2 where it cannot be read."""
        image = self.session.image
        assert image is not None
        if projection.axes.through == 0:
            return image.ready.slices[projection.index]
        return 1 if any(image.ready.slices) else 0

    def _compose(self, projection: Projection) -> None:
        image, view = self.session.image, self.session.view
        assert image is not None
        thick = 2.0 * self.devicePixelRatioF()
        visible = self.desk.visible()
        self.boxes_here = self._box_marks(projection)
        self._measures = measure_marks(visible, projection, view.selected)
        self._heatmap = self._heatmap_here(projection)
        agreement = self.desk.comparisons.now() if view.overlays and view.compare is not None else None
        beneath: dict[str, Any] = {
            "invert": view.invert,
            "findings": [finding for finding in visible if finding.id != view.selected],
            "live": self._live(projection) if view.overlays and view.compare is None else [],
            "boxes": self.boxes_here,
            "measures": self._measures,
            "heatmap": self._heatmap,
            "heat_opacity": view.heat_opacity,
            "original": view.original,
            "opacity": view.opacity,
            "thickness": thick,
        }
        made_of = (image, projection, view.window, beneath, agreement)
        if self._ground is None or self._made_of != made_of:
            picture = compose(image.volume, projection, view.window, **beneath)
            if agreement is not None:
                draw_agreement(picture, agreement, projection, view.opacity, thick)
            self._ground, self._made_of = picture, made_of
        self._chosen = [finding for finding in visible if finding.id == view.selected]
        self._stale, self._redraft = False, True

    def _draft(self, projection: Projection) -> None:
        """Put the selected finding and what is in the hand onto the picture.

        While a pen draws, and when it is lifted, nothing else of it is drawn again.
        """
        assert self._ground is not None
        view, axes, index = self.session.view, projection.axes, projection.index
        drafts = finding_layers(self._chosen, axes, index, view.selected, original=view.original)
        drafts += self.desk.drafts(axes, index)
        picture = self._ground
        if drafts:
            picture = picture.copy()
            draw_layers(picture, drafts, projection, view.opacity, 2.0 * self.devicePixelRatioF())
        self._bytes = picture  # QImage keeps no copy
        height, width = picture.shape[:2]
        self._picture = QImage(picture.data, width, height, width * 3, QImage.Format.Format_RGB888)
        self._redraft = False

    def _live(self, projection: Projection) -> list[Layer]:
        image = self.session.image
        if image is None:
            return []
        patches = self.session.runs.live(image.stack.uid, self.plane, projection.index)
        return [Layer(patch.mask, patch.start, Status.PROPOSED) for patch in patches]

    def _box_marks(self, projection: Projection) -> list[BoxMark]:
        """The boxes on the slice: of a model still at work first, then those of findings."""
        image, view = self.session.image, self.session.view
        if image is None or not view.overlays or view.compare is not None:
            return []
        fresh = self.session.runs.live_boxes(image.stack.uid, self.plane, projection.index, view.listing)
        marked = [BoxMark(box.edges, box_text(box.label, box.score)) for box in fresh]
        return marked + box_marks(self.desk.visible(), projection.axes, projection.index, view.selected, view.marked)

    def _heatmap_here(self, projection: Projection) -> Heatmap | None:
        """The heatmap of the selected finding, its own or one that was asked for, where it lies on this slice."""
        finding, view = self.session.selected, self.session.view
        if finding is None or finding.id in view.hidden or not (view.overlays and view.heatmap):
            return None
        seen = self.desk.heatmap(finding, self.plane, projection.index)
        return seen if seen is not None and shown_here(seen, projection) else None

    def _marks(self, painter: QPainter, projection: Projection, width: float, height: float) -> None:
        view, ratio = self.session.view, self.devicePixelRatioF()
        if not self._stale:
            captions.box_labels(painter, self.boxes_here, projection, ratio, width, height)
            notes.paint(painter, self.desk.visible(), projection, ratio, view.selected)
            captions.grips(painter, self.boxes_here, self._measures, projection, ratio)
            captions.measure_labels(painter, self._measures, projection, ratio, width, height)
            first = view.layout is Layout.ONE or self.plane is view.plane  # one key is enough
            asked = self.desk.comparisons.asked if view.overlays and first else None
            if asked is not None:
                captions.agreement_key(painter, asked[0].name, asked[1].name, width)
            elif self._heatmap is not None:
                captions.heat_key(painter, self._heatmap, projection, width, height)
        if view.layout is Layout.THREE:
            k, j, i = view.cursor
            x, y = projection.to_screen((float(k), float(j), float(i)))
            marks.crosshair(painter, x / ratio, y / ratio, width, height)
        in_hand(painter, self.desk.editor, projection, view, ratio, self._mouse)

    def _probe(self) -> str:
        """The value under the mouse, in real units."""
        image = self.session.image
        if image is None or self._mouse is None:
            return ""
        index = self.index_at(self._mouse)
        if index is None:
            return ""
        k, j, i = image.stack.grid.clamp(index)
        if image.ready.slices[k] != 1:
            return ""
        if image.volume.colour:
            red, green, blue = (int(v) for v in image.volume.voxels[k, j, i])
            return f"RGB {red} {green} {blue}"
        value = image.volume.value(k, j, i)
        text = f"{value:.0f}" if value == round(value) else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"
        return f"{text} {image.stack.units or ''}".strip()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Another size needs another picture."""
        self.note()

    # Mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Begin a gesture."""
        if self.session.image is None or self._gesture is not None:
            return
        at = event.position()
        self._mouse = at
        if event.button() is Qt.MouseButton.LeftButton:
            self._gesture = hands.pressed(self, at, event.modifiers())
            if self._gesture is not None:
                self.update()
            elif self.session.view.tool is Tool.WINDOW:
                self._gesture = WindowDrag(self, at)
            else:
                self._gesture = draw(self, at, shift=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        elif event.button() is Qt.MouseButton.MiddleButton:
            self._gesture = PanDrag(self, at)
        elif event.button() is Qt.MouseButton.RightButton:
            self._gesture = ZoomDrag(self, at)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Go on with it, and show the value under the mouse."""
        self._mouse = event.position()
        if self._gesture is not None:
            self._gesture.move(self._mouse)
        elif self.desk.measures.aiming:
            self.desk.measures.aim_at(self.plane, self.index_at(self._mouse, anywhere=True))
        else:
            self.setCursor(hands.cursor(self, self._mouse))
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """End it."""
        gesture, self._gesture = self._gesture, None
        if gesture is not None:
            gesture.release(event.position())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Show one plane alone, or three again; with a pen in hand it is just another press."""
        if event.button() is Qt.MouseButton.LeftButton and self.session.view.tool is Tool.WINDOW:
            self.double_clicked.emit(self.plane)
        else:
            self.mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Return closes the outline in hand or lets scribbles grow, Backspace takes back a corner."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.desk.editor.finish()
        elif event.key() == Qt.Key.Key_Backspace:
            self.desk.editor.step_back()
        else:
            super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Scroll, zoom, or size the brush. Fine wheels and touch pads add up to whole steps."""
        delta = event.angleDelta().y() or event.angleDelta().x()
        held = event.modifiers()
        if held & Qt.KeyboardModifier.ControlModifier:
            looking.zoom(self.session, self.plane, 1.15 ** (delta / _NOTCH), self.anchor_mm(event.position()))
            return
        if held & Qt.KeyboardModifier.AltModifier:
            self.desk.resize_brush(1.15 ** (delta / _NOTCH))
            return
        self._wheel += delta
        steps = int(self._wheel / _NOTCH)
        self._wheel -= steps * _NOTCH
        if steps and self.desk.boxes.drawing:
            self.desk.boxes.deepen(self.plane, steps)
        elif steps:
            fast = 10 if held & Qt.KeyboardModifier.ShiftModifier else 1
            looking.scroll(self.session, self.plane, -steps * fast)

    def enterEvent(self, event: QEnterEvent) -> None:  # noqa: N802
        """Keys now act on this plane."""
        self.entered.emit(self.plane)

    def leaveEvent(self, event: object) -> None:  # noqa: N802
        """No value and no brush where the mouse is not."""
        self._mouse = None
        self.update()
