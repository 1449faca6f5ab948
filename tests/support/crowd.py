"""A study with many things in it, and a detector that knows where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from overread.domain.finding import Bools, Kind, Mask
from overread.domain.ports import Proposal
from overread.domain.study import Stack
from overread.domain.volume import Volume
from support.series import write_series
from support.sitting import ABNORMAL, LESION

SHAPE = (24, 160, 160)
STEP, SPACING = 3.0, 1.5


def ball(centre: tuple[int, int, int], radius_mm: float, shape: tuple[int, int, int] = SHAPE) -> Bools:
    k, j, i = np.indices(shape, np.float32)
    squared = ((k - centre[0]) * STEP) ** 2 + ((j - centre[1]) ** 2 + (i - centre[2]) ** 2) * SPACING**2
    return np.asarray(squared <= radius_mm**2)


@dataclass
class Crowd:
    """Balls at places that are all different: the first of them masks, the others boxes."""

    masks: int
    boxes: int
    seed: int = 1
    places: list[tuple[int, int, int]] = field(init=False)

    def __post_init__(self) -> None:
        chance = np.random.default_rng(self.seed)
        cells = [(k, j, i) for k in (6, 12, 18) for j in range(24, 140, 22) for i in range(24, 140, 22)]
        chosen = chance.permutation(len(cells))[: self.masks + self.boxes]
        self.places = [cells[at] for at in chosen]

    def radius(self, number: int) -> float:
        return 6.0 + number % 5 * 1.5

    @property
    def voxels(self) -> NDArray[np.int16]:
        _, j, i = np.indices(SHAPE, np.float32)
        body = ((j - 80) / 76) ** 2 + ((i - 80) / 72) ** 2 < 1
        made = np.where(body, 40, -1000) + np.random.default_rng(self.seed).normal(0, 6, SHAPE)
        for number, place in enumerate(self.places):
            made[ball(place, self.radius(number))] = 300
        return made.astype(np.int16)

    def write(self, folder: Path, study: str, description: str, series: str = "") -> Path:
        write_series(
            folder,
            self.voxels,
            modality="CT",
            step=STEP,
            spacing=(SPACING, SPACING),
            study=study,
            series=series or generate_uid(),
            description=description,
            RescaleType="HU",
            WindowCenter=40,
            WindowWidth=600,
        )
        return folder

    def proposals(self) -> list[Proposal]:
        """Masks and boxes with scores from 0.95 down."""
        found = []
        count = len(self.places)
        for number, place in enumerate(self.places):
            mask = Mask.of(ball(place, self.radius(number)))
            score = round(0.95 - 0.7 * number / count, 3)
            if number < self.masks:
                found.append(Proposal("Mass", LESION, ABNORMAL, mask, score))
                continue
            (k, j, i), (dk, dj, di) = mask.start, mask.extent
            box = k, j, i, k + dk, j + dj, i + di
            held = Mask.of(np.ones(mask.extent, np.bool_), mask.start, SHAPE)
            found.append(Proposal("Spot", LESION, ABNORMAL, held, score, kind=Kind.DETECTION, box=box))
        return found


@dataclass
class CrowdDetector:
    """Sees what it was told to see, series by series."""

    crowds: dict[str, Crowd]
    id: str = "crowd"
    title: str = "Crowd"
    version: str = "1.0.0"

    def refuse(self, stack: Stack) -> str:
        known = stack.identity.series_description in self.crowds
        return "" if known else f"{self.title} does not know this series."

    def __call__(self, volume: Volume, progress: Callable[[float], None]) -> Sequence[Proposal]:
        return self.crowds[volume.stack.identity.series_description].proposals()
