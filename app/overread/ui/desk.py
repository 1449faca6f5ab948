"""Where the reader works: the session, and what is only in the hand, such as a stroke that is not finished."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind, Status, find
from overread.domain.geometry import Box, Floats, Plane, nearest, plane_axes
from overread.domain.view import Tool
from overread.imaging.paint import Stroke, empty
from overread.session.explanations import Explanations
from overread.session.imports import Imports
from overread.session.review import accept, draw_new, redraw, reject, restore, undecided
from overread.session.session import Session
from overread.ui import looking

# Why readers reject; the first one is what a second X takes.
REASONS = ("artefact", "vessel", "normal variant", "duplicate", "wrong extent", "not a lesion")


class Desk(QObject):
    """What actions act upon."""

    draft_changed = Signal()
    explained = Signal()
    imported = Signal()  # what others found was read, or is no longer there
    told = Signal(str, str, str)  # title, hint, kind ("good" or "")
    asked_reason = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.explanations = Explanations(session, self.explained.emit)
        self.imports = Imports(session, self.imported.emit)
        self._stroke: Stroke | None = None
        self._target: Finding | None = None

    # Findings on the image

    def visible(self) -> list[Finding]:
        """The findings to draw, with the stroke in hand."""
        view = self.session.view
        if not view.overlays:
            return []
        shown = [f for f in self.session.shown_findings if f.id not in view.hidden]
        if not view.rejected:
            shown = [f for f in shown if f.status is not Status.REJECTED]
        if self._stroke is not None and self._target is not None:
            drawn = replace(self._target, mask=self._stroke.mask, status=Status.EDITED)
            shown = [drawn if f.id == drawn.id else f for f in shown]
            if find(tuple(shown), drawn.id) is None:
                shown.append(drawn)
        return shown

    def at(self, index: Floats) -> Finding | None:
        """The smallest finding under a place (fractional k, j, i)."""
        k, j, i = nearest(index).tolist()
        under = []
        for finding in self.visible():
            box = finding.mask.box
            if all(part.start <= n < part.stop for part, n in zip(box, (k, j, i), strict=True)):
                inner = finding.mask.inner
                if inner[k - box[0].start, j - box[1].start, i - box[2].start]:
                    under.append(finding)
        return min(under, key=lambda finding: finding.mask.count, default=None)

    # Verdicts

    def accept(self) -> None:
        """Accept the selected finding and go on to the next; with none selected, go to the first."""
        finding = self.session.selected
        if finding is None:
            self.next(+1)
        elif self.session.edit(*accept(self.session.findings, [finding.id], self.session.reader)):
            self._go_on()

    def accept_all(self) -> None:
        """Accept everything that is still undecided on this series."""
        ids = [finding.id for finding in self._undecided()]
        if ids:
            self.session.edit(*accept(self.session.findings, ids, self.session.reader))

    def ask_reason(self) -> None:
        """Ask why the selected finding is wrong; with none selected, go to the first."""
        if self.session.selected is None:
            self.next(+1)
        else:
            self.asked_reason.emit()

    def reject(self, reason: str) -> None:
        """Reject the selected finding and go on to the next."""
        finding = self.session.selected
        if finding is not None and self.session.edit(
            *reject(self.session.findings, [finding.id], self.session.reader, reason)
        ):
            self._go_on()

    def restore(self) -> None:
        """Put back what the model drew."""
        finding, image = self.session.selected, self.session.image
        if finding is not None and image is not None and finding.original is not None:
            self.session.edit(*restore(self.session.findings, finding.id, image.stack, self.session.reader))

    def next(self, step: int) -> None:
        """Go to the next or previous undecided finding; where none is left, to the next finding."""
        stack = self.session.image.stack.uid if self.session.image else ""
        waiting = undecided(self.session.findings, stack) or [
            finding for finding in self.session.shown_findings if finding.status is not Status.REJECTED
        ]
        if not waiting:
            return
        order = [finding.id for finding in self.session.shown_findings]
        ids = [finding.id for finding in waiting]
        here = order.index(self.session.view.selected) if self.session.view.selected in order else -1
        ring = ids if step > 0 else ids[::-1]
        beyond = [f for f in ring if (order.index(f) - here) * step > 0] if here >= 0 else ring
        target = find(self.session.shown_findings, (beyond or ring)[0])
        if target is not None:
            looking.show(self.session, target)

    def _go_on(self) -> None:
        if self._undecided():
            self.next(+1)

    def _undecided(self) -> list[Finding]:
        image = self.session.image
        return undecided(self.session.findings, image.stack.uid) if image else []

    def why(self) -> None:
        """Have the model that made the selected finding show why, on the slice in view."""
        finding = self.session.selected
        if finding is None:
            return
        try:
            if finding.heatmap is None:
                self.explanations.ask(finding)
        except UserError as error:
            self.session.fail(error)
        else:
            self.session.set_view(replace(self.session.view, heatmap=True, overlays=True))

    def undo(self) -> None:
        """Take back the last step and say which."""
        label = self.session.undo_label
        if self.session.undo():
            self.told.emit(f"Undone: {label}", "", "good")

    def redo(self) -> None:
        """Do it again and say what."""
        label = self.session.redo_label
        if self.session.redo():
            self.told.emit(f"Done again: {label}", "", "good")

    # Drawing

    def take(self, tool: Tool) -> None:
        """Take a tool into the hand; the same one again lays it down."""
        wanted = Tool.WINDOW if self.session.view.tool is tool else tool
        if wanted is not Tool.WINDOW and self.session.image is not None and self.session.image.volume.colour:
            self.session.fail(UserError("Colour images cannot be drawn on yet."))
            return
        self.session.set_view(replace(self.session.view, tool=wanted, overlays=True))

    def edit(self) -> None:
        """Begin or end drawing on the selected finding, if it has an outline that can be drawn."""
        finding = self.session.selected
        if finding is not None and finding.kind is Kind.CLASSIFICATION:
            self.told.emit(f"{finding.label} is said of the whole image: there is no outline to edit.", "", "")
            return
        if self.session.view.tool is not Tool.WINDOW:
            self.take(self.session.view.tool)
            return
        if self.session.selected is None:
            self.next(+1)
        self.take(Tool.BRUSH)

    def resize_brush(self, factor: float) -> None:
        """Make the brush larger or smaller."""
        brush = self.session.view.brush
        diameter = min(max(brush.diameter_mm * factor, 0.5), 200.0)
        self.session.set_view(replace(self.session.view, brush=replace(brush, diameter_mm=round(diameter, 1))))

    def begin_stroke(self, index: Floats, plane: Plane) -> bool:
        """Put the pen down at a fractional index (k, j, i) of a plane. Returns whether it draws."""
        session = self.session
        image, view, brush = session.image, session.view, session.view.brush
        if image is None or view.tool is Tool.WINDOW:
            return False
        if not image.stack.grid.oriented:
            session.fail(UserError("This image has no place in the patient, so nothing can be drawn on it yet."))
            return False
        target = session.selected
        erase = view.tool is Tool.ERASER
        if target is not None and (target.status is Status.REJECTED or target.kind is Kind.CLASSIFICATION):
            target = None
        if target is None and erase:
            self.told.emit("Select the finding to erase from.", "Click it in the list, or press N.", "")
            return False
        grid = image.stack.grid
        through = None if brush.sphere else plane_axes(grid, plane).through
        base = target.mask if target is not None else empty(grid.shape)
        allowed = self._allowed if brush.range is not None else None
        self._stroke = Stroke(grid, base, brush.diameter_mm, erase=erase, through=through, allowed=allowed)
        self._target = target or self._blank()
        self.extend_stroke(index)
        return True

    def _blank(self) -> Finding:
        image = self.session.image
        assert image is not None
        _, findings, new_id = draw_new((), empty(image.stack.grid.shape), image.stack, self.session.reader)
        made = find(findings, new_id)
        assert made is not None
        return made

    def _allowed(self, box: Box) -> NDArray[np.bool_]:
        """The voxels of a box whose real values lie within the brush's range."""
        image, limits = self.session.image, self.session.view.brush.range
        assert image is not None
        assert limits is not None
        real = image.volume.real(box)
        return np.asarray((real >= limits[0]) & (real <= limits[1]))

    def extend_stroke(self, index: Floats) -> None:
        """Draw on to a fractional index."""
        if self._stroke is not None:
            self._stroke.extend(index)
            self.draft_changed.emit()

    def end_stroke(self) -> None:
        """Lift the pen: one named step."""
        stroke, target, image = self._stroke, self._target, self.session.image
        self._stroke = self._target = None
        if stroke is not None and target is not None and image is not None:
            mask, findings, reader = stroke.mask, self.session.findings, self.session.reader
            known = find(findings, target.id) is not None
            if known or target.model is not None:
                # a proposal that went away while the pen was down comes back with what was drawn, and its model's name
                findings = findings if known else (*findings, target)
                verb = "Erase" if self.session.view.tool is Tool.ERASER else "Brush"
                if mask != target.mask:
                    self.session.edit(*redraw(findings, target.id, mask, image.stack, reader, verb))
            elif mask:
                label, findings, new_id = draw_new(findings, mask, image.stack, reader)
                if self.session.edit(label, findings):
                    self.session.set_view(replace(self.session.view, selected=new_id))
        self.draft_changed.emit()

    def drop_stroke(self) -> None:
        """Lift the pen and forget the stroke."""
        self._stroke = self._target = None
        self.draft_changed.emit()

    @property
    def drawing(self) -> bool:
        """Whether the pen is down."""
        return self._stroke is not None
