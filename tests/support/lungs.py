"""Made-up lungs: a crop around a place, and a chest on three slices."""

from __future__ import annotations

import numpy as np

from models.training import lung_evaluate, nodules
from models.training.evaluate import spaced, volume_of
from overread.domain.volume import Volume


def lung(rng: np.random.Generator) -> nodules.U8:
    """A crop: lung, with the chest wall on the left."""
    picture = rng.integers(20, 40, (nodules.CROP, nodules.CROP)).astype(np.uint8)
    picture[:, :30] = rng.integers(150, 160, (nodules.CROP, 30))
    return picture


def chest() -> Volume:
    """Three slices of a made-up chest at the model's own pixel size."""
    hu = np.rint(lung_evaluate.picture()[0, 0] * 1400 - 1000).astype(np.int16)
    return volume_of(np.stack([hu] * 3), spaced((3.0, 0.7, 0.7)), "CT", "")
