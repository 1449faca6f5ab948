"""What models said is kept within a budget in bytes."""

from __future__ import annotations

import numpy as np

from overread.infer.results import Levels, Patch, SliceResult
from overread.session.kept import Kept, Key


def result(index: int, seed: int = 0) -> SliceResult:
    rng = np.random.default_rng(seed + index)
    noise = rng.random((64, 64)).astype(np.float32)
    return SliceResult(index, (Patch.of(noise > 0.5),), levels=(Levels.of(noise),))


def key(volume: str, model: str = "model") -> Key:
    return volume, model, ("a" * 64,)


def test_what_was_kept_is_there_again_for_the_same_volume_and_model_alone() -> None:
    kept = Kept(1 << 20)
    kept.put(kept.shelf(key("one")), result(3))
    assert list(kept.shelf(key("one")).results) == [3]
    assert not kept.shelf(key("two")).results
    assert not kept.shelf(key("one", "other")).results
    assert not kept.shelf(("one", "model", ("b" * 64,))).results


def test_beyond_the_budget_the_longest_unasked_for_is_forgotten() -> None:
    size = result(0).nbytes
    kept = Kept(5 * size)
    for volume in ("one", "two"):
        for index in range(2):
            kept.put(kept.shelf(key(volume)), result(index))
    kept.shelf(key("one"))
    three = kept.shelf(key("three"))
    for index in range(2):
        kept.put(three, result(index))
    assert kept.nbytes <= 5 * size
    assert len(kept.shelf(key("one")).results) == len(kept.shelf(key("three")).results) == 2
    assert not kept.shelf(key("two")).results


def test_a_series_that_is_larger_than_the_budget_is_kept_while_it_is_read() -> None:
    kept = Kept(1)
    shelf = kept.shelf(key("one"))
    for index in range(3):
        kept.put(shelf, result(index))
    assert list(kept.shelf(key("one")).results) == [0, 1, 2]
    other = kept.shelf(key("two"))
    kept.put(other, result(0))
    assert not kept.shelf(key("one")).results
    assert list(shelf.results) == [0, 1, 2], "who has it still has it"


def test_a_slice_that_is_read_again_counts_once() -> None:
    kept = Kept(1 << 20)
    shelf = kept.shelf(key("one"))
    for seed in range(4):
        kept.put(shelf, result(0, seed))
    assert kept.nbytes == result(0, 3).nbytes
