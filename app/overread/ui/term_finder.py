"""The finders for what findings are called, and for where they are."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtWidgets import QWidget

from overread.domain.errors import UserError
from overread.domain.finding import Code, Term
from overread.session import codes
from overread.session.codes import Concept
from overread.session.session import Session
from overread.session.terms import as_term, place, places, suggested
from overread.ui import naming
from overread.ui.floats import Finder


class TermFinder(Finder):
    """Type what the selected finding is; `chosen` is the `Term`, or a `Concept` that is to be kept first.

    What the models tell apart comes first.
    """

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent, "What is it? Or a code of your own: 12345 99MINE Odd thing", self._fitting)
        self.session = session
        self.chosen.connect(self._name)

    def _fitting(self, text: str) -> Iterable[tuple[str, object]]:
        specs = [detector.spec for detector in self.session.detectors]
        own = codes.typed(text)
        if own is not None:
            yield f"Keep “{own.code.meaning}” as {own.code.value} {own.code.scheme}, and call it so", own
        try:
            terms = suggested(text, specs, self.session.shown_findings)
        except UserError as error:
            self.session.fail(error)
            return
        for term in terms:
            yield f"{term.label}    {term.concept.value} {term.concept.scheme}", term

    def _name(self, chosen: Term | Concept) -> None:
        if isinstance(chosen, Concept):
            try:
                codes.add(chosen)
            except UserError as error:
                self.session.fail(error)
                return
            chosen = as_term(chosen)
        naming.name(self.session, chosen)


class SiteFinder(Finder):
    """Type where the selected finding is; `chosen` is a `Code`, a `Concept` that is to be kept first, or None."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent, "Where is it? Or a code of your own: 12345 99MINE Odd place", self._fitting)
        self.session = session
        self.chosen.connect(self._place)

    def _fitting(self, text: str) -> Iterable[tuple[str, object]]:
        own, finding = codes.typed(text, "place"), self.session.selected
        if own is not None:
            yield f"Keep “{own.code.meaning}” as {own.code.value} {own.code.scheme}, and place it there", own
        try:
            found = places(text, [detector.spec for detector in self.session.detectors], self.session.shown_findings)
        except UserError as error:
            self.session.fail(error)
            return
        for code in found:
            yield f"{code.meaning}    {code.value} {code.scheme}", code
        if not text and finding is not None and finding.anatomy is not None:
            yield "Nowhere in particular", None

    def _place(self, chosen: Code | Concept | None) -> None:
        if isinstance(chosen, Concept):
            try:
                codes.add(chosen)
            except UserError as error:
                self.session.fail(error)
                return
            chosen = chosen.code
        finding = self.session.selected
        if finding is not None:
            self.session.edit(*place(self.session.findings, finding.id, chosen, self.session.reader))
