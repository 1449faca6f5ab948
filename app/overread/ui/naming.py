"""What findings are called, and whether a class is there: what keys do to the selected one."""

from __future__ import annotations

from overread.domain.errors import UserError
from overread.domain.finding import Kind, Term
from overread.session.session import Session
from overread.session.terms import relabel, turn


def name(session: Session, term: Term) -> None:
    """Call the selected finding something else."""
    finding = session.selected
    if finding is not None:
        session.edit(*relabel(session.findings, finding.id, term, session.reader))


def turn_over(session: Session) -> None:
    """Say the opposite of the selected class: there, or not there."""
    finding = session.selected
    if finding is None:
        return
    if finding.kind is not Kind.CLASSIFICATION:
        session.fail(UserError(f"{finding.title} is no class that is present or absent.", "X rejects it."))
    elif finding.proposed is not None:
        session.fail(UserError(f"{finding.label} is what you called it, so it is there.", "X rejects it."))
    else:
        session.edit(*turn(session.findings, finding.id, session.reader))
