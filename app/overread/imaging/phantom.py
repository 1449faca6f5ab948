"""A synthetic head with a tumour, made of formulas: nobody's anatomy.

Organs are solids drawn in coordinates that noise has bent; the cortex is a ribbon around sulci, which are the zero
sheets of a noise field carried inwards along the surface normal. Places are in template millimetres (see
`phantom_atlas`), shrunk to a usual head at the end. No patient's image was used to make it.

Deterministic: fixed seeds, no clock, no files. Two machines may differ in the last bit of a float32, hence now and
then in a voxel that lies exactly on an edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from overread.domain.geometry import Grid
from overread.imaging import phantom_atlas as atlas
from overread.imaging.phantom_atlas import Blob, Organ, Tissue
from overread.imaging.phantom_shapes import (
    Cover,
    Field,
    Region,
    Space,
    bell,
    chain,
    common,
    cover,
    doubled,
    ellipsoid,
    halves,
    noise,
)

ABNORMAL = (Tissue.OEDEMA, Tissue.TUMOUR, Tissue.RIM, Tissue.NECROSIS)

_SCALE = 0.95  # mm of this head for a mm of the template
_SHAPE = (192, 228, 180)
_CORNER_MM = (-89.5, -109.5, -92.5)  # LPS of voxel (0, 0, 0); the spacing is 1 mm
_SEED = 12

_CORTEX_MM = 2.3
_GYRUS_MM = 12.4  # from sulcus to sulcus
_TUMOUR = (31.0, -24.0, 28.0)


@dataclass(frozen=True)
class Layer:
    """One tissue laid over what is there already: `cover` (0 … 255) within a region of the grid."""

    tissue: Tissue
    at: Region
    cover: Cover


@dataclass(frozen=True)
class Head:
    """The phantom: layers from bottom to top, and the tissue that fills most of each voxel (uint8, k, j, i)."""

    grid: Grid
    layers: tuple[Layer, ...]
    labels: NDArray[np.uint8]

    def abnormal(self) -> NDArray[np.bool_]:
        """The FLAIR abnormality, oedema and core together; shape (k, j, i)."""
        return np.isin(self.labels, ABNORMAL)


def make_head() -> Head:
    """Make the head, 1 mm isotropic along the body axes; the same at every call. A few seconds."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[::-1]
    affine[:3, 3] = _CORNER_MM
    sketch = _Sketch(Grid(_SHAPE, affine))
    skin = _draw_scalp(sketch)
    sketch.draw(atlas.FACE, sketch.rigid, skin)
    cavity = _draw_skull(sketch)
    _draw_brain(sketch, cover(cavity))
    sketch.draw(atlas.VENTRICLES, sketch.soft)
    sketch.draw(atlas.DEEP, sketch.soft)
    sketch.draw(atlas.BASE, sketch.rigid)
    sketch.draw(atlas.VESSELS, sketch.soft)
    _draw_falx(sketch, cavity)
    sketch.labels.setflags(write=False)
    return Head(sketch.grid, tuple(sketch.layers), sketch.labels)


