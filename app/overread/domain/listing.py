"""Which findings a list shows, and in which order. What is not shown keeps its status and is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from overread.domain.finding import Finding, Status

# The source of what a reader drew.
OWN = "reader"
# Undecided ones first, rejected ones last; within each the reader's order.
_RANK = {Status.PROPOSED: 0, Status.EDITED: 1, Status.ACCEPTED: 1, Status.REJECTED: 2}


class Order(Enum):
    """What a list is sorted by. Scores and sizes run from the greatest, position and number from the first."""

    NUMBER = "number"
    SCORE = "score"
    SIZE = "size"
    POSITION = "position"


@dataclass(frozen=True)
class Listing:
    """How a study's findings are listed; it changes none of them.

    `statuses`, `source` and `text` (a part of the name) narrow the list, empty ones do not. `cutoffs` are the scores
    below which proposals of a source, by its id, are kept out of list and image.
    """

    order: Order = Order.NUMBER
    reverse: bool = False
    statuses: frozenset[Status] = frozenset()
    source: str = ""
    text: str = ""
    cutoffs: tuple[tuple[str, float], ...] = ()

    def cutoff(self, source: str) -> float:
        """The score from which on a source's proposals are shown."""
        return dict(self.cutoffs).get(source, 0.0)

    def with_cutoff(self, source: str, score: float) -> Listing:
        """The same with another cutoff for a source, 0 to 1."""
        others = {other: value for other, value in self.cutoffs if other != source}
        wanted = min(max(round(score, 2), 0.0), 1.0)
        kept = {**others, source: wanted} if wanted > 0 else others
        return replace(self, cutoffs=tuple(sorted(kept.items())))

    @property
    def narrowed(self) -> bool:
        """Whether status, source or text keep something from the list."""
        return bool(self.statuses or self.source or self.text.strip())


def source_id(finding: Finding) -> str:
    """What tells the sources of findings apart: the object it was read from, else the model, else a reader drew it."""
    if finding.source is not None:
        return finding.source.sop_instance_uid
    return finding.model.id if finding.model is not None else OWN


def source_name(finding: Finding) -> str:
    """What a source is called."""
    if finding.source is not None:
        return finding.source.title
    return finding.model.name if finding.model is not None else "Drawn by hand"


def sources(findings: Iterable[Finding]) -> dict[str, str]:
    """The sources of findings, id to name, in the order of their first finding."""
    named: dict[str, str] = {}
    for finding in findings:
        named.setdefault(source_id(finding), source_name(finding))
    return named


def below(finding: Finding, listing: Listing) -> bool:
    """Whether a proposal scores lower than its source's cutoff. Whatever a person judged is never kept out."""
    if finding.status is not Status.PROPOSED or finding.score is None:
        return False
    return finding.score < listing.cutoff(source_id(finding))


def _wanted(finding: Finding, listing: Listing, *, rejected: bool) -> bool:
    if listing.statuses:
        if finding.status not in listing.statuses:
            return False
    elif finding.status is Status.REJECTED and not rejected:
        return False
    if listing.source and source_id(finding) != listing.source:
        return False
    return listing.text.strip().casefold() in finding.title.casefold()


def listed(findings: Iterable[Finding], listing: Listing, *, rejected: bool) -> tuple[Finding, ...]:
    """The findings that the list shows, in the reader's order, whatever became of them.

    `rejected` says whether rejected ones are shown where no status is asked for.
    """
    kept = (f for f in findings if not below(f, listing) and _wanted(f, listing, rejected=rejected))
    return tuple(sorted(kept, key=lambda finding: _key(finding, listing)))


def grouped(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Undecided ones first and rejected ones last, else in the order given."""
    return tuple(sorted(findings, key=lambda finding: _RANK[finding.status]))


def _key(finding: Finding, listing: Listing) -> tuple[float, ...]:
    """What to sort by; equal ones by their numbers, and what has no score last either way."""
    sign = -1.0 if listing.reverse else 1.0
    number = float(finding.number)
    if listing.order is Order.SCORE:
        return float(finding.score is None), -sign * (finding.score or 0.0), number
    if listing.order is Order.SIZE:
        return -sign * finding.mask.count, number
    if listing.order is Order.POSITION:
        return sign * position(finding), number
    return (sign * number,)


def position(finding: Finding) -> float:
    """Where along the stack (k) a finding lies: its largest slice, else the middle of its box."""
    if finding.measures is not None:
        return float(finding.measures.largest_slice)
    if finding.bounds is not None:
        return (finding.bounds[0] + finding.bounds[3] - 1) / 2
    if finding.measurement is not None:
        return sum(point[0] for point in finding.measurement.points) / len(finding.measurement.points)
    return float(finding.heatmap.index) if finding.heatmap is not None else 0.0


def unseen(findings: Iterable[Finding], listing: Listing, *, rejected: bool) -> str:
    """What the list keeps back, in words: "14 below 0.60 not shown · 3 filtered out"; "" where that is nothing.

    Rejected ones that are merely folded away are not counted.
    """
    findings = tuple(findings)
    low = Counter(listing.cutoff(source_id(f)) for f in findings if below(f, listing))
    parts = [f"{low[score]} below {score:.2f} not shown" for score in sorted(low)]
    rest = [f for f in findings if not below(f, listing)]
    open_list = replace(listing, statuses=frozenset(), source="", text="")
    out = sum(_wanted(f, open_list, rejected=rejected) and not _wanted(f, listing, rejected=rejected) for f in rest)
    if out:
        parts.append(f"{out} filtered out")
    return " · ".join(parts)


def terms(findings: Iterable[Finding], listing: Listing) -> str:
    """What decides which findings are listed, for the journal: "Glioma from 0.60, label “cyst”"; "" where nothing."""
    named = sources(findings)
    parts = [f"{named[source]} from {score:.2f}" for source, score in listing.cutoffs if source in named]
    if listing.source:
        parts.append(f"only {named.get(listing.source, listing.source)}")
    if listing.text.strip():
        parts.append(f"label “{listing.text.strip()}”")
    return ", ".join(parts)
