"""The box in the reader's hand, and what keys do to the selected one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from overread.domain.errors import UserError
from overread.domain.finding import Act, Finding, Kind, Status, VoxelBox, find
from overread.domain.geometry import Plane, plane_axes
from overread.domain.view import slice_index
from overread.imaging.boxes import Edges, deep, grown, longest, on_slices, shifted
from overread.session import boxes
from overread.session.outlines import Outlines
from overread.session.review import now
from overread.session.session import Session
from overread.ui import looking


class BoxDesk:
    """What is done to boxes. `changed` is called when the box in hand has changed, `told(title, hint, kind)` tells."""

    def __init__(self, session: Session, changed: Callable[[], None], told: Callable[[str, str, str], None]) -> None:
        self._session, self._changed, self._told = session, changed, told
        self.outlines = Outlines(session)
        self.draft: Finding | None = None
        self._new: tuple[Plane, Edges, int] | None = None  # plane, edges, and by how many slices deeper on each side

    # In the hand

    def hold(self, finding: Finding, box: VoxelBox) -> None:
        """Show a box where it is being dragged to."""
        image = self._session.image
        if image is not None:
            act = Act(self._session.reader, "move", now())
            self.draft = boxes.laid(finding, box, image.stack, act)
            self._changed()

    def let_go(self, finding: Finding, verb: str) -> None:
        """Put the box down where it is: one named step. A proposal that went away meanwhile comes back with it."""
        session, image, draft = self._session, self._session.image, self.draft
        self.drop()
        if draft is None or image is None or draft.bounds is None:
            return
        findings = session.findings
        if find(findings, finding.id) is None:
            findings = (*findings, finding)
        session.edit(*boxes.put(findings, finding.id, draft.bounds, image.stack, session.reader, verb))

    def draw(self, plane: Plane, edges: Edges) -> None:
        """Show the box that is being drawn on the slice in view of a plane."""
        deeper = self._new[2] if self._new is not None else 0
        self._new = plane, edges, deeper
        self._lay_new()

    @property
    def drawing(self) -> bool:
        """Whether a new box is being drawn."""
        return self._new is not None

    def _lay_new(self) -> None:
        session, image = self._session, self._session.image
        if image is None or self._new is None:
            return
        plane, edges, deeper = self._new
        grid = image.stack.grid
        axes = plane_axes(grid, plane)
        middle = slice_index(session.view, grid, plane)
        first, end = deep(edges, middle, axes, grid)
        first, end = min(first - deeper, middle), max(end + deeper, middle + 1)
        box = on_slices(edges, max(first, 0), min(end, grid.shape[axes.through]), axes, grid.shape)
        _, made, new_id = boxes.new_box(session.findings, box, image.stack, session.reader)
        self.draft = find(made, new_id)
        self._changed()

    def add(self) -> None:
        """Put the box that was drawn into the list: one named step."""
        session, image, draft = self._session, self._session.image, self.draft
        self.drop()
        if draft is None or image is None or draft.bounds is None:
            return
        label, findings, new_id = boxes.new_box(session.findings, draft.bounds, image.stack, session.reader)
        if session.edit(label, findings):
            session.set_view(replace(session.view, selected=new_id))

    def drop(self) -> None:
        """Forget what is in the hand."""
        self.draft = self._new = None
        self._changed()

    # Keys

    @property
    def selected(self) -> Finding | None:
        """The box that keys act upon."""
        finding = self._session.selected
        usable = finding is not None and finding.kind is Kind.DETECTION and finding.status is not Status.REJECTED
        return finding if usable else None

    def _put(self, finding: Finding, box: VoxelBox, verb: str) -> None:
        image = self._session.image
        if image is not None:
            step = boxes.put(self._session.findings, finding.id, box, image.stack, self._session.reader, verb)
            self._session.edit(*step)

    def nudge(self, plane: Plane, down: int, across: int, through: int = 0) -> None:
        """Move the selected box by so many voxels of the picture of a plane."""
        image, finding = self._session.image, self.selected
        if image is None or finding is None or finding.bounds is None:
            return
        axes, by = plane_axes(image.stack.grid, plane), [0, 0, 0]
        by[axes.down] = -down if axes.flip_down else down
        by[axes.across] = -across if axes.flip_across else across
        by[axes.through] = through
        self._put(finding, shifted(finding.bounds, by, finding.mask.shape), "Move")

    def stretch(self, plane: Plane, down: int, across: int) -> None:
        """Make the selected box so many voxels longer at its lower and its right side."""
        image, finding = self._session.image, self.selected
        if image is None or finding is None or finding.bounds is None:
            return
        axes, box = plane_axes(image.stack.grid, plane), finding.bounds
        for axis, by, flip in ((axes.down, down, axes.flip_down), (axes.across, across, axes.flip_across)):
            box = grown(box, axis, (by, 0) if flip else (0, by), finding.mask.shape)
        self._put(finding, box, "Resize")

    def deepen(self, plane: Plane, slices: int) -> None:
        """Make the box in hand, or the selected one, so many slices deeper on each side."""
        image, finding = self._session.image, self.selected
        if self._new is not None:
            self._new = self._new[0], self._new[1], self._new[2] + slices
            self._lay_new()
        elif image is not None and finding is not None and finding.bounds is not None:
            axis = plane_axes(image.stack.grid, plane).through
            self._put(finding, grown(finding.bounds, axis, (slices, slices), finding.mask.shape), "Resize")

    def split(self, plane: Plane, *, here: bool) -> None:
        """Split the selected box: `here`, before the slice in view, or across the middle of its longest axis."""
        session, image, finding = self._session, self._session.image, self.selected
        if image is None or finding is None or finding.bounds is None:
            return
        grid, box = image.stack.grid, finding.bounds
        axis = plane_axes(grid, plane).through
        at = session.view.cursor[axis]
        try:
            if not here:
                try:
                    axis = longest(box, grid)
                except ValueError as error:
                    raise UserError(f"{finding.title} is one voxel: it cannot be split.") from error
                at = (box[axis] + box[3 + axis]) // 2
            session.edit(*boxes.split(session.findings, finding.id, axis, at, image.stack, session.reader))
        except UserError as error:
            session.fail(error)

    def merge(self) -> None:
        """Merge the selected box with those marked, or with the one that overlaps it most."""
        session, image, finding = self._session, self._session.image, self.selected
        if image is None or finding is None:
            return
        shown = {f.id for f in session.shown_findings if f.kind is Kind.DETECTION and f.status is not Status.REJECTED}
        others = [f.id for f in session.shown_findings if f.id in session.view.marked & shown and f.id != finding.id]
        if not others:
            near = boxes.partner(session.findings, finding.id)
            others = [near.id] if near is not None else []
        try:
            step = boxes.merge(session.findings, [finding.id, *others], image.stack, session.reader)
        except UserError as error:
            session.fail(error)
            return
        if session.edit(*step):
            session.set_view(replace(session.view, marked=frozenset()))
            self._told(step[0].replace("Merge", "Merged", 1), "Ctrl+Z takes it back.", "good")

    def outline(self) -> None:
        """Have a model outline what lies in the selected box."""
        finding = self.selected
        if finding is None:
            return
        try:
            self.outlines.ask(finding, lambda text: self._told(text, "Ctrl+Z takes it back.", "good"))
        except UserError as error:
            self._session.fail(error)

    def mark(self, finding: Finding) -> None:
        """Mark a box beside the selected one, or unmark it; the first becomes the selected one."""
        view = self._session.view
        if self.selected is None or view.selected == finding.id:
            looking.select(self._session, finding)
            return
        marked = view.marked ^ {finding.id}
        self._session.set_view(replace(view, marked=marked))
