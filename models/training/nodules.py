"""The two bundles of lung nodules, and how their pictures become what the engine gives to a model.

The engine's window turns -1000 … 400 HU into 0 … 1. The patches of LUNA16 were stored with that window. A crop of LIDC
was stretched by itself, so its HU are lost; what is known is that it shows lung and, mostly, soft tissue. Both are
looked for in the histogram and laid where they belong, with a random error that training has to bear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.training import bundles
from models.training.folds import Fold, folds

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

CROP = 128
PATCH = 50
# So many of the four readers have to have marked a pixel.
READERS = 2
# Where lung and soft tissue lie, HU: the middle and the half range of what training lays them at.
LUNG_HU = (-850.0, 60.0)
TISSUE_HU = (30.0, 50.0)
LOW_HU, HIGH_HU = -1000.0, 400.0


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of LIDC: grey values and readers' counts (n, 128, 128) uint8, patients and names (n,)."""

    images: U8
    readers: U8
    patients: tuple[str, ...]
    names: tuple[str, ...]

    def of(self, patients: Sequence[str]) -> Crops:
        """Those of some patients, in the same order."""
        wanted = set(patients)
        at = [number for number, patient in enumerate(self.patients) if patient in wanted]
        return self.picked(at)

    def picked(self, at: Sequence[int]) -> Crops:
        """Those with these numbers."""
        return Crops(
            self.images[at],
            self.readers[at],
            tuple(self.patients[number] for number in at),
            tuple(self.names[number] for number in at),
        )

    def parts(self, count: int, seed: int, fold: int) -> Fold:
        """Patients to train, validate and test on: those with a nodule that enough readers marked, in `count` folds."""
        return folds([self.patients[at] for at in self.agreed], count, seed)[fold]

    @property
    def agreed(self) -> NDArray[np.intp]:
        """Numbers of the crops with a pixel that enough readers marked."""
        return np.flatnonzero((self.readers >= READERS).any(axis=(1, 2)))


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of LUNA16: grey values (n, 50, 50) uint8, (n,) whether a nodule lies in the middle, the split."""

    images: U8
    nodule: NDArray[np.bool_]
    split: tuple[str, ...]

    def picked(self, at: NDArray[np.intp]) -> Patches:
        """Those with these numbers."""
        return Patches(self.images[at], self.nodule[at], tuple(self.split[number] for number in at))

    def parts(self, seed: int) -> dict[str, Patches]:
        """The source's training patches, a tenth of which validate, and its validation patches, which are the test."""
        given = np.array(self.split) == "train"
        ours = np.random.default_rng(seed).permutation(np.flatnonzero(given))
        tenth = len(ours) // 10
        return {
            "train": self.picked(np.sort(ours[tenth:])),
            "validation": self.picked(np.sort(ours[:tenth])),
            "test": self.picked(np.flatnonzero(~given)),
        }


def read_crops(path: Path) -> Crops:
    """Read all of lidc-nodules.zip. UserError where it is not the bundle."""
    rows = bundles.rows(path)
    return Crops(
        np.stack([bundles.image(row) for row in rows]),
        np.stack([bundles.mask(row) for row in rows]),
        tuple(row.group for row in rows),
        tuple(row.id for row in rows),
    )


def read_patches(path: Path) -> Patches:
    """Read all of luna-patches.zip; the patch that is too narrow is mirrored at its edge. UserError as above."""
    rows = bundles.rows(path)
    images = []
    for row in rows:
        picture = bundles.image(row)
        down, across = (PATCH - side for side in picture.shape)
        images.append(np.asarray(cv2.copyMakeBorder(picture, 0, down, 0, across, cv2.BORDER_REFLECT_101), np.uint8))
    return Patches(np.stack(images), np.array([row.label == "nodule" for row in rows]), tuple(r.split for r in rows))


def lung_and_tissue(image: U8) -> tuple[float, float]:
    """Grey values of lung and soft tissue in a stretched crop (rows, columns).

    Otsu's threshold (1979) parts dark from bright; the lung is the median of the dark, the tissue the most frequent
    grey of the bright. With hardly any tissue in the crop, its brightest pixels, vessels then, stand for it.
    """
    threshold, _ = cv2.threshold(image, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = image[image > threshold]
    lung = float(np.median(image[image <= threshold]))
    if bright.size < 0.06 * image.size:
        return lung, max(float(np.percentile(image, 99.7)), lung + 20)
    counts = np.bincount(bright, minlength=256).astype(np.float32)
    smooth = np.convolve(counts, np.ones(9), mode="same")
    return lung, max(float(smooth.argmax()), lung + 20)


def windowed(image: U8, rng: np.random.Generator | None = None) -> F32:
    """A stretched crop (rows, columns) as the engine's window would show it, 0 to 1; at random with ``rng``."""
    lung, tissue = lung_and_tissue(image)
    errors = rng.uniform(-1, 1, 2) if rng is not None else np.zeros(2)
    lung_hu, tissue_hu = (middle + half * e for (middle, half), e in zip((LUNG_HU, TISSUE_HU), errors, strict=True))
    slope = (tissue_hu - lung_hu) / (tissue - lung)
    table = (lung_hu + slope * (np.arange(256) - lung) - LOW_HU) / (HIGH_HU - LOW_HU)
    return np.asarray(np.clip(table, 0, 1)[image], np.float32)


def moved(
    picture: F32, size: int, centre: tuple[float, float], scale: float, angle: float, mirror: bool
) -> tuple[F32, NDArray[np.float64]]:
    """Turn, scale and mirror a picture (rows, columns), reflected at its edges, into ``size`` × ``size``.

    ``centre`` (row, column) comes to the middle; what was one pixel becomes ``scale``. With it comes the 2 × 3 map from
    places of the result (x, y) to those of the picture.
    """
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    middle = np.full(2, (size - 1) / 2)
    shift = np.array([centre[1], centre[0]]) - linear @ middle
    to_picture = np.concatenate([linear, shift[:, None]], axis=1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(picture, to_picture, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, np.float32), to_picture


def followed(mask: NDArray[np.bool_], to_picture: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
    """A mask (rows, columns) moved as its picture was, not reflected."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(mask.astype(np.float32), to_picture, (size, size), flags=flags)
    return np.asarray(warped >= 0.5, np.bool_)


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The smallest box row0, column0, row1, column1 (half open) around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def grained(image: F32, rng: np.random.Generator, strength: float) -> F32:
    """Another kernel and dose: blurred now and then, with noise, and a little more or less contrast; 0 to 1."""
    if rng.random() < 0.3 * strength:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 0.9))), np.float32)
    image = image * np.float32(1 + strength * rng.normal(0, 0.05)) + np.float32(strength * rng.normal(0, 0.02))
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0, 0.04 * strength))
    return np.clip(image + noise, 0, 1)
