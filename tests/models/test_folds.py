"""Splits: people are parted, nobody is lost, and the same names give the same split."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.folds import folds


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab")), min_size=40), st.integers(0, 99), st.booleans())
def test_folds_part_people_and_test_each_once(items: list[tuple[int, str]], seed: int, stratified: bool) -> None:
    items = [*items, *((n, "a") for n in range(5))]
    groups, labels = [f"P{n}" for n, _ in items], [label for _, label in items]
    made = folds(groups, 5, seed, labels if stratified else None)
    assert sorted(name for fold in made for name in fold.test) == sorted(set(groups))
    for fold in made:
        assert sorted([*fold.train, *fold.validation, *fold.test]) == sorted(set(groups))
        assert fold.train
        assert fold.validation
        assert fold.test
    back = folds(groups[::-1], 5, seed, labels[::-1] if stratified else None)
    assert back == made


def test_five_folds_train_on_seven_tenths_in_the_order_that_the_seed_gives() -> None:
    names = [f"P{n:02d}" for n in range(86)]
    order = [names[at] for at in np.random.default_rng(7).permutation(86)]
    made = folds(names, seed=7)
    assert [len(fold.test) for fold in made] == [17, 17, 18, 17, 17]
    assert {len(fold.validation) for fold in made} == {9}
    assert made[0].test + made[0].validation + made[0].train == tuple(order)
    assert made[1].test + made[1].validation + made[1].train == tuple(order[17:] + order[:17])


def test_another_seed_gives_other_folds() -> None:
    names = [f"P{n}" for n in range(30)]
    assert folds(names, seed=1) != folds(names, seed=2)


def test_stratified_folds_hold_the_same_share_of_each_label() -> None:
    rng = np.random.default_rng(0)
    groups, labels = [], []
    for n in range(200):  # people of one label each, one in ten of the rare one, with one to nine items
        label = "rare" if n % 10 == 0 else "common"
        for _ in range(int(rng.integers(1, 10))):
            groups.append(f"P{n}")
            labels.append(label)
    whole = Counter(labels)
    for fold in folds(groups, 5, 3, labels):
        held = Counter(label for group, label in zip(groups, labels, strict=True) if group in set(fold.test))
        for label in whole:
            assert abs(held[label] / whole[label] - 0.2) < 0.03


def test_what_cannot_be_parted_is_said() -> None:
    with pytest.raises(ValueError, match="3 groups cannot be parted into 5 folds"):
        folds(["a", "b", "c", "a", "b", "c"])
    with pytest.raises(ValueError, match="three or more"):
        folds(["a", "b", "c"], 2)
    with pytest.raises(ValueError, match="2 labels for 3 items"):
        folds(["a", "b", "c"], 3, labels=["x", "y"])
