"""Two readings of one series side by side: which can be compared, and what came of it. No step of the review."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from overread.domain.finding import Finding, Mask, Status
from overread.domain.geometry import Grid
from overread.domain.listing import OWN, Listing, below, source_id, sources
from overread.imaging.compare import Agreement, agreement
from overread.imaging.components import joined
from overread.session.jobs import Job
from overread.session.session import Session

_KEPT = 16
# The side of all that a reader stands by.
REVIEWED = "reviewed"


@dataclass(frozen=True)
class Side:
    """Something to compare: a source as a whole, what was reviewed, one finding, or a finding as it was proposed."""

    key: str
    name: str
    masks: tuple[Mask, ...]


def sides(findings: Iterable[Finding], listing: Listing) -> dict[str, Side]:
    """All that can be compared on a series, by key.

    A model or an object counts with what it proposed, whatever became of it, as far as its cutoff shows it; boxes
    count with all of their voxels. What has no voxels takes no part.
    """
    held = [finding for finding in findings if finding.mask or finding.original]
    found: list[Side] = []
    for source, name in sources(held).items():
        if source != OWN:
            own = [f for f in held if source_id(f) == source and not below(f, listing)]
            found.append(Side(f"source:{source}", f"{name}, as proposed", _proposed(own)))
    kept = tuple(finding.mask for finding in held if finding.status.leaves and finding.mask)
    found.append(Side(REVIEWED, "What was accepted or drawn", kept))
    for finding in held:
        if finding.status is not Status.REJECTED and finding.mask:
            found.append(Side(f"finding:{finding.id}", finding.title, (finding.mask,)))
        if finding.original is not None and finding.given:
            found.append(Side(f"original:{finding.id}", f"{finding.title}, as proposed", (finding.original,)))
    return {side.key: side for side in found if side.masks}


def _proposed(findings: Sequence[Finding]) -> tuple[Mask, ...]:
    drawn = (finding.mask if finding.original is None else finding.original for finding in findings)
    return tuple(mask for mask in drawn if mask)


def pairs(known: dict[str, Side], selected: str | None) -> list[tuple[str, str]]:
    """What a reader would compare, the likeliest first.

    The selected finding with what was proposed, then sources with each other, then each with what was reviewed.
    """
    own = (f"original:{selected}", f"finding:{selected}")
    likely = [own] if all(key in known for key in own) else []
    whole = [key for key in known if key.startswith("source:")]
    likely += list(combinations(whole, 2))
    likely += [(key, REVIEWED) for key in whole if REVIEWED in known]
    single = [key for key in known if key.startswith("finding:")]
    return likely or list(combinations(single, 2))[:1]


# The stack and the voxels on either side.
Key = tuple[str, tuple[str, ...], tuple[str, ...]]


class Comparisons:
    """What the view asks to compare, worked out by a worker. `changed` is called when an answer is there."""

    def __init__(self, session: Session, changed: Callable[[], None]) -> None:
        self._session, self._changed = session, changed
        self._kept: OrderedDict[Key, Agreement] = OrderedDict()
        self._job: Job | None = None

    @property
    def sides(self) -> dict[str, Side]:
        """All that can be compared now."""
        return sides(self._session.shown_findings, self._session.view.listing)

    @property
    def asked(self) -> tuple[Side, Side] | None:
        """What the view compares; None where it compares nothing, or one of the two is no longer there."""
        wanted = self._session.view.compare
        if wanted is None:
            return None
        known = self.sides
        one, other = known.get(wanted[0]), known.get(wanted[1])
        return (one, other) if one is not None and other is not None else None

    def now(self) -> Agreement | None:
        """How the two agree as they are now; None while that is worked out, which this begins."""
        image, asked = self._session.image, self.asked
        if image is None or asked is None:
            return None
        one, other = asked
        a, b = (tuple(mask.digest for mask in side.masks) for side in (one, other))
        key = image.stack.uid, a, b
        if key not in self._kept and (self._job is None or not self._job.running):
            grid = image.stack.grid
            self._job = self._session.jobs.call(
                f"Comparing {one.name} with {other.name}",
                lambda job: (key, _compared(one, other, grid)),
                self._arrived,
                quiet=True,
            )
        return self._kept.get(key)

    def _arrived(self, answer: tuple[Key, Agreement]) -> None:
        self._kept[answer[0]] = answer[1]
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        self._changed()


def _compared(one: Side, other: Side, grid: Grid) -> Agreement:
    (a,), (b,) = joined(one.masks), joined(other.masks)
    return agreement(a, b, grid)
