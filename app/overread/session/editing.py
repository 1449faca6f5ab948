"""What readers do to outlines, step by step: each change has a name and is made on a worker, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from overread.domain.errors import UserError
from overread.domain.finding import Act, Bools, Finding, Findings, Kind, Mask, Reader, Status, find, with_finding
from overread.domain.geometry import Box, Floats, Grid, Index
from overread.domain.volume import Volume
from overread.imaging.editing import intensity, outline, parts, shape
from overread.imaging.editing.boxes import Progress
from overread.imaging.editing.limits import Limits
from overread.imaging.paint import empty
from overread.session.jobs import Job
from overread.session.review import Step, draw_new, measured, now, redraw
from overread.session.session import Session

Told = Callable[[str, str, str], None]  # title, hint, kind


@dataclass(frozen=True)
class Change:
    """Something to do to an outline. Before the finding's name, `name` is the step's: "Margin +3 mm of Tumour 2".

    `make` gets the voxels before and a progress to call; it runs on a worker. `draws` says that it may also begin a
    finding where none is chosen.
    """

    name: str
    make: Callable[[Mask, Progress], Mask]
    draws: bool = False


def margin(grid: Grid, mm: float) -> Change:
    """Larger or smaller all around."""
    return Change(f"Margin {mm:+g} mm of", lambda mask, progress: shape.margin(mask, grid, mm, progress))


def smooth(grid: Grid, how: shape.Smoothing, mm: float) -> Change:
    """A smoother surface."""
    return Change(f"Smooth {mm:g} mm ({how.value})", lambda mask, progress: shape.smooth(mask, grid, how, mm, progress))


def fill_holes(through: int | None) -> Change:
    """No holes: in the slices across an array axis, or in three dimensions."""
    name = "Fill holes in" if through is None else "Fill holes slice by slice in"
    return Change(name, lambda mask, progress: parts.filled(mask, through, progress))


def keep_largest() -> Change:
    """The largest part alone."""
    return Change("Keep the largest part of", lambda mask, progress: parts.largest(mask))


def drop_small(grid: Grid, least_ml: float) -> Change:
    """No parts below a size."""
    name = f"Remove parts under {least_ml:g} ml from"
    return Change(name, lambda mask, progress: parts.without_small(mask, grid, least_ml))


def keep_clicked(index: Index) -> Change:
    """The part under the mouse alone."""
    return Change("Keep the clicked part of", lambda mask, progress: parts.touching(mask, index))


def keep_range(volume: Volume, low: float, high: float) -> Change:
    """What of it has values in a range."""
    name = f"Keep values {low:g} to {high:g} of"
    return Change(name, lambda mask, progress: intensity.within(volume, mask, low, high, progress))


def fill_between(grid: Grid, through: int) -> Change:
    """The empty slices between drawn ones."""
    return Change("Fill between slices of", lambda mask, progress: parts.between(mask, grid, through, progress))


def copy_slice(through: int, index: int, step: int) -> Change:
    """The slice in view once more in the next one or the one before."""
    name = f"Copy slice {index + 1} to {index + 1 + step} of"
    return Change(name, lambda mask, progress: parts.copied(mask, through, index, step))


_LOGIC = {
    parts.Logic.UNION: "Add {} to",
    parts.Logic.SUBTRACT: "Subtract {} from",
    parts.Logic.INTERSECTION: "Keep what {} shares with",
    parts.Logic.XOR: "Keep what either {} or",
}


def combine(other: Finding, how: parts.Logic) -> Change:
    """Another finding added, subtracted, shared, or either of both."""
    return Change(_LOGIC[how].format(other.title), lambda mask, progress: parts.combined(mask, other.mask, how))


def draw(tool: str, box: Box, voxels: Bools, limits: Limits, *, erase: bool) -> Change:
    """Voxels of a box drawn, or taken away."""

    def make(mask: Mask, progress: Progress) -> Mask:
        changed = outline.taken(mask, box, voxels) if erase else outline.added(mask, box, voxels)
        return limits.apply(mask, changed)

    return Change(f"{tool}: erase from" if erase else tool, make, draws=not erase)


def cut(points: Floats, through: int, slices: tuple[int, int] | None, *, keep_inside: bool) -> Change:
    """Scissors through all slices, or from one to another."""
    side = "outside" if keep_inside else "inside"
    where = "" if slices is None else f", slices {slices[0] + 1} to {slices[1] + 1}"
    make = lambda mask, progress: outline.cut(mask, points, through, slices, keep_inside=keep_inside)  # noqa: E731
    return Change(f"Cut {side} an outline{where}:", make)


def seeds(volume: Volume, inside: Mask, outside: Mask, through: int, limits: Limits, *, walk: bool) -> Change:
    """Two scribbles that grow: within the box they span, the answer takes the place of what was there."""
    grow = intensity.walked if walk else intensity.flooded

    def make(mask: Mask, progress: Progress) -> Mask:
        grown = grow(volume, inside, outside, through, progress)
        box = intensity.seeded_box(inside, outside, through)
        rest = outline.taken(mask, box, np.ones([part.stop - part.start for part in box], np.bool_))
        return limits.apply(mask, parts.combined(rest, grown, parts.Logic.UNION))

    return Change("Random walker:" if walk else "Grow from seeds:", make, draws=True)


def recolour(findings: Findings, finding_id: str, colour: str, reader: Reader) -> Step:
    """Give a finding a colour, "#RRGGBB": that of its fill here, and of the segment where it leaves. No verdict."""
    finding = find(findings, finding_id)
    if finding is None:
        raise KeyError(finding_id)
    label = f"Colour {finding.title}"
    if finding.tint == colour:
        return label, findings
    changed = replace(finding, colour=colour, acts=(*finding.acts, Act(reader, "colour", now())))
    return label, with_finding(findings, changed)


@dataclass(frozen=True)
class _Asked:
    change: Change
    finding_id: str | None


class Editing:
    """Makes changes one after the other, each on a worker and each one step of the journal.

    What the finding has become meanwhile is not overwritten: the answer is dropped then, and the reader is told.
    """

    def __init__(self, session: Session, told: Told) -> None:
        self._session, self._told = session, told
        self._waiting: deque[_Asked] = deque()
        self._job: Job | None = None
        self._look: Job | None = None
        session.image_changed.connect(self._image_changed)

    @property
    def busy(self) -> bool:
        """Whether a change is being made."""
        return self._job is not None

    def apply(self, change: Change) -> None:
        """Make a change to the finding that is selected; with none, one that draws begins a finding."""
        target = self.target
        if target is None and not change.draws:
            self._told("Select the finding to change.", "Click it in the list, or press N.", "")
            return
        self._waiting.append(_Asked(change, target.id if target else None))
        self._next()

    def look(self, change: Change, arrived: Callable[[Mask], None]) -> None:
        """Work out what a change would make of the selected finding, and change nothing; the last asked is answered."""
        self.stop_looking()
        target, image = self.target, self._session.image
        if target is None or image is None:
            return
        base = target.mask

        def done(mask: Mask) -> None:
            self._look = None
            now = self.target
            if now is not None and (now.id, now.mask) == (target.id, base):
                arrived(mask)

        def failed(error: BaseException) -> None:
            self._look = None
            self._session.fail(error)

        self._look = self._session.jobs.call(
            change.name, lambda job: change.make(base, job.progress), done, failed, quiet=True
        )

    def stop_looking(self) -> None:
        """Call off what was only looked at."""
        if self._look is not None:
            self._look.cancel.cancel()
            self._look = None

    def stop(self) -> None:
        """Call off the change that is being made and those that wait."""
        self._waiting.clear()
        if self._job is not None:
            self._job.cancel.cancel()
            self._job = None

    @property
    def target(self) -> Finding | None:
        """The finding that tools work on: the one selected, if it has voxels and was not rejected."""
        finding = self._session.selected
        drawn = finding is not None and finding.kind in (Kind.SEGMENTATION, Kind.DETECTION)
        return finding if finding is not None and drawn and finding.status is not Status.REJECTED else None

    def _image_changed(self, old: Any, new: Any) -> None:
        if new is None or (old is not None and old.stack.uid != new.stack.uid):
            self.stop()
            self.stop_looking()

    def _next(self) -> None:
        if self._job is not None and not self._job.cancel.cancelled:
            return
        self._job = None
        image = self._session.image
        if not self._waiting or image is None:
            return
        asked, stack = self._waiting.popleft(), image.stack
        if not image.ready.complete:
            self._session.fail(UserError("The series is still being loaded.", "Try again when all of it is there."))
            return
        # Drawing goes on on what the change before it has begun.
        new = asked.finding_id is None
        target = self.target if new else find(self._session.findings, asked.finding_id or "")
        base = target.mask if target is not None else empty(stack.grid.shape)
        name = f"{asked.change.name} {target.title}" if target is not None else asked.change.name

        def work(job: Job) -> Any:
            mask = asked.change.make(base, job.progress)
            return mask, measured(mask, stack)

        def arrived(answer: Any) -> None:
            self._job = None
            mask, measures = answer
            self._step(asked.change, target, mask, measures)
            self._next()

        def failed(error: BaseException) -> None:
            self._job = None
            self._session.fail(error)
            self._next()

        self._job = self._session.jobs.call(name, work, arrived, failed)

    def _step(self, change: Change, target: Finding | None, mask: Mask, measures: Any) -> None:
        session, image = self._session, self._session.image
        if image is None:
            return
        findings: Findings = session.findings
        if target is None:
            if not mask:
                self._told(f"{change.name.rstrip(':')}: nothing is enclosed.", "", "")
            else:
                label, findings, new_id = draw_new(findings, mask, image.stack, session.reader, measures)
                if session.edit(label, findings):
                    session.set_view(replace(session.view, selected=new_id))
            return
        now = find(findings, target.id)
        if now is None or now.mask != target.mask:
            hint = "What you drew meanwhile stays." if now is not None else ""
            self._told(f"{target.title} has changed meanwhile; {change.name} it was not done.", hint, "")
        elif mask == target.mask:
            self._told(f"{change.name} {target.title}: nothing to change.", "", "good")
        elif session.edit(*redraw(findings, target.id, mask, image.stack, session.reader, change.name, measures)):
            self._told(f"{change.name} {target.title}", _sizes(target, mask, image.stack.grid), "good")


def _sizes(before: Finding, after: Mask, grid: Grid) -> str:
    """What became of the size: "41.2 → 52.0 ml (+26 %)"."""
    if not before.mask or not grid.calibrated:
        return ""
    old, new = (mask.count * grid.voxel_mm3 / 1000 for mask in (before.mask, after))
    return f"{old:.3g} → {new:.3g} ml ({100 * (new / old - 1):+.1f} %)"
