"""The bundle of lower-grade gliomas: slices with masks of the FLAIR abnormality, patient by patient.

The grey of the bundle is 0.299 T1 + 0.587 FLAIR + 0.114 T1c (see the bundle's README), each volume scaled by its
source. Pixel spacing is not given.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from overread.imaging.intensity import IntensityRule, normaliser


@dataclass(frozen=True, eq=False)
class Patient:
    """All slices of one person: grey values as stored and masks, both (slices, rows, columns) uint8."""

    name: str
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]

    def normalised(self, rule: IntensityRule) -> NDArray[np.float32]:
        """Grey values as the engine would give them to the model."""
        return normaliser(rule, self.images)(self.images.astype(np.float32))


def _rows(bundle: zipfile.ZipFile) -> dict[str, list[dict[str, str]]]:
    """The index of the bundle, by patient."""
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in csv.DictReader(io.TextIOWrapper(bundle.open("index.csv"), "utf-8")):
        rows[row["split_group"]].append(row)
    return rows


def names(path: Path) -> tuple[str, ...]:
    """The patients of the bundle, sorted."""
    with zipfile.ZipFile(path) as bundle:
        return tuple(sorted(_rows(bundle)))


def read(path: Path) -> list[Patient]:
    """Read the whole bundle, patients by name, slices in order. KeyError or OSError where it is not the bundle."""
    with zipfile.ZipFile(path) as bundle:
        rows = _rows(bundle)
        cache: dict[str, NDArray[np.uint8]] = {}

        def picture(name: str) -> NDArray[np.uint8]:
            if name not in cache:
                cache[name] = np.squeeze(imagecodecs.jpegxl_decode(bundle.read(name)))
            return cache[name]

        return [
            Patient(
                name,
                np.stack([picture(row["image"]) for row in rows[name]]),
                np.stack([picture(row["mask"]) for row in rows[name]]),
            )
            for name in sorted(rows)
        ]


@dataclass(frozen=True)
class Split:
    """Names of the patients to train on, to choose the weights by, and to be measured on once."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split(names: Sequence[str], seed: int, fold: int = 0) -> Split:
    """70 % to train, 10 % to validate, 20 % to test, by patient; the same for the same names and seed.

    The test parts of the folds 0 to 4 hold everybody once.
    """
    order = [sorted(names)[at] for at in np.random.default_rng(seed).permutation(len(names))]
    start, end = round(0.2 * fold * len(order)), round(0.2 * (fold + 1) * len(order))
    test, rest = order[start:end], order[end:] + order[:start]
    validation = round(0.1 * len(order))
    return Split(tuple(rest[validation:]), tuple(rest[:validation]), tuple(test))
