"""A tool that is held back touches nothing else, whether it draws or erases."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from overread.domain.finding import Mask
from overread.imaging.editing.limits import Limits
from support.values import volume


@given(st.integers(0, 2**31), st.tuples(*[st.booleans()] * 3))
def test_what_may_not_be_touched_stays_as_it_was(seed: int, which: tuple[bool, bool, bool]) -> None:
    rng = np.random.default_rng(seed)
    before, after, one, other = (rng.random((5, 7, 6)) < 0.4 for _ in range(4))
    stored = rng.integers(0, 100, before.shape).astype(np.int16)
    allowed = np.ones_like(before)
    facts = {}
    if which[0]:
        facts["range"] = (20.0, 60.0)
        allowed &= (stored >= 20) & (stored <= 60)
    if which[1]:
        facts["inside"] = Mask.of(one)
        allowed &= one
    if which[2]:
        facts["outside"] = (Mask.of(other),)
        allowed &= ~other
    limits = Limits(volume(stored), **facts)
    assert limits.free is not any(which)
    box = (slice(1, 4), slice(0, 7), slice(2, 6))
    assert np.array_equal(limits(box), allowed[box])
    got = limits.apply(Mask.of(before), Mask.of(after))
    assert np.array_equal(got.voxels, np.where(allowed, after, before))
