"""Where the reader works: the session, and what is only in the hand, such as a stroke that is not finished."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, Signal

from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind, Status, find, with_finding
from overread.domain.geometry import Floats, Plane, PlaneAxes, nearest
from overread.domain.heatmap import Heatmap
from overread.domain.listing import Listing, below, listed, source_id, terms, unseen
from overread.domain.view import Tool
from overread.render.overlay import Layer
from overread.session.comparisons import Comparisons, pairs
from overread.session.explanations import Explanations
from overread.session.first_look import FirstLook
from overread.session.imports import Imports
from overread.session.review import accept, reject, restore
from overread.session.rounds import following, next_series, waiting
from overread.session.session import Session
from overread.ui import looking
from overread.ui.box_desk import BoxDesk
from overread.ui.editor import Editor
from overread.ui.measure_desk import MeasureDesk
from overread.ui.pen import Pen


class Desk(QObject):
    """What actions act upon."""

    draft_changed = Signal()
    pen_moved = Signal()  # a stroke in the making has grown, and nothing else has changed
    explained = Signal()
    compared = Signal()
    imported = Signal()  # what others found was read, or is no longer there
    told = Signal(str, str, str)  # title, hint, kind ("good" or "")
    asked_reason = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.explanations = Explanations(session, self.explained.emit)
        self.comparisons = Comparisons(session, self.compared.emit)
        self.imports = Imports(session, self.imported.emit)
        self.boxes = BoxDesk(session, self.draft_changed.emit, self.told.emit)
        self.measures = MeasureDesk(session, self.draft_changed.emit)
        self.first_look = FirstLook(self.explained.emit)
        self.editor = Editor(session, self.told.emit, self)
        self.pen = Pen(session, self.editor.limits, self.told.emit, self)
        self._offered = ""  # the series that the next N goes on to
        session.findings_changed.connect(self._withdraw)

    # Findings on the image

    def visible(self, *, stroke: bool = False) -> list[Finding]:
        """The findings to draw; the one that a stroke is changing only with `stroke`: to pack it takes a while."""
        view = self.session.view
        if not view.overlays or view.compare is not None:
            return []
        shown = [f for f in self.session.shown_findings if f.id not in view.hidden and not below(f, view.listing)]
        if not view.rejected and Status.REJECTED not in view.listing.statuses:
            shown = [f for f in shown if f.status is not Status.REJECTED]
        if self.pen.target is not None:
            shown = [f for f in shown if f.id != self.pen.target.id]
            if stroke:
                shown.append(self.pen.drawn(self.pen.target))
        draft = self.boxes.draft or self.measures.draft
        return shown if draft is None else list(with_finding(tuple(shown), draft))

    def drafts(self, axes: PlaneAxes, index: int) -> list[Layer]:
        """What is in the hand and lies in a slice."""
        return self.pen.drafts(axes, index) + self.editor.drafts(axes, index)

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

    def heatmap(self, finding: Finding, plane: Plane, index: int) -> Heatmap | None:
        """The map of a finding on a slice, its own or one that was asked for; none before the image was looked at."""
        if not self.first_look.over(finding.stack_uid):
            return None
        given = finding.heatmap or self.imports.map_here(finding, plane, index)
        return given or self.explanations.here(finding, plane, index)

    # The list

    @property
    def listed(self) -> tuple[Finding, ...]:
        """The findings of the series that the list shows, in its order."""
        return self._listed(self.session.shown_findings)

    def _listed(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        view = self.session.view
        return listed(findings, view.listing, rejected=view.rejected)

    @property
    def unseen(self) -> str:
        """What the list keeps back, in words."""
        view = self.session.view
        return unseen(self.session.shown_findings, view.listing, rejected=view.rejected)

    def list_by(self, listing: Listing) -> None:
        """List differently. What is no longer listed is no longer selected: no key may judge what is not seen."""
        view = replace(self.session.view, listing=listing)
        ids = {finding.id for finding in listed(self.session.shown_findings, listing, rejected=view.rejected)}
        self.session.set_view(view if view.selected in ids else replace(view, selected=None))

    def list_all(self) -> None:
        """List everything again, in the same order."""
        listing = self.session.view.listing
        self.list_by(Listing(listing.order, listing.reverse))

    def cut(self, step: float) -> None:
        """Move the cutoff of the selected finding's source, or of the only source that gives scores."""
        scored = {source_id(finding) for finding in self.session.shown_findings if finding.score is not None}
        chosen = self.in_question
        if chosen is not None:
            scored &= {source_id(chosen)}
        if len(scored) != 1:
            self.told.emit("Select a finding of the model whose lower scores are to be hidden.", "", "")
            return
        listing, source = self.session.view.listing, scored.pop()
        self.list_by(listing.with_cutoff(source, listing.cutoff(source) + step))

    @property
    def in_question(self) -> Finding | None:
        """The finding that a verdict would be about: the selected one, if the list shows it."""
        return find(self.listed, self.session.view.selected) if self.session.view.selected else None

    # Verdicts

    def accept(self) -> None:
        """Accept the selected finding and go on to the next; with none selected, go to the first."""
        finding = self.in_question
        if finding is None:
            self.next(+1)
        elif self.session.edit(*accept(self.session.findings, [finding.id], self.session.reader)):
            self._go_on()

    def accept_all(self) -> None:
        """Accept everything undecided that the list shows: one step, whose name says what decided what was shown."""
        ids = [finding.id for finding in waiting(self.listed)]
        if not ids:
            return
        label, findings = accept(self.session.findings, ids, self.session.reader)
        shown = terms(self.session.shown_findings, self.session.view.listing)
        if self.session.edit(f"{label}, of those shown ({shown})" if shown else label, findings):
            left = self.unseen
            self.told.emit(label.replace("Accept", "Accepted:", 1), f"{left}." if left else "", "good")

    def ask_reason(self) -> None:
        """Ask why the selected finding is wrong; with none selected, go to the first."""
        if self.in_question is None:
            self.next(+1)
        else:
            self.asked_reason.emit()

    def reject(self, reason: str) -> None:
        """Reject the selected finding and go on to the next."""
        finding = self.in_question
        if finding is not None and self.session.edit(
            *reject(self.session.findings, [finding.id], self.session.reader, reason)
        ):
            self._go_on()

    def restore(self) -> None:
        """Put back what the model drew."""
        finding, image = self.session.selected, self.session.image
        if finding is not None and image is not None and finding.restorable:
            self.session.edit(*restore(self.session.findings, finding.id, image.stack, self.session.reader))

    def next(self, step: int) -> None:
        """Go to the next or previous undecided finding of the list.

        Where the series has none left, the next series that has is offered, and gone to when asked once more; where
        the study has none left, it goes from one decided finding to the next.
        """
        shown = self.listed
        undecided = waiting(shown)
        if not undecided and self._offer(step):
            return
        candidates = undecided or tuple(finding for finding in shown if finding.status is not Status.REJECTED)
        view = self.session.view
        target = following(self.session.shown_findings, candidates, view.selected, step, view.listing)
        if target is not None:
            looking.show(self.session, target)
        elif self.unseen:
            self.told.emit("Nothing undecided is shown.", f"{self.unseen}.", "")

    def _offer(self, step: int) -> bool:
        """Offer the next series with undecided findings, or go there if it was offered. False where there is none."""
        session, image = self.session, self.session.image
        if image is None:
            return False
        stacks = tuple(session.sources.catalogue.stacks)
        found = next_series(session.findings, stacks, image.stack, step, session.view.listing)
        if found is None:
            return False
        stack, count = found
        if self._offered != stack.uid:
            self._offered = stack.uid
            name = stack.identity.series_description or stack.identity.modality
            key = "N" if step > 0 else "Shift+N"
            hint = f"{key} goes on to {name}, where {count} {'is' if count == 1 else 'are'} undecided."
            self.told.emit("Nothing is left undecided on this series.", hint, "good")
            return True
        session.select(stack)
        if session.image is not None and session.image.stack.uid == stack.uid:
            target = following(session.shown_findings, waiting(self.listed), None, step, session.view.listing)
            if target is not None:
                looking.show(session, target)
        return True

    def _withdraw(self, old: object, new: object) -> None:
        self._offered = ""

    def _go_on(self) -> None:
        if waiting(self.listed):
            self.next(+1)
        elif not self._offer(+1):
            left = self.unseen
            self.told.emit("Nothing is left undecided.", f"{left}." if left else "Ctrl+E exports.", "good")

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

    # Comparing

    def compare(self) -> None:
        """Compare what a reader would most likely compare; where that is on already, no more."""
        if self.session.view.compare is not None:
            self.session.set_view(replace(self.session.view, compare=None))
        else:
            self.compare_next()

    def compare_next(self) -> None:
        """Compare the next pair."""
        view = self.session.view
        found = pairs(self.comparisons.sides, view.selected)
        if not found:
            self.told.emit(
                "There are no two readings to compare.", "Two models, or a finding and what was proposed.", ""
            )
            return
        at = found.index(view.compare) + 1 if view.compare in found else 0
        pair = found[at % len(found)]
        self.session.set_view(replace(view, compare=pair, overlays=True, tool=Tool.WINDOW))

    # Drawing

    def take(self, tool: Tool) -> None:
        """Take a tool into the hand; the same one again lays it down."""
        wanted = Tool.WINDOW if self.session.view.tool is tool else tool
        if wanted.pen and self.session.image is not None and self.session.image.volume.colour:
            self.session.fail(UserError("Colour images cannot be drawn on yet."))
            return
        self.session.set_view(replace(self.session.view, tool=wanted, overlays=True, compare=None))

    def edit(self) -> None:
        """Begin or end drawing on the selected finding, if it has an outline that can be drawn."""
        finding = self.session.selected
        if finding is not None and finding.kind is Kind.CLASSIFICATION:
            self.told.emit(f"{finding.label} is said of the whole image: there is no outline to edit.", "", "")
            return
        if finding is not None and finding.kind is Kind.ANNOTATION:
            self.told.emit(f"{finding.title} is a note of somebody else: there is no outline to edit.", "", "")
            return
        if finding is not None and finding.kind is Kind.MEASUREMENT:
            self.told.emit(f"{finding.title} has no outline: its points can be dragged.", "", "")
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

    def drop_stroke(self) -> None:
        """Lift the pen and forget the stroke, or the box or measurement in the hand."""
        self.pen.drop()
        self.boxes.drop()
        self.measures.drop()
        self.draft_changed.emit()

    def put_down(self) -> None:
        """Put down what is in the hand: the stroke, else an outline, scribbles, a change that is being made."""
        if self._dragging:
            self.drop_stroke()
        else:
            self.editor.drop()

    @property
    def drawing(self) -> bool:
        """Whether something is in the hand that is not finished."""
        return self._dragging or self.editor.holding

    @property
    def _dragging(self) -> bool:
        return self.pen.down or self.boxes.draft is not None or self.measures.draft is not None
