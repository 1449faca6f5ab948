"""What can be compared on a series, what is likeliest, and that it leaves findings alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from overread.domain.finding import Act, Finding, Mask, Status, find
from overread.domain.listing import Listing
from overread.session.comparisons import REVIEWED, pairs, sides
from overread.session.review import accept, redraw, reject, restore
from support.sitting import DOE, box_mask, finding_of, stack_of

STACK = stack_of()
SHAPE = STACK.grid.shape
ONE, TWO, THREE = (box_mask(SHAPE, (1, n, n), (2, 4, 4)) for n in (2, 4, 9))


def made(number: int, mask: Mask, model: str = "a", **facts: object) -> Finding:
    return finding_of(STACK, mask, number=number, model=model, id=f"2.25.{number}", **facts)


def test_a_model_counts_with_what_it_proposed_whatever_became_of_it() -> None:
    edited = redraw((made(1, ONE),), "2.25.1", TWO, STACK, DOE, "Brush")[1][0]
    gone = replace(made(2, THREE), status=Status.REJECTED, acts=(Act(DOE, "reject", datetime.now(UTC)),))
    other = made(3, TWO, "b", score=0.3)
    known = sides((edited, gone, other), Listing())
    assert known["source:a"].masks == (ONE, THREE)
    assert known["source:b"].masks == (TWO,)
    assert known[REVIEWED].masks == (TWO,), "what a reader stands by, as it is now"
    assert known["finding:2.25.1"].masks == (TWO,)
    assert known["original:2.25.1"].masks == (ONE,)
    assert "finding:2.25.2" not in known, "rejected"
    assert "source:b" not in sides((edited, other), Listing().with_cutoff("b", 0.5)), "what is not shown takes no part"


def test_the_likeliest_comes_first() -> None:
    edited = redraw((made(1, ONE),), "2.25.1", TWO, STACK, DOE, "Brush")[1][0]
    known = sides((edited, made(3, TWO, "b")), Listing())
    assert pairs(known, "2.25.1")[0] == ("original:2.25.1", "finding:2.25.1")
    assert pairs(known, None) == [("source:a", "source:b"), ("source:a", REVIEWED), ("source:b", REVIEWED)]
    lone = sides((made(1, ONE), made(2, TWO)), Listing())
    assert pairs(lone, None) == [("finding:2.25.1", "finding:2.25.2")]
    assert pairs(sides((made(1, ONE),), Listing()), None) == []


@given(st.lists(st.tuples(st.sampled_from(("brush", "accept", "reject", "restore")), st.integers(0, 9)), max_size=12))
def test_what_was_proposed_is_never_changed(steps: list[tuple[str, int]]) -> None:
    """Whatever a reader does, the voxels that the model drew are there, bit for bit, and can be gone back to."""
    findings: tuple[Finding, ...] = (made(1, ONE),)
    for verb, seed in steps:
        (now,) = findings
        if verb == "brush":
            voxels = np.random.default_rng(seed).random(SHAPE) < 0.1 * (seed % 3)
            findings = redraw(findings, now.id, Mask.of(voxels), STACK, DOE, "Brush")[1]
        elif verb == "restore" and now.restorable:
            findings = restore(findings, now.id, STACK, DOE)[1]
        elif verb in ("accept", "reject"):
            step = accept(findings, [now.id], DOE) if verb == "accept" else reject(findings, [now.id], DOE, "vessel")
            findings = step[1]
        after = find(findings, now.id)
        assert after is not None
        assert (after.mask if after.original is None else after.original) == ONE
        assert after.model == now.model
