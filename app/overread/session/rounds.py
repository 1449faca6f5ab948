"""Going through a study's findings: which one is next, and on which series it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from overread.domain.finding import Finding, Findings, Status
from overread.domain.listing import Listing, listed
from overread.domain.study import Stack


def waiting(shown: Sequence[Finding]) -> tuple[Finding, ...]:
    """Those that wait for a verdict."""
    return tuple(finding for finding in shown if finding.status is Status.PROPOSED)


def following(
    findings: Findings, candidates: Sequence[Finding], selected: str | None, step: int, listing: Listing
) -> Finding | None:
    """The candidate after (+1) or before (-1) the selected finding in the order of the list, round and round.

    `findings` are all of the series: one that was just judged may have left the list, but it keeps its place in it.
    """
    if not candidates:
        return None
    everything = replace(listing, statuses=frozenset(), source="", text="", cutoffs=())
    order = [finding.id for finding in listed(findings, everything, rejected=True)]
    ring = sorted(candidates, key=lambda finding: order.index(finding.id), reverse=step < 0)
    if selected not in order:
        return ring[0]
    here = order.index(selected)
    return next((finding for finding in ring if (order.index(finding.id) - here) * step > 0), ring[0])


def next_series(
    findings: Findings, stacks: Sequence[Stack], here: Stack, step: int, listing: Listing
) -> tuple[Stack, int] | None:
    """The next series of the study, after (+1) or before (-1) `here`, with undecided findings, and how many.

    `stacks` are those that are open, in the order of the study; only what the listing shows is counted.
    """
    same = (*here.identity.person, here.identity.study_uid)
    own = [stack for stack in stacks if (*stack.identity.person, stack.identity.study_uid) == same]
    at = next((number for number, stack in enumerate(own) if stack.uid == here.uid), 0)
    for away in range(1, len(own)):
        stack = own[(at + away * step) % len(own)]
        there = [finding for finding in findings if finding.stack_uid == stack.uid]
        count = len(waiting(listed(there, listing, rejected=False)))
        if count:
            return stack, count
    return None
