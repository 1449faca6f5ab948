"""What a reader measures, as findings: pure functions, findings in, findings and the step's name out."""

from __future__ import annotations

from dataclasses import replace

from overread.domain.errors import UserError
from overread.domain.finding import Act, Code, Finding, Findings, Kind, Reader, Status, Term, find, with_finding
from overread.domain.measurement import Measurement, Shape
from overread.domain.study import Stack
from overread.imaging.measuring import ANGLE, AREA, LENGTH, LONG_AXIS
from overread.imaging.paint import empty
from overread.session.review import Step, now, readers_own

_GROUP = Code("125007", "DCM", "Measurement Group")
# What a measurement is called until it is given the name of what was measured.
TERMS = {
    Shape.LENGTH: Term("Length", LENGTH, _GROUP),
    Shape.BIDIRECTIONAL: Term("Diameters", LONG_AXIS, _GROUP),
    Shape.ANGLE: Term("Angle", ANGLE, _GROUP),
    Shape.ELLIPSE: Term("Region", AREA, _GROUP),
}


def measure_new(findings: Findings, made: Measurement, stack: Stack, reader: Reader) -> tuple[str, Findings, str]:
    """Add a measurement; returns the step and its id."""
    finding = fresh(findings, made, stack, reader)
    return f"Measure {finding.title}", (*findings, finding), finding.id


def fresh(findings: Findings, made: Measurement, stack: Stack, reader: Reader) -> Finding:
    """A measurement as the finding that it would become."""
    nothing, term = empty(stack.grid.shape), TERMS[made.shape]
    facts = {"kind": Kind.MEASUREMENT, "measurement": made}
    return readers_own(findings, stack, reader, "measure", nothing, term, **facts)


def remeasure(findings: Findings, finding_id: str, made: Measurement, reader: Reader) -> Step:
    """Put the points of a measurement elsewhere. The same points again are no change."""
    finding = find(findings, finding_id)
    if finding is None or finding.kind is not Kind.MEASUREMENT:
        raise KeyError(finding_id)
    if finding.measurement == made:
        return f"Change {finding.title}", findings
    acts = (*finding.acts, Act(reader, "measure", now()))
    changed = replace(finding, measurement=made, status=Status.EDITED, reason="", acts=acts)
    return f"Change {finding.title}", with_finding(findings, changed)


def delete(findings: Findings, finding_id: str) -> Step:
    """Take away what a reader drew or measured. UserError for what was proposed: that is rejected, for a reason."""
    finding = find(findings, finding_id)
    if finding is None:
        raise KeyError(finding_id)
    if finding.model is not None:
        raise UserError(f"{finding.title} is a model's: it is rejected, not deleted.", "Press X.")
    if finding.given:
        raise UserError(f"{finding.title} was read from an object: it is rejected, not deleted.", "Press X.")
    return f"Delete {finding.title}", tuple(other for other in findings if other.id != finding_id)
