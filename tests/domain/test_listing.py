"""Lists keep back what they are told to, count it, and change no finding."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from overread.domain.finding import Finding, Mask, Measures, Status
from overread.domain.listing import Listing, Order, below, grouped, listed, position, sources, terms, unseen
from support import values

SHAPE = (9, 8, 8)
MODELS = tuple(replace(values.MODEL, id=name, name=name.upper()) for name in ("a", "b"))


def made(number: int, size: int = 1, k: int = 0, **facts: object) -> Finding:
    mask = Mask.of(np.ones((1, 1, size), np.bool_), (k, 0, 0), SHAPE)
    facts = {"model": MODELS[0], "id": f"2.25.{number}", "number": number, "label": "Cyst", **facts}
    return values.finding(mask, **facts)  # type: ignore[arg-type]


@st.composite
def studies(draw: st.DrawFn) -> tuple[Finding, ...]:
    found = []
    for number in range(1, draw(st.integers(0, 12)) + 1):
        model = draw(st.sampled_from((*MODELS, None)))
        facts = {
            "model": model,
            "label": draw(st.sampled_from(("Cyst", "Nodule"))),
            "score": draw(st.none() | st.floats(0, 1)) if model else None,
            "status": draw(st.sampled_from(Status)) if model else Status.EDITED,
        }
        found.append(made(number, draw(st.integers(1, 8)), draw(st.integers(0, 8)), **facts))
    return tuple(found)


LISTINGS = st.builds(
    Listing,
    order=st.sampled_from(Order),
    reverse=st.booleans(),
    statuses=st.frozensets(st.sampled_from(Status), max_size=2),
    source=st.sampled_from(("", "a", "b", "reader")),
    text=st.sampled_from(("", "cy", " NOD ", "3")),
    cutoffs=st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1)), unique_by=lambda each: each[0]).map(tuple),
)


@given(studies(), LISTINGS, st.booleans())
def test_what_is_listed_is_what_was_asked_for_and_the_rest_is_counted(
    findings: tuple[Finding, ...], listing: Listing, rejected: bool
) -> None:
    shown = listed(findings, listing, rejected=rejected)
    assert len(set(map(id, shown))) == len(shown)
    assert set(map(id, shown)) <= set(map(id, findings)), "the very findings, none changed"
    for finding in findings:
        asked = (
            (finding.status in listing.statuses if listing.statuses else rejected or finding.status.value != "rejected")
            and (not listing.source or listing.source == (finding.model.id if finding.model else "reader"))
            and listing.text.strip().lower() in finding.title.lower()
        )
        low = finding.status is Status.PROPOSED and (finding.score or 0.0) < listing.cutoff(
            finding.model.id if finding.model else ""
        )
        assert (finding in shown) == (asked and not (low and finding.score is not None))
    said = [int(part.split()[0]) for part in unseen(findings, listing, rejected=rejected).split(" · ") if part]
    wide = replace(listing, statuses=frozenset(), source="", text="", cutoffs=())
    could = {f.id for f in listed(findings, wide, rejected=rejected)}
    assert sum(said) == len(could - {f.id for f in shown}), "what is merely folded away is not counted"


@given(studies(), st.sampled_from(Order), st.booleans())
def test_every_order_is_an_order(findings: tuple[Finding, ...], order: Order, reverse: bool) -> None:
    key = {
        Order.NUMBER: lambda f: f.number,
        Order.SCORE: lambda f: -f.score,
        Order.SIZE: lambda f: -f.mask.count,
        Order.POSITION: position,
    }[order]
    shown = listed(findings, Listing(order, reverse), rejected=True)
    assert len(shown) == len(findings)
    ranked = [f for f in shown if order is not Order.SCORE or f.score is not None]
    assert list(shown[: len(ranked)]) == ranked, "what has no score comes last either way"
    for one, other in pairwise(ranked):
        assert key(one) >= key(other) if reverse else key(one) <= key(other)
        assert key(one) != key(other) or one.number < other.number
    ranks = [f.status for f in grouped(shown)]
    assert ranks == sorted(ranks, key=lambda status: {"proposed": 0, "rejected": 2}.get(status.value, 1))


def test_a_cutoff_keeps_back_proposals_alone() -> None:
    low = made(1, score=0.4)
    listing = Listing().with_cutoff("a", 0.6)
    assert below(low, listing)
    assert not below(replace(low, score=0.6), listing)
    assert not below(replace(low, score=None), listing)
    assert not below(replace(low, model=MODELS[1]), listing), "another model's"
    for status in (Status.ACCEPTED, Status.EDITED, Status.REJECTED):
        assert not below(replace(low, status=status), listing), "what a person judged is never kept back"
    assert unseen([low, made(2, score=0.7)], listing, rejected=False) == "1 below 0.60 not shown"
    assert listing.with_cutoff("a", 0.0) == Listing()
    assert Listing().with_cutoff("a", 1.3).cutoff("a") == 1.0


def test_what_decides_the_list_is_said_for_the_journal() -> None:
    findings = [made(1), made(2, model=MODELS[1])]
    assert sources(findings) == {"a": "A", "b": "B"}
    listing = Listing(source="b", text=" cyst ", cutoffs=(("a", 0.6), ("gone", 0.5)))
    assert terms(findings, listing) == "A from 0.60, only B, label “cyst”"
    assert terms(findings, Listing()) == ""
    low = [made(1, score=0.1), made(2, score=0.9), made(3, model=MODELS[1])]
    assert unseen(low, listing, rejected=False) == "1 below 0.60 not shown · 1 filtered out"


def test_position_is_the_largest_slice_else_the_middle() -> None:
    assert position(made(1, k=5)) == 5.0
    assert position(made(1, k=5, measures=Measures(1.0, 1.0, 1.0, 7, 1.0))) == 7.0
