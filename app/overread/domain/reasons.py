"""What models answered when they were asked why: kept with their findings, in bounds, and which of it still holds."""

from __future__ import annotations

from dataclasses import replace

from overread.domain.finding import Finding, Findings, find, with_finding
from overread.domain.heatmap import Heatmap, Reason

# A finding keeps answers of so many bytes: a thousand maps of 16 × 16 cells, or one of 512 × 512.
MOST_BYTES = 1 << 20


def with_reason(findings: Findings, finding_id: str, fresh: Reason) -> Findings:
    """The findings, one of them with another answer: in place of an earlier one to the same question.

    Beyond `MOST_BYTES` a finding's oldest are forgotten. Nothing changes where there is no such finding, or the answer
    alone has more.
    """
    finding = find(findings, finding_id)
    if finding is None or len(fresh.heatmap.packed) > MOST_BYTES:
        return findings
    kept = [*(reason for reason in finding.reasons if reason.question != fresh.question), fresh]
    while sum(len(reason.heatmap.packed) for reason in kept) > MOST_BYTES:
        kept.pop(0)
    return with_finding(findings, replace(finding, reasons=tuple(kept)))


def heatmaps(finding: Finding) -> tuple[Heatmap, ...]:
    """A finding's own map, and those that a reader asked for of the voxels that it has now; no stale ones."""
    own = () if finding.heatmap is None else (finding.heatmap,)
    return own + tuple(reason.heatmap for reason in finding.reasons if reason.about == finding.mask.digest)
