"""The finder for what findings are called."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtWidgets import QWidget

from overread.domain.errors import UserError
from overread.session.session import Session
from overread.session.terms import suggested
from overread.ui import naming
from overread.ui.floats import Finder


class TermFinder(Finder):
    """Type what the selected finding is; `chosen` is the `Term`. What the models tell apart comes first."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        def fitting(text: str) -> Iterable[tuple[str, object]]:
            specs = [detector.spec for detector in session.detectors]
            try:
                terms = suggested(text, specs, session.shown_findings)
            except UserError as error:
                session.fail(error)
                return
            for term in terms:
                yield f"{term.label}    {term.concept.value} {term.concept.scheme}", term

        super().__init__(parent, "What is it? SNOMED CT, DICOM", fitting)
        self.chosen.connect(lambda term: naming.name(session, term))
