"""Brush, eraser and smart brush: the stroke that is in the hand and not yet finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Lock

import numpy as np
from PySide6.QtCore import QCoreApplication, QEvent, QObject

from overread.domain.errors import UserError
from overread.domain.finding import Bools, Finding, Kind, Mask, Measures, Status, find
from overread.domain.geometry import Box, Floats, Plane, PlaneAxes, nearest, plane_axes
from overread.domain.study import Stack
from overread.domain.view import Tool
from overread.imaging.editing.intensity import along_edges
from overread.imaging.editing.limits import Limits
from overread.imaging.editing.parts import Logic, combined
from overread.imaging.paint import Stroke, empty
from overread.render.overlay import Layer, slice_layer
from overread.session.records import pack
from overread.session.review import draw_new, measured, redraw
from overread.session.session import Session

_VERBS = {Tool.BRUSH: "Brush", Tool.ERASER: "Erase", Tool.SMART: "Smart brush"}
# Up to so many voxels around a stroke, a finding is measured and packed within a frame, and no worker is asked.
_AT_ONCE = 1 << 20
# What a reader may do next that has to find the stroke in the journal. Moving the mouse is none of it.
_NEXT = {
    QEvent.Type.KeyPress,
    QEvent.Type.ShortcutOverride,
    QEvent.Type.Shortcut,
    QEvent.Type.MouseButtonPress,
    QEvent.Type.MouseButtonDblClick,
    QEvent.Type.TabletPress,
    QEvent.Type.TouchBegin,
    QEvent.Type.ContextMenu,
    QEvent.Type.Wheel,
    QEvent.Type.Drop,
    QEvent.Type.Close,
    QEvent.Type.Quit,
}


class _Lifted:
    """A finished stroke. Whoever asks first for what it made works it out, a worker or the window; once."""

    def __init__(self, stroke: Stroke, target: Finding, verb: str, stack: Stack) -> None:
        self.target, self.verb, self.stack = target, verb, stack
        self._stroke, self._lock = stroke, Lock()
        self._made: tuple[Mask, Measures | None] | None = None

    def made(self) -> tuple[Mask, Measures | None]:
        """The voxels and what is measured on them, ready for the journal."""
        with self._lock:
            if self._made is None:
                mask = self._stroke.mask
                if mask != self.target.mask:
                    pack(mask)
                    self._made = mask, measured(mask, self.stack)
                else:
                    self._made = mask, self.target.measures
            return self._made


class Pen(QObject):
    """A stroke from the press of the button to its release; lifted, it is one named step.

    A worker measures and packs what is large; the stroke is shown meanwhile, and stands in the journal before anything
    that the reader does next.
    """

    def __init__(
        self,
        session: Session,
        limits: Callable[[], Limits],
        told: Callable[[str, str, str], None],
        parent: QObject | None = None,
    ) -> None:
        """`limits` says where tools may draw now."""
        super().__init__(parent)
        self._session, self._limits_now, self._told = session, limits, told
        self._stroke: Stroke | None = None
        self._lifted: _Lifted | None = None
        self._limits: Limits | None = None
        self._at: Floats = np.zeros(3)
        self.target: Finding | None = None
        session.leaving.connect(self.settle)

    @property
    def down(self) -> bool:
        """Whether it draws."""
        return self._stroke is not None and self._lifted is None

    @property
    def keeping(self) -> bool:
        """Whether a stroke is finished and not yet in the journal."""
        return self._lifted is not None

    def begin(self, index: Floats, plane: Plane) -> bool:
        """Put the pen down at a fractional index (k, j, i) of a plane. Returns whether it draws."""
        self.settle()
        session = self._session
        image, view, brush = session.image, session.view, session.view.brush
        if image is None or view.tool not in _VERBS:
            return False
        grid = image.stack.grid
        if not grid.oriented:
            session.fail(UserError("This image has no place in the patient, so nothing can be drawn on it yet."))
            return False
        target = session.selected
        drawn = target is not None and target.kind in (Kind.SEGMENTATION, Kind.DETECTION)
        if target is not None and (target.status is Status.REJECTED or not drawn):
            target = None
        erase = view.tool is Tool.ERASER
        if target is None and erase:
            self._told("Select the finding to erase from.", "Click it in the list, or press N.", "")
            return False
        limits = self._limits_now()
        self._limits = None if limits.free else limits
        touched = self._touched if self._limits is not None or view.tool is Tool.SMART else None
        through = None if brush.sphere else plane_axes(grid, plane).through
        base = target.mask if target is not None else empty(grid.shape)
        self._stroke = Stroke(grid, base, brush.diameter_mm, erase=erase, through=through, touched=touched)
        self.target, self._at = target or self._blank(), index
        self.extend(index)
        return True

    def _blank(self) -> Finding:
        image = self._session.image
        assert image is not None
        _, findings, new_id = draw_new((), empty(image.stack.grid.shape), image.stack, self._session.reader)
        made = find(findings, new_id)
        assert made is not None
        return made

    def _touched(self, box: Box, inside: Bools) -> Bools:
        """What the pen may touch of the voxels under it: within the limits, and on its side of an edge."""
        image = self._session.image
        assert image is not None
        if self._session.view.tool is Tool.SMART:
            k, j, i = (int(n) - part.start for n, part in zip(nearest(self._at), box, strict=True))
            inside = along_edges(image.volume.real(box), inside, (k, j, i))
        return inside if self._limits is None else inside & self._limits(box)

    def extend(self, index: Floats) -> None:
        """Draw on to a fractional index; the smart brush in steps of a quarter of its size, to look at each anew."""
        stroke, image = self._stroke, self._session.image
        if stroke is None or image is None or not self.down:
            return
        start, self._at = self._at, index
        if self._session.view.tool is Tool.SMART:
            way = float(np.linalg.norm((index - start) * image.stack.grid.spacing))
            count = max(1, int(np.ceil(4 * way / self._session.view.brush.diameter_mm)))
            for n in range(1, count + 1):
                self._at = start + (index - start) * (n / count)
                stroke.extend(self._at)
        else:
            stroke.extend(index)

    def lift(self) -> None:
        """Lift the pen: one named step."""
        stroke, target, image = self._stroke, self.target, self._session.image
        if stroke is None or target is None or image is None or not self.down:
            return
        verb = _VERBS.get(self._session.view.tool, "Brush")
        lifted = self._lifted = _Lifted(stroke, target, verb, image.stack)
        if stroke.size <= _AT_ONCE:
            self.settle()
            return
        program = QCoreApplication.instance()
        assert program is not None
        program.installEventFilter(self)
        self._session.jobs.call(
            "Keeping the stroke",
            lambda job: lifted.made(),
            lambda made: self.settle() if self._lifted is lifted else None,
            partial(self._failed, lifted),
            quiet=True,
        )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """What the reader does next finds the stroke done."""
        if event.type() in _NEXT:
            self.settle()
        return False

    def settle(self) -> None:
        """Have a lifted stroke in the journal and among the findings now, if there is one."""
        lifted = self._lifted
        if lifted is None:
            return
        try:
            mask, measures = lifted.made()
        except MemoryError as error:
            self._failed(lifted, error)
            return
        self.drop()
        self._step(lifted, mask, measures)

    def _failed(self, lifted: _Lifted, error: BaseException) -> None:
        if self._lifted is lifted:
            self.drop()
            self._session.fail(error)

    def _step(self, lifted: _Lifted, mask: Mask, measures: Measures | None) -> None:
        session, target, stack = self._session, lifted.target, lifted.stack
        findings, reader = session.findings, session.reader
        now = find(findings, target.id)
        if mask == target.mask or session.image is None or session.image.stack.uid != stack.uid:
            return
        if now is not None or target.given:
            # a proposal that went away while the pen was down comes back with what was drawn, and its model's name
            findings = findings if now is not None else (*findings, target)
            if now is not None and now.mask != target.mask:  # a worker has changed it meanwhile: draw on what it made
                mask, measures = _onto(now.mask, target.mask, mask), None
            session.edit(*redraw(findings, target.id, mask, stack, reader, lifted.verb, measures))
        elif mask:
            label, findings, new_id = draw_new(findings, mask, stack, reader, measures)
            if session.edit(label, findings):
                session.set_view(replace(session.view, selected=new_id))

    def drawn(self, target: Finding) -> Finding:
        """A finding with the voxels that the stroke has made so far."""
        return target if self._stroke is None else replace(target, mask=self._stroke.mask, status=Status.EDITED)

    def drop(self) -> None:
        """Forget the stroke."""
        if self._lifted is not None:
            program = QCoreApplication.instance()
            assert program is not None
            program.removeEventFilter(self)
        self._stroke = self.target = self._lifted = None

    def drafts(self, axes: PlaneAxes, index: int) -> list[Layer]:
        """The stroke as it lies in a slice, with the finding that it changes."""
        if self._stroke is None or self.target is None:
            return []
        start, voxels = self._stroke.section(axes.through, index)
        layer = slice_layer(voxels, start, self.target.mask.shape, axes, Status.EDITED, selected=True)
        return [replace(layer, quick=True)] if layer else []


def _onto(now: Mask, before: Mask, after: Mask) -> Mask:
    """What is there now, with what a stroke added to what was there before, and without what it took away."""
    drawn = combined(now, combined(after, before, Logic.SUBTRACT), Logic.UNION)
    return combined(drawn, combined(before, after, Logic.SUBTRACT), Logic.SUBTRACT)
