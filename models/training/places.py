"""Places in patches and crops where a nodule lies, or something that might be taken for one; and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.training.nodules import (
    CROP,
    F32,
    HIGH_HU,
    LOW_HU,
    LUNG_HU,
    PATCH,
    READERS,
    TISSUE_HU,
    U8,
    Crops,
    Patches,
    box_of,
    grained,
    moved,
    windowed,
)

# Bright places of a crop that are no nodule: how large they are (sigma, pixels), how much brighter than what is around
# them, how far from all that any reader has marked, how far from the crop's edge, and how many at most.
_SIGMAS = (1.2, 2.0, 3.5)
_BRIGHTER = 0.06
_AWAY = 8
_MARGIN = 16
_MOST = 12
# A part of a crop that is so thick, in pixels, is a wall and no vessel; so many places at its edge are taken.
_THICK = 9
_WALLS = 2
FAT_HU = (-130.0, -70.0)


@dataclass(frozen=True, eq=False)
class Place:
    """A place to look at: its picture, a patch or a crop, the row and column there, and whether a nodule lies there.

    Where `inside` is "fat" or "air", the lung of the picture is shown as that, and nothing there is a nodule.
    """

    picture: U8
    centre: tuple[float, float]
    nodule: bool
    patch: bool
    inside: str = "lung"

    def grey(self, rng: np.random.Generator | None = None) -> F32:
        """The picture (rows, columns) as the engine's window would show it; a crop at random with ``rng``."""
        if self.patch:
            return self.picture.astype(np.float32) / np.float32(255)
        return windowed(self.picture, rng)


def of_patches(patches: Patches) -> list[Place]:
    """The middle of every patch."""
    middle = ((PATCH - 1) / 2,) * 2
    return [
        Place(image, middle, bool(nodule), patch=True)
        for image, nodule in zip(patches.images, patches.nodule, strict=True)
    ]


def of_crops(crops: Crops) -> list[Place]:
    """The nodules that enough readers marked, and bright places that none did."""
    found: list[Place] = []
    for image, readers in zip(crops.images, crops.readers, strict=True):
        agreed = readers >= READERS
        if agreed.any():
            row0, column0, row1, column1 = box_of(agreed)
            found.append(Place(image, ((row0 + row1 - 1) / 2, (column0 + column1 - 1) / 2), nodule=True, patch=False))
        others = bright_places(windowed(image), readers)
        found += [Place(image, (float(row), float(column)), nodule=False, patch=False) for row, column in others]
    return found


def elsewhere(nodules: list[Place], crops: Crops, seed: int) -> list[Place]:
    """What a detector marks outside of the lung: the wall's edge, edges in air (skin, couch), nodes and vessels in fat.

    The bundles hardly show any, so edges in air are the walls of crops whose lung is made air, and what lies in fat are
    nodules around which the lung is made fat.
    """
    rng = np.random.default_rng(seed)
    found = [replace(place, nodule=False, inside="fat") for place in nodules]
    for image, readers in zip(crops.images, crops.readers, strict=True):
        edge = wall_edge(windowed(image), readers)
        few = rng.permutation(edge)[:_WALLS]
        walls = [Place(image, (float(row), float(column)), nodule=False, patch=False) for row, column in few]
        found += [*walls, *(replace(place, inside="air") for place in walls)]
    return found


def bright_places(picture: F32, readers: U8) -> NDArray[np.intp]:
    """Middles (m, 2) of bright blobs and ridges of a crop (rows, columns), away from all that a reader has marked.

    They are maxima of the negative Laplacian of Gaussian over place and scale (Lindeberg 1998), the strongest first.
    """
    blobs = np.max([-(sigma**2) * ndimage.gaussian_laplace(picture, sigma) for sigma in _SIGMAS], axis=0)
    peaks = (blobs == ndimage.maximum_filter(blobs, 7)) & (blobs >= _BRIGHTER) & _free(readers)
    rows, columns = np.nonzero(peaks)
    strongest = np.argsort(-blobs[rows, columns])[:_MOST]
    return np.stack([rows, columns], axis=1)[strongest]


def wall_edge(picture: F32, readers: U8) -> NDArray[np.intp]:
    """Pixels (m, 2) at the edge of what is thick and bright in a crop, away from all that a reader has marked."""
    thick = ndimage.binary_opening(picture >= 0.5, np.ones((_THICK, _THICK), np.bool_))
    return np.argwhere((thick & ~ndimage.binary_erosion(thick)) & _free(readers))


def _free(readers: U8) -> NDArray[np.bool_]:
    """Where a place may be taken for none: far from what any reader has marked, and not at the crop's edge."""
    free = np.zeros(readers.shape, np.bool_)
    inner = slice(_MARGIN, CROP - _MARGIN)
    free[inner, inner] = True
    if readers.any():
        free &= ndimage.distance_transform_edt(readers == 0) >= _AWAY
    return free


def changed(place: Place, size: int, rng: np.random.Generator, strength: float) -> F32:
    """The crop (size, size) of a place, turned, mirrored and scaled at random, a little off its middle."""
    scale = float(np.exp(strength * rng.uniform(np.log(0.7), np.log(1.4))))
    row, column = np.array(place.centre) + rng.uniform(-3, 3, 2) * strength
    angle, mirror = float(rng.uniform(-np.pi, np.pi)), bool(rng.random() < 0.5)
    grey = _put(place.grey(rng), place.inside, rng)
    crop, _ = moved(grey, size, (float(row), float(column)), scale, angle, mirror)
    crop = grained(crop, rng, strength)
    if place.inside == "air":
        crop[_beyond(size, rng)] = 0
    return crop


def seen(place: Place, size: int) -> F32:
    """The crop (size, size) of a place as it is; the same whenever it is asked for."""
    rng = np.random.default_rng([int(edge) for edge in place.centre])
    crop, _ = moved(_put(place.grey(), place.inside, rng), size, place.centre, 1.0, 0.0, mirror=False)
    if place.inside == "air":
        crop[_beyond(size, rng)] = 0
    return crop


def _put(grey: F32, inside: str, rng: np.random.Generator) -> F32:
    """A picture (rows, columns) of the lung with something else in the lung's place; 0 to 1."""
    lung, tissue, fat = (
        (hu - LOW_HU) / (HIGH_HU - LOW_HU) for hu in (LUNG_HU[0], TISSUE_HU[0], float(rng.uniform(*FAT_HU)))
    )
    brighter = tissue * float(rng.uniform(0.95, 1.1))
    if inside == "fat":
        return np.interp(grey, [lung, tissue, 1.0], [fat, brighter, 1.0]).astype(np.float32)
    if inside == "air":
        return np.interp(grey, [2 * lung, tissue, 1.0], [0.0, brighter, 1.0]).astype(np.float32)
    return grey


def _beyond(size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """What lies outside of the slice where it ends near the middle of a crop (size, size), at an edge or a corner."""
    beyond = np.zeros((size, size), np.bool_)
    rows, columns = rng.integers(size // 4, size // 2 + 4, 2) * (rng.random(2) < 0.6)
    beyond[: int(rows)] = True
    beyond[:, : int(columns)] = True
    return np.asarray(np.rot90(beyond, int(rng.integers(4))), np.bool_)
