"""The bundle of lower-grade gliomas: slices with masks of the FLAIR abnormality, patient by patient.

The grey of the bundle is 0.299 T1 + 0.587 FLAIR + 0.114 T1c (see the bundle's README), each volume scaled by its
source. Pixel spacing is not given.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training import bundles
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


def read(path: Path) -> list[Patient]:
    """Read the whole bundle, patients by name, slices in order. UserError where it is not the bundle."""
    slices: dict[str, list[bundles.Row]] = defaultdict(list)
    for row in bundles.rows(path):
        slices[row.group].append(row)
    return [
        Patient(
            name,
            np.stack([bundles.image(row) for row in slices[name]]),
            np.stack([bundles.mask(row) for row in slices[name]]),
        )
        for name in sorted(slices)
    ]
