"""N goes through a study as the list is sorted and filtered, series after series."""

from __future__ import annotations

from dataclasses import replace

from overread.domain.finding import Findings, Status, with_finding
from overread.domain.listing import Listing, Order, listed
from overread.session.review import accept
from overread.session.rounds import following, next_series, waiting
from support.sitting import DOE, box_mask, finding_of, stack_of

STACKS = [stack_of(series=f"1.2.3.{n}") for n in range(4)]
SHAPE = STACKS[0].grid.shape


def proposals(stack: object, *scores: float) -> Findings:
    mask = box_mask(SHAPE, (1, 4, 4), (2, 4, 4))
    uid = stack.identity.series_uid  # type: ignore[attr-defined]
    return tuple(
        finding_of(stack, mask, number=n, id=f"{uid}.{n}", score=score)  # type: ignore[arg-type]
        for n, score in enumerate(scores, start=1)
    )


def round_trip(findings: Findings, listing: Listing, step: int) -> list[int]:
    """Press N until it comes round."""
    seen: list[int] = []
    selected = None
    while True:
        shown = waiting(listed(findings, listing, rejected=False))
        target = following(findings, shown, selected, step, listing)
        assert target is not None
        if target.number in seen:
            return seen
        seen.append(target.number)
        selected = target.id


def test_n_follows_the_order_of_the_list_both_ways_and_skips_what_is_not_shown() -> None:
    findings = proposals(STACKS[0], 0.5, 0.9, 0.2, 0.7)
    by_score = Listing(Order.SCORE)
    assert round_trip(findings, Listing(), +1) == [1, 2, 3, 4]
    assert round_trip(findings, by_score, +1) == [2, 4, 1, 3]
    assert round_trip(findings, by_score, -1) == [3, 1, 4, 2]
    assert round_trip(findings, by_score.with_cutoff("bright", 0.6), +1) == [2, 4]
    assert following(findings, (), None, +1, by_score) is None


def test_what_was_just_judged_keeps_its_place_though_the_list_no_longer_has_it() -> None:
    findings = proposals(STACKS[0], 0.5, 0.9, 0.2, 0.7)
    listing = Listing(Order.SCORE, statuses=frozenset({Status.PROPOSED}))
    judged = accept(findings, [findings[3].id], DOE)[1]
    shown = waiting(listed(judged, listing, rejected=False))
    after = following(judged, shown, findings[3].id, +1, listing)
    before = following(judged, shown, findings[3].id, -1, listing)
    assert after is not None
    assert before is not None
    assert (after.number, before.number) == (1, 2)


def test_the_next_series_is_of_the_same_study_and_has_something_to_show() -> None:
    here, empty, low, last = STACKS
    findings = (*proposals(here, 0.5), *proposals(low, 0.1), *proposals(last, 0.3, 0.8))
    assert next_series(findings, STACKS, here, +1, Listing()) == (low, 1)
    assert next_series(findings, STACKS, here, -1, Listing()) == (last, 2)
    listing = Listing().with_cutoff("bright", 0.2)
    assert next_series(findings, STACKS, here, +1, listing) == (last, 2), "a series of hidden proposals is not offered"
    assert next_series(findings, STACKS, last, +1, Listing()) == (here, 1), "round the study"
    assert next_series(findings, [here, empty], here, +1, Listing()) is None
    other = replace(low, identity=replace(low.identity, patient_id="ID2"))
    assert next_series(findings, [here, other], here, +1, Listing()) is None, "another person's is never gone to"
    done = findings
    for finding in findings:
        done = with_finding(done, replace(finding, status=Status.ACCEPTED))
    assert next_series(done, STACKS, here, +1, Listing()) is None
