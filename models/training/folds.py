"""Splits by group: what belongs to one person is never on two sides. The same names and seed give the same split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Fold:
    """Names of the groups to train on, to choose the weights by, and to be measured on once."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def folds(groups: Sequence[str], k: int = 5, seed: int = 0, labels: Sequence[str] | None = None) -> tuple[Fold, ...]:
    """Part the groups into k; fold f tests on part f, validates on half as many of part f + 1, trains on the rest.

    Every group is tested on exactly once; with five folds, 70 % train, 10 % validate and 20 % test. ``groups`` names
    the group of every item and may repeat; the items' order does not matter. With ``labels`` (one an item) the parts
    are made to hold about the same number of items of each label: groups are dealt out one by one, those with most
    items first, each to the part that has least of what the group brings. ValueError where there are fewer than three
    folds, or fewer groups than folds.
    """
    names = sorted(set(groups))
    if k < 3:
        raise ValueError(f"{k} folds leave too little to train on; ask for three or more")
    if len(names) < k:
        raise ValueError(f"{len(names)} groups cannot be parted into {k} folds; ask for fewer folds")
    if labels is not None and len(labels) != len(groups):
        raise ValueError(f"{len(labels)} labels for {len(groups)} items; give one an item")
    order = [names[at] for at in np.random.default_rng(seed).permutation(len(names))]
    if labels is None:
        edges = [round(f * len(order) / k) for f in range(k + 1)]
        parts = [order[start:end] for start, end in pairwise(edges)]
    else:
        parts = _stratified(groups, order, labels, k)
    validation = max(1, round(len(order) / (2 * k)))
    made = []
    for f, test in enumerate(parts):
        rest = [name for part in (*parts[f + 1 :], *parts[:f]) for name in part]
        made.append(Fold(tuple(rest[validation:]), tuple(rest[:validation]), tuple(test)))
    return tuple(made)


def _stratified(groups: Sequence[str], shuffled: list[str], labels: Sequence[str], k: int) -> list[list[str]]:
    """Deal groups into k parts, so that each label is spread evenly."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for group, label in zip(groups, labels, strict=True):
        counted[group][label] += 1
    kinds = sorted(set(labels))
    totals = np.array([sum(counted[name][kind] for name in shuffled) for kind in kinds], np.float64)
    shares = {name: np.array([counted[name][kind] for kind in kinds]) / totals for name in shuffled}
    parts: list[list[str]] = [[] for _ in range(k)]
    held = np.zeros((k, len(kinds)))
    for name in sorted(shuffled, key=lambda name: -float(shares[name].sum())):  # a stable sort: ties stay shuffled
        # the sum of squares is least where every part has the same share of every label
        cost = (2 * held * shares[name]).sum(axis=1)
        at = min(range(k), key=lambda part: (round(float(cost[part]), 12), len(parts[part])))
        parts[at].append(name)
        held[at] += shares[name]
    # every other one first: those that validate are then large and small alike
    return [part[::2] + part[1::2] for part in parts]
