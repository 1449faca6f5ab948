"""Brush, eraser and smart brush: the stroke that is in the hand and not yet finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from overread.domain.errors import UserError
from overread.domain.finding import Bools, Finding, Kind, Status, find
from overread.domain.geometry import Box, Floats, Plane, PlaneAxes, nearest, plane_axes
from overread.domain.view import Tool
from overread.imaging.editing.intensity import along_edges
from overread.imaging.editing.limits import Limits
from overread.imaging.paint import Stroke, empty
from overread.render.overlay import Layer, slice_layer
from overread.session.review import draw_new, redraw
from overread.session.session import Session

_VERBS = {Tool.BRUSH: "Brush", Tool.ERASER: "Erase", Tool.SMART: "Smart brush"}


class Pen:
    """A stroke from the press of the button to its release; lifted, it is one named step."""

    def __init__(self, session: Session, limits: Callable[[], Limits], told: Callable[[str, str, str], None]) -> None:
        """`limits` says where tools may draw now."""
        self._session, self._limits_now, self._told = session, limits, told
        self._stroke: Stroke | None = None
        self._limits: Limits | None = None
        self._at: Floats = np.zeros(3)
        self.target: Finding | None = None

    @property
    def down(self) -> bool:
        """Whether it draws."""
        return self._stroke is not None

    def begin(self, index: Floats, plane: Plane) -> bool:
        """Put the pen down at a fractional index (k, j, i) of a plane. Returns whether it draws."""
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
        if stroke is None or image is None:
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
        session, stroke, target, image = self._session, self._stroke, self.target, self._session.image
        self.drop()
        if stroke is None or target is None or image is None:
            return
        mask, findings, reader = stroke.mask, session.findings, session.reader
        known = find(findings, target.id) is not None
        if known or target.given:
            # a proposal that went away while the pen was down comes back with what was drawn, and its model's name
            findings = findings if known else (*findings, target)
            verb = _VERBS.get(session.view.tool, "Brush")
            if mask != target.mask:
                session.edit(*redraw(findings, target.id, mask, image.stack, reader, verb))
        elif mask:
            label, findings, new_id = draw_new(findings, mask, image.stack, reader)
            if session.edit(label, findings):
                session.set_view(replace(session.view, selected=new_id))

    def drawn(self, target: Finding) -> Finding:
        """A finding with the voxels that the stroke has made so far."""
        return target if self._stroke is None else replace(target, mask=self._stroke.mask, status=Status.EDITED)

    def drop(self) -> None:
        """Forget the stroke."""
        self._stroke = self.target = None

    def drafts(self, axes: PlaneAxes, index: int) -> list[Layer]:
        """The stroke as it lies in a slice, with the finding that it changes."""
        if self._stroke is None or self.target is None:
            return []
        start, voxels = self._stroke.section(axes.through, index)
        layer = slice_layer(voxels, start, self.target.mask.shape, axes, Status.EDITED, selected=True)
        return [replace(layer, quick=True)] if layer else []