class _Sketch:
    """The head while it is drawn.

    Smooth fields are worked out on a lattice of twice the spacing (`coarse…`) and doubled. `rigid` coordinates are
    those of skin and bone; in the `soft` ones the tumour has pushed its neighbours away.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.layers: list[Layer] = []
        self.labels = np.zeros(grid.shape, np.uint8)
        self.part(0)
        z, y, x = (
            ((np.arange(n) + start) / _SCALE).astype(np.float32)
            for n, start in zip(grid.shape, _CORNER_MM[::-1], strict=True)
        )
        coarse = Space.straight((halves(z), halves(y), halves(x)))
        self.coarse_rigid = coarse.bent([self.noise(12, 1.6) for _ in range(3)])
        away = [a - np.float32(c) for a, c in zip((coarse.x, coarse.y, coarse.z), _TUMOUR, strict=True)]
        far = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2) + np.float32(1)
        push = -7 * np.exp(-((far / 30) ** 2)) / far
        self.pressure = np.asarray(np.exp(-((far / 27) ** 2)), dtype=np.float32)
        self.coarse_soft = self.coarse_rigid.bent([self.noise(4, 0.8) + push * d for d in away])
        self.rigid = self._fine(self.coarse_rigid, (z, y, x))
        self.soft = self._fine(self.coarse_soft, (z, y, x))

    @staticmethod
    def _fine(coarse: Space, plain: tuple[Field, Field, Field]) -> Space:
        return Space(doubled(coarse.x), doubled(coarse.y), doubled(coarse.z), plain)

    def part(self, number: int) -> None:
        """Begin a part with dice of its own, so that a change to one leaves the others as they were."""
        self._rng = np.random.default_rng((_SEED, number))

    def noise(self, sigma: float | tuple[float, float, float], amplitude: float = 1.0, band: float = 0.0) -> Field:
        """Coarse noise; `sigma` in coarse voxels."""
        k, j, i = self.grid.shape
        return noise((k // 2, j // 2, i // 2), sigma, self._rng, band=band) * np.float32(amplitude)

    def paint(self, tissue: Tissue, amount: Cover, at: Region | None = None) -> None:
        """Lay a tissue over what is there, in a region or everywhere."""
        where = at or self.rigid.whole
        if at is None:
            used = [np.flatnonzero(amount.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
            if used[0].size == 0:
                return
            k, j, i = (slice(int(n[0]), int(n[-1]) + 1) for n in used)
            where, amount = (k, j, i), amount[k, j, i]
        self.layers.append(Layer(tissue, where, amount))
        self.labels[where][amount > 127] = tissue

    def draw(self, table: Sequence[Organ], space: Space, skin: Field | None = None) -> None:
        """Draw solids in their order; muscle, fat and bone stay under the skin where that is given."""
        for organ in table:
            for side in (1, -1) if organ.paired else (1,):
                knots = [(*organ.centre, max(organ.radii))] if isinstance(organ, Blob) else organ.knots
                reach = np.array([(k[0] * side, k[1], k[2]) for k in knots])
                margin = max(k[3] for k in knots) * (1 if isinstance(organ, Blob) else organ.tall) + 8
                at = space.box(tuple(reach.min(axis=0) - margin), tuple(reach.max(axis=0) + margin))
                near = space.part(at)
                if near.x.size == 0:
                    continue
                if side < 0:
                    near = near.mirrored()
                if isinstance(organ, Blob):
                    solid = ellipsoid(near, organ.centre, organ.radii, organ.turn)
                else:
                    solid = chain(near, organ.knots, organ.tall)
                if skin is not None and organ.tissue in (Tissue.MUSCLE, Tissue.FAT, Tissue.BONE):
                    solid = np.maximum(solid, skin[at] + np.float32(2.2 if organ.tissue == Tissue.FAT else 4.5))
                self.paint(organ.tissue, cover(solid), at)


def _draw_scalp(s: _Sketch) -> Field:
    """Skin, the fat beneath it, and lower down muscle with fat between its bellies. Returns the distance to the air."""
    s.part(1)
    skin = doubled(atlas.skin(s.coarse_rigid))
    s.paint(Tissue.SKIN, cover(skin))
    s.paint(Tissue.FAT, cover(skin + np.float32(2.2)))
    under = skin + np.float32(9) + np.clip((s.rigid.z + 10) * np.float32(0.15), -2, 9)
    s.paint(Tissue.MUSCLE, cover(under, 3))
    streaks = np.abs(doubled(s.noise(2.0, 1, 2.0) + s.noise(5, 0.7))) - np.float32(0.16)
    s.paint(Tissue.FAT, cover(np.maximum(streaks * 5, under), 2) // 5 * 3)
    return skin


def _draw_skull(s: _Sketch) -> Field:
    """Outer table, diploë and inner table, thin at the temples and over the orbits, and the fluid within.

    Returns the distance to the cranial cavity.
    """
    s.part(2)
    o = s.coarse_rigid
    cavity = doubled(atlas.cavity(o))
    temple = 3.2 * bell(o.y, -8, 26) * bell(o.z, -14, 22) * np.clip((np.abs(o.x) - 45) / 15, 0, 1)
    base = 4.6 * np.clip((-12 - o.z) / 10, 0, 1) * np.clip((40 - o.y) / 20, 0.3, 1)
    thick = doubled(np.asarray(np.clip(6.6 - temple - base + s.noise(8, 0.6), 1.6, 9), np.float32))
    s.paint(Tissue.BONE, cover(cavity - thick))
    s.paint(Tissue.MARROW, cover(np.maximum(cavity - thick + 2.2, 1.6 - cavity)))
    s.paint(Tissue.BONE, cover(cavity - np.float32(1.2)))
    s.paint(Tissue.CSF, cover(cavity))
    return cavity


def _draw_brain(s: _Sketch, inside: Cover) -> None:
    """Cortex and white matter, cerebellum, tumour, and the small vessels of the sulci."""
    cerebrum, cerebellum = atlas.brain(s.coarse_soft)
    pia = _pia(s, cerebrum)
    white = cover(np.float32(_CORTEX_MM) - pia, 1.4)
    s.paint(Tissue.GREY, np.minimum(cover(-pia), inside))
    s.paint(Tissue.WHITE, np.minimum(white, inside))
    _draw_cerebellum(s, doubled(cerebellum), inside)
    _draw_tumour(s, pia, white)
    s.part(7)
    # Vessels: the lines along which two noises are both nought, as far as they run in fluid.
    lines = np.hypot(doubled(s.noise(2.2, 1, 2.0)), doubled(s.noise(2.2, 1, 2.0))) * 3 - np.float32(0.45)
    vessels = np.maximum.reduce([lines, pia - np.float32(0.6), 1 - doubled(cerebellum)])
    s.paint(Tissue.ARTERY, np.minimum(cover(vessels), inside))


def _pia(s: _Sketch, cerebrum: Field) -> Field:
    """How deep under the pia each voxel lies, in mm; negative in sulci and outside. `cerebrum` is coarse."""
    s.part(3)
    c, f = s.coarse_soft, s.soft
    coarse_medial = atlas.medial(c)
    inside = np.minimum(-doubled(cerebrum), atlas.medial(f) - doubled(np.clip(0.55 + s.noise(4, 0.3), 0.1, 1.3)))
    sheet, slope = _folds(s, -common(cerebrum, -coarse_medial, 4))
    wave = np.float32(np.pi / _GYRUS_MM)
    fold = np.arctan(np.abs(doubled(sheet)) / doubled(slope) * wave) / wave  # distance to the nearest zero sheet
    # How deep the folds go, sparing the deep nuclei, and how far they gape; the tumour's pressure closes them.
    core = ellipsoid(Space(np.abs(c.x), c.y, c.z, c.plain), (13, 6, 8), (22, 50, 25))
    reach = np.clip(19 + s.noise(3, 7), 4, 32) * (1 - 0.5 * s.pressure) * (1 - 0.75 * bell(coarse_medial, 0, 10))
    reach = doubled(np.asarray(np.minimum(reach, np.clip(core - 3, -4, 40)), np.float32))
    gape = (
        np.clip(0.45 + s.noise(6, 0.2) + s.noise(2, 0.15), -0.3, 1.0)
        * (1 - s.pressure)
        * np.clip((c.z + 32) / 20, 0.25, 1)
    )
    gape = gape * (1 - 0.6 * bell(coarse_medial, 0, 12))
    gape = doubled(np.asarray(gape, np.float32)) * (1 + 2 * np.exp(-np.clip(inside, 0, None) / np.float32(4)))
    sulci = common(fold - gape, inside - reach, 2)
    wobble = doubled(s.noise(2.5, 1.2) + s.noise(6, 2))
    return np.asarray(np.minimum.reduce([inside, sulci, atlas.sylvian(f, wobble)]), dtype=np.float32)


def _folds(s: _Sketch, depth: Field) -> tuple[Field, Field]:
    """A noise whose zero sheets are the sulci, and its slope per mm; both coarse, as is the depth under the surface."""
    s.part(4)
    fine, long = _GYRUS_MM * 0.14, _GYRUS_MM * 0.26
    # In front of the central sulcus, and at the very back, folds tend to run from front to back; between, across.
    x, y = s.coarse_soft.x, s.coarse_soft.y
    ahead = np.clip((-12 - y) / 25 + 0.5, 0, 1) + 0.4 * np.clip((y - 45) / 25, 0, 1)
    ahead = np.maximum(ahead, bell(x, 0, 14))
    both, own = (
        s.noise((fine, long, fine), 1, 1.5) * ahead + s.noise((long, fine, long), 1, 1.5) * (1 - ahead)
        for _ in range(2)
    )
    raw = 0.55 * (both + both[:, :, ::-1]) + 0.62 * own  # the two sides are alike, not the same
    normal = np.gradient(ndimage.gaussian_filter(depth, 2))
    length = np.sqrt(sum(g * g for g in normal)) + np.float32(1e-3)
    step = np.clip(depth, 0, 22) * np.float32(0.65 * _SCALE / 2) / length
    at = [n - g * step for n, g in zip(np.indices(depth.shape, dtype=np.float32), normal, strict=True)]
    carried = ndimage.gaussian_filter(ndimage.map_coordinates(raw, at, order=3, mode="nearest"), 0.6)
    gz, gy, gx = np.gradient(carried, 2 / _SCALE)
    # A floor under the slope widens the fold where sulci meet instead of tearing it open.
    slope = np.sqrt(gz * gz + gy * gy + gx * gx + np.float32(0.09) ** 2)
    return np.asarray(carried, np.float32), np.asarray(slope, np.float32)


def _draw_cerebellum(s: _Sketch, hull: Field, inside: Cover) -> None:
    """Grey matter, the white tree in it, and the clefts between the leaves."""
    s.part(5)
    s.paint(Tissue.GREY, np.minimum(cover(hull), inside))
    at = s.soft.box((-62, 24, -76), (62, 106, 12))
    p, h = s.soft.part(at), hull[at]
    out = np.sqrt((p.x / 1.25) ** 2 + (p.y - 34) ** 2 + ((p.z + 34) * 1.1) ** 2)
    leaf = np.sin((out + doubled(s.noise(4, 1.6) + s.noise(1.5, 0.4))[at]) * np.float32(2 * np.pi / 5.5))
    tree = 2 * np.clip((h + 9) / 7, -1, 1) + 1.2 * leaf * np.clip((h + 20) / 12, 0, 1)
    s.paint(Tissue.WHITE, np.minimum(cover(np.maximum(tree, h + 1), 4), inside[at]), at)
    cleft = np.clip(-leaf - 0.8, 0, 1) * np.clip((h + 13) / 10, 0, 1) * np.clip(-h, 0, 1)
    s.paint(Tissue.CSF, np.asarray(np.clip(cleft * 700, 0, 100), np.uint8), at)


def _draw_tumour(s: _Sketch, pia: Field, white: Cover) -> None:
    """Oedema along the white matter, a lumpy core, in it a rim that takes up contrast around a dead centre."""
    s.part(6)
    x, y, z = _TUMOUR
    at = s.rigid.box((x - 45, y - 45, z - 45), (x + 45, y + 45, z + 45))
    p, depth = s.rigid.part(at), pia[at]
    wide, lumps, rough = (doubled(s.noise(sigma))[at] for sigma in (5.0, 3.2, 1.6))
    halo = ellipsoid(p, (x + 1, y + 4, z), (18.5, 28, 17.5)) + 6 * wide + 3 * lumps + rough
    along = np.clip(0.5 - halo / 7, 0, 1) * white[at].astype(np.float32) / 255
    cortex = (depth > 0.3) * np.clip(0.5 - (halo + 9) / 8, 0, 0.35)
    s.paint(Tissue.OEDEMA, np.asarray(np.maximum(along, cortex) * 240, np.uint8), at)
    core = ellipsoid(p, (x, y, z + 1), (14, 16, 14)) + 3.4 * lumps + 1.2 * rough
    core = np.maximum(core, 1.2 - depth)
    dead = np.maximum(core + 5.4 + 2.6 * doubled(s.noise(2.2))[at], core + 1)
    ring = np.maximum.reduce([core + 2.2 + 1.8 * rough, core + 0.3, 0.2 - dead])
    s.paint(Tissue.TUMOUR, cover(core, 3), at)
    s.paint(Tissue.RIM, cover(ring, 1.5), at)
    s.paint(Tissue.NECROSIS, cover(dead, 1.5), at)


def _draw_falx(s: _Sketch, cavity: Field) -> None:
    """The falx, and the sagittal sinus along its root."""
    at = s.rigid.box((-9, -110, -40), (9, 120, 95))
    p = s.rigid.part(at)
    edge = atlas.arch(p) - (4 + 0.16 * np.clip(40 - p.y, 0, 80))
    falx = np.maximum.reduce([np.abs(p.x) - np.float32(0.35), -edge, cavity[at], 0.1 * (p.y + 40) - 20 - p.z])
    s.paint(Tissue.DURA, cover(falx), at)
    top = atlas.vault(p, 1.4)
    root = np.maximum.reduce([np.abs(p.x) - 0.5 * (top + 6.5), top - 1, 0.2 * np.abs(p.y) - 14 - p.z])
    s.paint(Tissue.VEIN, cover(root), at)
