"""The measurement in the reader's hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from overread.domain.errors import UserError
from overread.domain.finding import Finding, Status, find
from overread.domain.geometry import Floats, Plane
from overread.domain.measurement import Point, Shape
from overread.imaging.measuring import Metric, Points, begun, dragged, measured, settled, shifted, worth
from overread.session.measurements import delete, fresh, measure_new, remeasure
from overread.session.session import Session


def _point(index: Floats) -> Point:
    k, j, i = (float(value) for value in index)
    return k, j, i


def _beside(index: Floats, point: Point, through: int) -> Point:
    """A place on the slice of another point, whatever slice has been scrolled to meanwhile."""
    at = [float(value) for value in index]
    at[through] = point[through]
    return at[0], at[1], at[2]


class MeasureDesk:
    """What is done to measurements. `changed` is called when the one in hand has changed."""

    def __init__(self, session: Session, changed: Callable[[], None]) -> None:
        self._session, self._changed = session, changed
        self.draft: Finding | None = None
        self.aiming = False  # an angle whose second arm is still to be drawn
        self._metric: Metric | None = None
        self._base: Points = ()
        self._plane = Plane.AXIAL

    # A new one

    def begin(self, shape: Shape, plane: Plane, start: Floats) -> bool:
        """Put down the first point. Returns whether anything can be measured here."""
        return self._measure(plane) and self._lay_new(shape, begun(shape, _point(start), _point(start), self._of))

    def stretch(self, start: Floats, end: Floats) -> None:
        """Draw on from the first point to another place."""
        if self.draft is not None and self.draft.measurement is not None:
            shape = self.draft.measurement.shape
            first = _point(start)
            self._lay_new(shape, begun(shape, first, _beside(end, first, self._of.axes.through), self._of))

    def aim_at(self, plane: Plane, end: Floats | None) -> None:
        """The mouse moves over a plane while an angle waits for its second arm."""
        if plane is self._plane and end is not None:
            self.aim(end)

    def aim(self, end: Floats) -> None:
        """Draw the second arm of an angle up to a place."""
        if self.aiming and self.draft is not None and self.draft.measurement is not None:
            points = self.draft.measurement.points
            self._lay_new(Shape.ANGLE, (*points[:2], _beside(end, points[0], self._of.axes.through)))

    def lift(self) -> None:
        """The button is released: an angle waits for its second arm, anything else is done."""
        made = self.draft.measurement if self.draft is not None else None
        if made is None or self._metric is None:
            return
        if made.shape is Shape.ANGLE and not self.aiming and self._metric.far(*made.points[:2]) >= 0.1:
            self.aiming = True
            return
        self._done()

    def _done(self) -> None:
        session, image, draft = self._session, self._session.image, self.draft
        made = draft.measurement if draft is not None else None
        metric = self._metric
        self.drop()
        if image is None or made is None or metric is None or not worth(made.shape, made.points, metric):
            return
        points = settled(made.shape, made.points, metric)
        whole = measured(made.shape, points, made.plane, image.stack, image.volume)
        label, findings, new_id = measure_new(session.findings, whole, image.stack, session.reader)
        if session.edit(label, findings):
            session.set_view(replace(session.view, selected=new_id))

    # One that is there

    def take(self, finding: Finding) -> bool:
        """Take hold of a measurement. Returns whether it can be changed."""
        made = finding.measurement
        if made is None or finding.status is Status.REJECTED or not self._measure(made.plane):
            return False
        self.draft, self._base = finding, made.points
        return True

    def pull(self, handle: int, to: Floats) -> None:
        """Drag one of its points to a place."""
        if self.draft is not None and self.draft.measurement is not None:
            shape = self.draft.measurement.shape
            end = _beside(to, self._base[0], self._of.axes.through)
            self._lay(dragged(shape, self._base, handle, end, self._of))

    def carry(self, by: Floats) -> None:
        """Move all of it by a step (k, j, i) from where it was taken hold of."""
        step = by.copy()
        step[self._of.axes.through] = 0.0
        self._lay(shifted(self._base, step))

    def put_down(self) -> None:
        """Leave it there: one named step."""
        session, image, draft, metric = self._session, self._session.image, self.draft, self._metric
        self.drop()
        made = draft.measurement if draft is not None else None
        if image is None or draft is None or made is None or metric is None:
            return
        if not worth(made.shape, made.points, metric) or find(session.findings, draft.id) is None:
            return
        whole = replace(made, points=settled(made.shape, made.points, metric))
        session.edit(*remeasure(session.findings, draft.id, whole, session.reader))

    def drop(self) -> None:
        """Forget what is in the hand."""
        self.draft, self.aiming, self._metric, self._base = None, False, None, ()
        self._changed()

    def delete(self) -> None:
        """Take away the selected finding, if a reader drew or measured it."""
        session, finding = self._session, self._session.selected
        if finding is None:
            return
        try:
            step = delete(session.findings, finding.id)
        except UserError as error:
            session.fail(error)
            return
        if session.edit(*step):
            session.set_view(replace(session.view, selected=None))

    # Both

    @property
    def _of(self) -> Metric:
        assert self._metric is not None
        return self._metric

    def _measure(self, plane: Plane) -> bool:
        image = self._session.image
        if image is None:
            return False
        try:
            self._metric = Metric.of(image.stack, plane)
        except UserError as error:
            self._session.fail(error)
            return False
        self._plane = plane
        return True

    def _lay_new(self, shape: Shape, points: Points) -> bool:
        image, session = self._session.image, self._session
        if image is None:
            return False
        made = measured(shape, points, self._plane, image.stack, image.volume)
        if self.draft is None:
            self.draft = fresh(session.findings, made, image.stack, session.reader)
        self.draft = replace(self.draft, measurement=made)
        self._changed()
        return True

    def _lay(self, points: Points) -> None:
        image = self._session.image
        if image is None or self.draft is None or self.draft.measurement is None:
            return
        old = self.draft.measurement
        made = measured(old.shape, points, old.plane, image.stack, image.volume)
        self.draft = replace(self.draft, measurement=made, status=Status.EDITED)
        self._changed()
