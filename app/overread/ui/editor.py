"""What editing tools have in the hand: an outline, scribbles, a change that is being looked at, and their numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal

from overread.domain.errors import UserError
from overread.domain.finding import Finding, Mask, Status, find
from overread.domain.geometry import Floats, Plane, PlaneAxes, nearest, plane_axes
from overread.domain.view import Tool, ViewState, scrolled
from overread.imaging.editing.limits import Limits
from overread.imaging.editing.outline import slab
from overread.imaging.editing.parts import Logic
from overread.imaging.editing.shape import Smoothing
from overread.imaging.paint import Stroke, empty
from overread.render.overlay import Layer, mask_layer, slice_layer
from overread.session import editing
from overread.session.editing import Change, Editing, Told
from overread.session.session import Session
from overread.session.state import Image

# A change is looked at when its numbers have rested this long.
_REST_MS = 120


class Where(StrEnum):
    """Where tools may draw."""

    ANYWHERE = "anywhere"
    INSIDE = "only inside"
    OUTSIDE = "only outside"


class Page(StrEnum):
    """The changes that have numbers to set."""

    RANGE = "values"
    MARGIN = "margin"
    SMOOTH = "smooth"
    ISLANDS = "islands"
    HOLES = "holes"
    BETWEEN = "between slices"
    COMBINE = "combine"


# What can be shown before it is done.
LOOKED_AT = (Page.RANGE, Page.MARGIN, Page.SMOOTH)


@dataclass(frozen=True)
class Numbers:
    """What the tools are set to."""

    margin_mm: float = 3.0
    smoothing: Smoothing = Smoothing.GAUSSIAN
    smooth_mm: float = 2.0
    island_ml: float = 0.1
    largest: bool = True
    low: float = 0.0
    high: float = 0.0
    solid: bool = False
    keep_inside: bool = False
    this_slice: bool = False
    walk: bool = True
    logic: Logic = Logic.UNION
    other: str = ""
    where: Where = Where.ANYWHERE
    beside: str = ""


@dataclass(frozen=True)
class Outline:
    """A line that is being drawn: fractional indices (k, j, i) in one slice of a plane."""

    plane: Plane
    index: int
    points: tuple[tuple[float, float, float], ...]
    erase: bool

    def grown(self, index: Floats) -> Outline:
        """The line with one place more."""
        k, j, i = (float(n) for n in index)
        return replace(self, points=(*self.points, (k, j, i)))


class Editor(QObject):
    """The hand that edits. Everything here runs on the main thread; changes are made by `Editing`, on workers."""

    changed = Signal()  # something in the hand looks different
    set_differently = Signal()  # numbers, page, or what is in the hand

    def __init__(self, session: Session, told: Told, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session, self._told = session, told
        self.editing = Editing(session, told)
        self.numbers = Numbers()
        self.page: Page | None = None
        self.outline: Outline | None = None
        self.seen: tuple[str, Mask] | None = None
        self._scribbles: dict[bool, Stroke] = {}
        self._through = 0
        self._side = True
        self._rest = QTimer(self, singleShot=True, interval=_REST_MS)
        self._rest.timeout.connect(self._look)
        session.view_changed.connect(self._view_changed)
        session.findings_changed.connect(lambda old, new: self._look_again())
        session.image_changed.connect(self._image_changed)

    # What tools are set to

    def set(self, **numbers: object) -> None:
        """Set numbers by their names."""
        self.numbers = replace(self.numbers, **numbers)  # type: ignore[arg-type]
        self._look_again()
        self.set_differently.emit()

    def limits(self) -> Limits:
        """Where tools may draw now: the brush's range, and inside or outside of other findings."""
        image = self.session.image
        assert image is not None
        values, where = self.session.view.brush.range, self.numbers.where
        if where is Where.ANYWHERE:
            return Limits(image.volume, values)
        others = self.others()
        chosen = [f for f in others if f.id == self.numbers.beside] or others
        if where is Where.OUTSIDE:
            return Limits(image.volume, values, outside=tuple(finding.mask for finding in chosen))
        inside = chosen[0].mask if len(chosen) == 1 else None
        if inside is None:
            self._told("Choose the finding to draw inside of.", "", "")
            inside = empty(image.stack.grid.shape)
        return Limits(image.volume, values, inside=inside)

    def others(self) -> list[Finding]:
        """The other findings of the series that have voxels and were not rejected."""
        chosen = self.session.view.selected
        shown = self.session.shown_findings
        return [f for f in shown if f.id != chosen and f.mask and f.status is not Status.REJECTED]

    # An outline in the hand

    def press(self, index: Floats, plane: Plane, *, shift: bool) -> bool:
        """The button went down with a tool in hand that draws lines, or picks. Returns whether it is held now."""
        image, tool = self.session.image, self.session.view.tool
        if image is None:
            return False
        grid = image.stack.grid
        if not grid.oriented:
            self.session.fail(UserError("This image has no place in the patient, so nothing can be drawn on it yet."))
            return False
        if tool is Tool.PICK:
            self.editing.apply(editing.keep_clicked(grid.clamp(index)))
            return False
        if tool is Tool.SCRIBBLE:
            return self._begin_scribble(index, plane, inside=not shift)
        at = int(nearest(index)[plane_axes(grid, plane).through])
        held = self.outline
        if tool is not Tool.POLYGON or held is None or (held.plane, held.index) != (plane, at):
            held = Outline(plane, at, (), erase=shift)
        self._hold(held.grown(index))
        return tool is not Tool.POLYGON

    def move(self, index: Floats) -> None:
        """The mouse moved with the button down."""
        if self.session.view.tool is Tool.SCRIBBLE:
            self._scribbles[self._side].extend(index)
            self.changed.emit()
        elif self.outline is not None:
            self._hold(
                replace(
                    self.outline, points=(*self.outline.points, (float(index[0]), float(index[1]), float(index[2])))
                )
            )

    def release(self) -> None:
        """The button was let go: a lasso or a cut is closed."""
        if self.session.view.tool in (Tool.LASSO, Tool.SCISSORS):
            self.finish()

    def step_back(self) -> None:
        """Take back the last corner of a polygon."""
        if self.outline is not None:
            self._hold(replace(self.outline, points=self.outline.points[:-1]) if self.outline.points[1:] else None)

    def _hold(self, outline: Outline | None) -> None:
        self.outline = outline
        self.changed.emit()

    def finish(self) -> None:
        """Close the outline and do what the tool does, or let scribbles grow."""
        image, view, outline = self.session.image, self.session.view, self.outline
        if image is None:
            return
        if view.tool is Tool.SCRIBBLE:
            self._grow()
            return
        self._hold(None)
        if outline is None or len(outline.points) < 3:
            return
        through = plane_axes(image.stack.grid, outline.plane).through
        points = np.array(outline.points)
        if view.tool is Tool.SCISSORS:
            slices = (outline.index, outline.index) if self.numbers.this_slice else None
            keep = self.numbers.keep_inside != outline.erase
            self.editing.apply(editing.cut(points, through, slices, keep_inside=keep))
            return
        box, voxels = slab(points, through, image.stack.grid.shape)
        name = "Lasso" if view.tool is Tool.LASSO else "Polygon"
        self.editing.apply(editing.draw(name, box, voxels, self.limits(), erase=outline.erase))

    # Scribbles

    def _begin_scribble(self, index: Floats, plane: Plane, *, inside: bool) -> bool:
        image, brush = self.session.image, self.session.view.brush
        assert image is not None
        grid, through = image.stack.grid, plane_axes(image.stack.grid, plane).through
        if self._scribbles and through != self._through:
            self._scribbles = {}
        self._through, self._side = through, inside
        before = self._scribbles.get(inside)
        base = before.mask if before is not None else empty(grid.shape)
        stroke = Stroke(grid, base, brush.diameter_mm, erase=False, through=through)
        stroke.extend(index)
        self._scribbles[inside] = stroke
        self.changed.emit()
        self.set_differently.emit()
        return True

    def _grow(self) -> None:
        image = self.session.image
        assert image is not None
        nothing = empty(image.stack.grid.shape)
        inside, outside = (self._scribbles[s].mask if s in self._scribbles else nothing for s in (True, False))
        walk, limits = self.numbers.walk, self.limits()
        self.editing.apply(editing.seeds(image.volume, inside, outside, self._through, limits, walk=walk))
        if inside and outside:
            self._scribbles = {}
            self.changed.emit()
            self.set_differently.emit()

    # Changes with numbers

    def open(self, page: Page | None) -> None:
        """Show the numbers of a change, or put them away; what the change would make of the finding is shown."""
        self.page = page
        if page is Page.RANGE and self.numbers.low == self.numbers.high:
            window = self.session.view.window
            low, high = round(window.center - window.width / 4, 2), round(window.center + window.width / 2, 2)
            self.numbers = replace(self.numbers, low=low, high=high)
        self._look_again()
        self.set_differently.emit()

    def apply(self, page: Page, plane: Plane) -> None:
        """Make the change of a page with the numbers it has."""
        change = self._change(page, plane)
        if change is not None:
            self.seen = None
            self.editing.apply(change)

    def recolour(self, colour: str) -> None:
        """Give the selected finding a colour."""
        target, session = self.editing.target, self.session
        if target is not None:
            session.edit(*editing.recolour(session.findings, target.id, colour, session.reader))

    def copy(self, plane: Plane, step: int) -> None:
        """Copy the slice in view to the next one or the one before, and go there."""
        image, view = self.session.image, self.session.view
        if image is None:
            return
        through = plane_axes(image.stack.grid, plane).through
        self.editing.apply(editing.copy_slice(through, view.cursor[through], step))
        self.session.set_view(scrolled(view, image.stack.grid, plane, step))

    def _change(self, page: Page, plane: Plane) -> Change | None:
        image, n = self.session.image, self.numbers
        if image is None:
            return None
        grid, through = image.stack.grid, plane_axes(image.stack.grid, plane).through
        if page is Page.RANGE:
            return editing.keep_range(image.volume, min(n.low, n.high), max(n.low, n.high))
        if page is Page.MARGIN:
            return editing.margin(grid, n.margin_mm)
        if page is Page.SMOOTH:
            return editing.smooth(grid, n.smoothing, n.smooth_mm)
        if page is Page.ISLANDS:
            return editing.keep_largest() if n.largest else editing.drop_small(grid, n.island_ml)
        if page is Page.HOLES:
            return editing.fill_holes(None if n.solid else through)
        if page is Page.BETWEEN:
            return editing.fill_between(grid, through)
        other = find(tuple(self.others()), n.other) or next(iter(self.others()), None)
        if other is None:
            self._told("There is no other finding to combine it with.", "", "")
            return None
        return editing.combine(other, n.logic)

    def _look_again(self) -> None:
        """The finding or the numbers are others: what was looked at is not what would come of it."""
        had, self.seen = self.seen, None
        self.editing.stop_looking()
        if self.page in LOOKED_AT and self.editing.target is not None:
            self._rest.start()
        if had is not None:
            self.changed.emit()

    def _look(self) -> None:
        target, page = self.editing.target, self.page
        image = self.session.image
        if target is None or page not in LOOKED_AT or image is None or not image.ready.complete:
            return
        change = self._change(page, self.session.view.plane)
        if change is not None:
            self.editing.look(change, lambda mask: self._saw(target.id, mask))

    def _saw(self, finding_id: str, mask: Mask) -> None:
        self.seen = (finding_id, mask)
        self.changed.emit()
        self.set_differently.emit()

    def _view_changed(self, old: ViewState, new: ViewState) -> None:
        if old.tool is not new.tool:
            self._clear()
        if old.selected != new.selected:
            self._look_again()
            self.set_differently.emit()

    def _image_changed(self, old: Image | None, new: Image | None) -> None:
        if old is None or new is None or old.stack.uid != new.stack.uid:
            self._clear()
            self._look_again()

    # The hand itself

    @property
    def holding(self) -> bool:
        """Whether something can be put down: an outline, scribbles, a change that is being made or looked at."""
        return bool(self.outline or self._scribbles or self.editing.busy or self.page)

    def drop(self) -> None:
        """Put down what is in the hand, the youngest first."""
        if self.outline or self._scribbles:
            self._clear()
        elif self.editing.busy:
            self.editing.stop()
        elif self.page is not None:
            self.open(None)

    def _clear(self) -> None:
        self.outline, self._scribbles = None, {}
        self.changed.emit()
        self.set_differently.emit()

    @property
    def scribbled(self) -> tuple[bool, bool]:
        """Whether there is a scribble inside, and one outside."""
        return True in self._scribbles, False in self._scribbles

    def drafts(self, axes: PlaneAxes, index: int) -> list[Layer]:
        """Scribbles, and what a change would make of the finding, as they lie in a slice."""
        image = self.session.image
        if image is None:
            return []
        layers: list[Layer | None] = []
        for inside, status in ((True, Status.ACCEPTED), (False, Status.REJECTED)):
            if inside in self._scribbles:
                start, voxels = self._scribbles[inside].section(axes.through, index)
                layers.append(slice_layer(voxels, start, image.stack.grid.shape, axes, status))
        if self.seen is not None and self.seen[0] == self.session.view.selected:
            layer = mask_layer(self.seen[1], axes, index, Status.EDITED, selected=True)
            layers.append(layer and replace(layer, filled=False, dotted=True))
        return [layer for layer in layers if layer is not None]
