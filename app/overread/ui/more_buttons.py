"""The buttons of the selected finding beyond the verdict: what can be done to a box, a measurement, a class."""

from __future__ import annotations

from overread.domain.finding import Finding, Kind, Status

# Action and text, row by row.
Rows = tuple[tuple[tuple[str, str], ...], ...]


def more_buttons(finding: Finding, *, outlines: bool) -> Rows:
    """What there is for a finding; `outlines` says whether a model can outline a box."""
    name, site = ("relabel", "Name…  Ctrl+L"), ("site", "Place…")
    if finding.status is Status.REJECTED:
        return ()
    if finding.kind is Kind.DETECTION:
        first = (("outline", "Outline  C"),) if outlines else ()
        last = (name, site) if finding.given else (name, site, ("delete", "Delete  Del"))
        return (*first, ("split", "Split  J"), ("merge", "Merge  U")), last
    if finding.kind is Kind.CLASSIFICATION:
        turned = () if finding.proposed is not None else (("turn", f"Say {_other(finding)}  Y"),)
        return ((*turned, name, site),)
    if not finding.given:
        return ((name, site, ("delete", "Delete  Del")),)
    return ((name, site),)


def _other(finding: Finding) -> str:
    return "absent" if finding.positive else "present"
