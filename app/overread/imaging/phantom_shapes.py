"""The drawing tools of the phantom: coordinates bent by noise, and signed distances of simple solids.

Distances are millimetres, negative inside. Those of stretched solids are first-order estimates
(value over gradient), right near the surface, which is where they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float32]
Cover = NDArray[np.uint8]
Region = tuple[slice, slice, slice]
Point = tuple[float, float, float]
Knot = tuple[float, float, float, float]  # x, y, z and radius


@dataclass(frozen=True)
class Space:
    """Where every voxel lies in the head, x to the left, y to posterior, z up, in mm; arrays of shape (k, j, i).

    The coordinates may be bent, so that a plain solid drawn in them comes out irregular. `plain` keeps the straight
    ones as three vectors: a solid's box is found in them.
    """

    x: Field
    y: Field
    z: Field
    plain: tuple[Field, Field, Field]

    @classmethod
    def straight(cls, plain: tuple[Field, Field, Field]) -> Space:
        """Unbent coordinates on the lattice spanned by three vectors z, y, x."""
        z, y, x = np.meshgrid(*plain, indexing="ij")
        return cls(x, y, z, plain)

    @cached_property
    def whole(self) -> Region:
        """All of it."""
        k, j, i = self.x.shape
        return slice(0, k), slice(0, j), slice(0, i)

    def box(self, low: Point, high: Point) -> Region:
        """The voxels between two corners (x, y, z)."""
        ends = zip(self.plain, low[::-1], high[::-1], strict=True)
        at = [slice(int(np.searchsorted(v, a)), int(np.searchsorted(v, b))) for v, a, b in ends]
        return at[0], at[1], at[2]

    def part(self, at: Region) -> Space:
        """A region of it, as views."""
        k, j, i = at
        z, y, x = self.plain
        return Space(self.x[at], self.y[at], self.z[at], (z[k], y[j], x[i]))

    def mirrored(self) -> Space:
        """The same voxels, left and right exchanged."""
        return replace(self, x=-self.x)

    def bent(self, by: Sequence[Field]) -> Space:
        """The same voxels, with three displacements (x, y, z) added."""
        return replace(self, x=self.x + by[0], y=self.y + by[1], z=self.z + by[2])


def halves(vector: Field) -> Field:
    """The vector of a lattice of twice the spacing: means of neighbouring pairs."""
    return np.asarray(vector.reshape(-1, 2).mean(axis=1), dtype=np.float32)


def doubled(coarse: Field) -> Field:
    """A field on the lattice of half the spacing (cubic), shape (2k, 2j, 2i); the inverse of `halves`."""
    k, j, i = coarse.shape
    wide = np.empty((k, 2 * j, 2 * i), np.float32)
    for n, slab in enumerate(coarse):
        wide[n] = cv2.resize(slab, (2 * i, 2 * j), interpolation=cv2.INTER_CUBIC)
    # A quarter of a voxel off on either side, by Keys' cubic with a = -3/4, as cv2 has it in the plane.
    padded = np.concatenate([wide[:1], wide[:1], wide, wide[-1:], wide[-1:]])
    w0, w1, w2, w3 = (np.float32(w) for w in (-0.03515625, 0.26171875, 0.87890625, -0.10546875))
    out = np.empty((2 * k, 2 * j, 2 * i), np.float32)
    for n in range(k):
        a, b, c, d, e = padded[n : n + 5]
        out[2 * n] = w0 * a + w1 * b + w2 * c + w3 * d
        out[2 * n + 1] = w3 * b + w2 * c + w1 * d + w0 * e
    return out


def noise(
    shape: tuple[int, int, int],
    sigma: float | tuple[float, float, float],
    rng: np.random.Generator,
    *,
    band: float = 0.0,
) -> Field:
    """Smooth Gaussian noise of unit variance; `sigma` in voxels.

    With `band` (a second, greater sigma, as a multiple of the first) slow changes are taken out as well, and the
    noise has a wavelength.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    field = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=3.0)
    if band:
        field -= ndimage.gaussian_filter(field, np.multiply(sigma, band), mode="wrap", truncate=2.5)
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def ellipsoid(at: Space, centre: Point, radii: Point, turn: float = 0.0) -> Field:
    """Distance to an ellipsoid; `turn` degrees about the vertical axis, the front towards the right."""
    x, y, z = at.x - np.float32(centre[0]), at.y - np.float32(centre[1]), at.z - np.float32(centre[2])
    if turn:
        c, s = np.float32(np.cos(np.deg2rad(turn))), np.float32(np.sin(np.deg2rad(turn)))
        x, y = c * x - s * y, s * x + c * y
    a, b, c2 = (np.float32(r) for r in radii)
    x, y, z = x / a, y / b, z / c2
    level = np.sqrt(x * x + y * y + z * z) + np.float32(1e-6)
    slope = np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c2) ** 2) + np.float32(1e-6)
    return np.asarray(level * (level - 1) / slope, dtype=np.float32)


def chain(at: Space, knots: Sequence[Knot], tall: float = 1.0) -> Field:
    """Distance to a tube through knots (x, y, z, radius), its radius changing evenly between them.

    The tube may be `tall` times as high as it is wide.
    """
    best: Field | None = None
    for (ax, ay, az, ar), (bx, by, bz, br) in pairwise(knots):
        dx, dy, dz = bx - ax, by - ay, (bz - az) / tall
        length2 = dx * dx + dy * dy + dz * dz
        px, py, pz = at.x - np.float32(ax), at.y - np.float32(ay), (at.z - np.float32(az)) / np.float32(tall)
        along = np.clip((px * dx + py * dy + pz * dz) / np.float32(length2), 0, 1)
        px, py, pz = px - along * dx, py - along * dy, pz - along * dz
        distance = np.sqrt(px * px + py * py + pz * pz) - (ar + along * (br - ar))
        best = distance if best is None else joined(best, distance, 1.5)
    if best is None:
        raise ValueError("a chain has at least two knots")
    return best


def joined(a: Field, b: Field, round_mm: float) -> Field:
    """The union of two solids, the seam rounded (polynomial smooth minimum)."""
    gap = np.clip(round_mm - np.abs(a - b), 0, None)
    return np.asarray(np.minimum(a, b) - gap * gap * np.float32(0.25 / round_mm), dtype=np.float32)


def common(a: Field, b: Field, round_mm: float) -> Field:
    """The intersection of two solids, the edge rounded."""
    return -joined(-a, -b, round_mm)


def cover(distance: Field, soft_mm: float = 1.0) -> Cover:
    """How much of each voxel a solid fills, 0 … 255, from the distance at its centre."""
    return np.asarray(np.clip(127.5 - distance * np.float32(255.0 / soft_mm), 0, 255), dtype=np.uint8)


def bell(at: NDArray[np.float32], centre: float, width: float) -> Field:
    """A smooth bump of height 1."""
    return np.asarray(1 / (1 + ((at - np.float32(centre)) / np.float32(width)) ** 2), dtype=np.float32)
