"""What findings can be called: coded terms, those of the models first, and what a reader calls them instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from overread.domain.finding import Act, Code, Finding, Findings, Kind, Reader, Status, Term, find, with_finding
from overread.infer.manifest import ModelSpec
from overread.session import codes
from overread.session.review import DRAWN, Step, now


def suggested(text: str, specs: Iterable[ModelSpec], findings: Findings) -> tuple[Term, ...]:
    """What fits a text: what the models tell apart and what is in the study already, then concepts of the table.

    UserError where the reader's own table cannot be read.
    """
    named = [Term(output.label, output.concept, output.category) for spec in specs for output in spec.outputs]
    used = [finding.proposed or finding.term for finding in findings if finding.kind is not Kind.MEASUREMENT]
    words = text.lower().split()
    near = [term for term in (*named, *used) if all(word in term.label.lower() for word in words)]
    first: dict[tuple[str, str, str], Term] = {}
    for term in (*near, *(as_term(concept) for concept in codes.search(text))):
        first.setdefault((term.label.lower(), term.concept.scheme, term.concept.value), term)
    return tuple(first.values())


def as_term(concept: codes.Concept) -> Term:
    """What a finding is called by a concept."""
    return Term(concept.code.meaning, concept.code, concept.category or DRAWN.category)


def relabel(findings: Findings, finding_id: str, term: Term, reader: Reader) -> Step:
    """Call a finding something else. What the model called it stays in `proposed`.

    A class under another name is the reader's: it is there because the reader says so.
    """
    finding = _of(findings, finding_id)
    if term == finding.term:
        return f"Relabel {finding.title}", findings
    proposed = finding.proposed
    if proposed is None and finding.given:
        proposed = finding.term
    if proposed == term:
        proposed = None
    present = True if finding.kind is Kind.CLASSIFICATION and proposed is not None else None
    changed = replace(
        finding, label=term.label, concept=term.concept, category=term.category, proposed=proposed, present=present
    )
    changed = _by_reader(changed, Act(reader, "relabel", now()))
    return f"Relabel {finding.title} as {term.label}", with_finding(findings, changed)


def places(text: str, specs: Iterable[ModelSpec], findings: Findings) -> tuple[Code, ...]:
    """Where things can be: where models and findings of the study say, then places of the table.

    UserError where the reader's own table cannot be read.
    """
    said = [output.anatomy for spec in specs for output in spec.outputs] + [finding.anatomy for finding in findings]
    words = text.lower().split()
    near = [code for code in said if code is not None and all(word in code.meaning.lower() for word in words)]
    first: dict[tuple[str, str], Code] = {}
    for code in (*near, *(concept.code for concept in codes.search(text, "place"))):
        first.setdefault((code.scheme, code.value), code)
    return tuple(first.values())


def place(findings: Findings, finding_id: str, site: Code | None, reader: Reader) -> Step:
    """Say where a finding is, None for nowhere in particular. Where the model put it stays in `proposed_site`.

    It is no verdict: a proposal stays one. What was accepted as proposed is edited from then on.
    """
    finding = _of(findings, finding_id)
    label = f"Place {finding.title} in {site.meaning}" if site else f"No place for {finding.title}"
    if site == finding.anatomy:
        return label, findings
    held = () if finding.anatomy is None else (finding.anatomy,)
    proposed = held if finding.proposed_site is None and finding.given else finding.proposed_site
    if proposed == (() if site is None else (site,)):
        proposed = None
    edited = finding.status is Status.ACCEPTED and proposed is not None
    changed = replace(
        finding,
        anatomy=site,
        proposed_site=proposed,
        status=Status.EDITED if edited else finding.status,
        acts=(*finding.acts, Act(reader, "place", now())),
    )
    return label, with_finding(findings, changed)


def turn(findings: Findings, finding_id: str, reader: Reader) -> Step:
    """Say the opposite of what a classification says: there, or not there."""
    finding = _of(findings, finding_id)
    if finding.kind is not Kind.CLASSIFICATION or finding.proposed is not None:
        raise KeyError(finding_id)
    present = not finding.positive
    stated = replace(finding, present=None)
    changed = replace(finding, present=None if stated.positive is present else present)
    changed = _by_reader(changed, Act(reader, "turn", now()))
    return f"{finding.label} is {'present' if present else 'absent'}", with_finding(findings, changed)


def _by_reader(finding: Finding, act: Act) -> Finding:
    return replace(finding, status=Status.EDITED, reason="", acts=(*finding.acts, act))


def _of(findings: Findings, finding_id: str) -> Finding:
    finding = find(findings, finding_id)
    if finding is None:
        raise KeyError(finding_id)
    return finding
