"""The anatomy of the phantom: its tissues, its organs as tables of solids, and the hulls of head, skull and brain.

Places and sizes are our own round figures after textbook anatomy, in template millimetres: from the anterior
commissure, x to the left, y to posterior, z up, in a brain 134 mm wide. Paired organs are given for the left side;
each organ is drawn over those before it. Hulls are distances in mm, negative inside.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from overread.imaging.phantom_shapes import Field, Knot, Point, Space, bell, chain, common, ellipsoid, joined


class Tissue(IntEnum):
    """What a voxel is made of."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    BONE = 4  # cortical
    MARROW = 5  # the diploë too
    MUCOSA = 6
    VITREOUS = 7
    CSF = 8
    GREY = 9
    WHITE = 10
    DEEP_GREY = 11
    PALLIDUM = 12  # and the other nuclei that hold iron
    NERVE = 13  # brainstem, optic nerve
    DURA = 14  # falx, tentorium, sclera
    ARTERY = 15
    VEIN = 16
    PLEXUS = 17  # choroid plexus, pineal and pituitary gland
    OEDEMA = 18
    TUMOUR = 19  # takes up no contrast
    RIM = 20  # takes up contrast
    NECROSIS = 21


class Blob(NamedTuple):
    """An ellipsoid, turned by degrees about the vertical axis; one on either side where `paired`."""

    tissue: Tissue
    centre: Point
    radii: Point
    paired: bool = True
    turn: float = 0.0


class Tube(NamedTuple):
    """A tube through knots (x, y, z, radius), `tall` times as high as wide; one on either side where `paired`."""

    tissue: Tissue
    knots: tuple[Knot, ...]
    paired: bool = True
    tall: float = 1.0


Organ = Blob | Tube
T = Tissue

FACE: tuple[Organ, ...] = (
    Blob(T.MUSCLE, (71, -24, -24), (9, 36, 36), turn=-8),
    Blob(T.MUSCLE, (44, -14, -68), (12, 18, 20)),
    Blob(T.MUSCLE, (62, -24, -80), (8, 22, 24)),
    Tube(T.MUSCLE, ((14, 84, -64, 8), (17, 84, -100, 15))),
    Tube(T.MUSCLE, ((32, 76, -66, 8), (36, 74, -100, 11))),
    Tube(T.MUSCLE, ((60, 50, -64, 8), (58, 50, -100, 10))),
    Tube(T.MUSCLE, ((14, 64, -72, 7), (14, 60, -100, 10))),
    Blob(T.SKIN, (79, 30, -34), (3, 11, 18), turn=-28),
    Tube(T.BONE, ((50, -60, -46, 4.5), (63, -40, -50, 3.5), (70, -12, -48, 3))),
    Tube(T.BONE, ((48, -56, -22, 4), (47, -52, -44, 3), (36, -28, -36, 4), (30, -16, -28, 5))),
    Blob(T.MARROW, (46, -40, -34), (4, 9, 9), turn=-35),
    Blob(T.FAT, (56, -50, -38), (6, 13, 13), turn=-30),
    Tube(T.FAT, ((26, -28, -50, 5), (38, -26, -58, 6), (52, -36, -66, 8))),
    Tube(T.FAT, ((2, 96, -58, 3), (2, 90, -100, 6))),
    Tube(T.FAT, ((26, 66, -66, 3), (30, 62, -100, 5))),
    Tube(T.FAT, ((32, -62, -37, 17), (25, -40, -34, 12), (16, -20, -29, 5))),
    Tube(T.MUSCLE, ((45, -62, -37, 1.8), (34, -42, -35, 2.6), (17, -21, -29, 1.6))),
    Tube(T.MUSCLE, ((19, -62, -37, 1.8), (17, -44, -35, 2.6), (15, -21, -29, 1.6))),
    Tube(T.MUSCLE, ((32, -60, -51, 1.8), (25, -42, -43, 2.4), (16, -21, -31, 1.6))),
    Tube(T.MUSCLE, ((32, -60, -23, 1.8), (25, -42, -26, 2.4), (16, -21, -28, 1.6))),
    Tube(T.NERVE, ((31, -54, -37, 2), (24, -38, -34, 2), (15, -20, -28, 2))),
    Blob(T.DURA, (32, -66, -37), (12.6, 12.6, 12.6)),
    Blob(T.VITREOUS, (32, -66, -37), (11.5, 11.5, 11.5)),
    Blob(T.DURA, (32.3, -75, -37), (4.6, 2.1, 4.6)),
    Blob(T.MUCOSA, (0, -54, -50), (15, 34, 26), paired=False),
    Blob(T.AIR, (5.5, -64, -33), (3.8, 4.6, 6)),
    Blob(T.AIR, (6.5, -53, -32), (4.6, 4.4, 7)),
    Blob(T.AIR, (6.5, -41, -33), (5, 5.2, 7)),
    Blob(T.AIR, (11.5, -48, -41), (2.4, 6, 4)),
    Tube(T.AIR, ((2.6, -88, -62, 1.6), (2.8, -56, -52, 1.6), (4, -26, -56, 2.4))),
    Tube(T.AIR, ((8, -72, -58, 1.2), (8.5, -50, -56, 1.5), (7, -28, -60, 2))),
    Tube(T.AIR, ((11, -70, -66, 1.2), (12, -46, -66, 1.4))),
    Blob(T.BONE, (0, -60, -50), (0.8, 30, 20), paired=False),
    Blob(T.BONE, (32, -54, -70), (17, 19, 19)),
    Blob(T.MUCOSA, (32, -54, -70), (15, 17, 17)),
    Blob(T.AIR, (32, -54, -70), (13.5, 15, 15)),
    Blob(T.BONE, (0, -14, -42), (15, 16, 13), paired=False),
    Blob(T.AIR, (6.4, -15, -41), (5.8, 11, 9)),
    Blob(T.AIR, (0, 0, -68), (11, 9, 12), paired=False),
)
"""From the skin to the skull base; the skull and what it holds are drawn over it."""

BASE: tuple[Organ, ...] = (
    Blob(T.AIR, (8, -84, -10), (8, 3, 10)),
    Tube(T.BONE, ((12, 12, -44, 6), (34, 26, -43, 7.5), (60, 36, -46, 11))),
    Blob(T.AIR, (63, 40, -52), (5, 8, 8)),
    Blob(T.MARROW, (22, 18, -45), (5, 4, 3.5)),
    Tube(T.CSF, ((14, 22, -38, 1.6), (27, 25, -39, 1.6))),
    Tube(T.BONE, ((0, 0, -44, 8), (0, 16, -60, 6.5))),
    Tube(T.MARROW, ((0, 0, -44, 6), (0, 15, -60, 4.5)), paired=False),
    Blob(T.PLEXUS, (0, -3, -31), (6, 5, 3.5), paired=False),
    Tube(T.ARTERY, ((24, 8, -52, 3), (12, 3, -42, 3), (11, -8, -34, 2.6), (10, -5, -24, 2.3))),
)
"""Bones that stand into the cranial cavity, and what lies in them."""

VENTRICLES: tuple[Organ, ...] = (
    Tube(T.CSF, ((18, -35, 11, 1.8), (11, -27, 12, 4.2), (6, -15, 15, 5), (6, 0, 18, 4.9), (9, 14, 20, 4.8)), tall=1.8),
    Tube(T.CSF, ((9, 14, 19, 5), (17, 28, 19, 5.6), (25, 41, 12, 7)), tall=1.3),
    Tube(T.CSF, ((25, 41, 12, 7.6), (26, 56, 8, 4.5), (22, 70, 6, 2.2))),
    Tube(T.CSF, ((25, 41, 12, 7), (34, 33, -2, 4), (36, 18, -13, 2.8), (31, 4, -20, 2.6))),
    Tube(T.PLEXUS, ((12, 22, 17, 1.2), (21, 36, 14, 2.2), (25, 42, 8, 2.8))),
)

DEEP: tuple[Organ, ...] = (
    Tube(T.DEEP_GREY, ((13, -22, 2, 6.5), (14.5, -12, 11, 5.6), (17, 4, 19, 3.6), (22, 20, 20, 2.4), (29, 30, 10, 2))),
    Blob(T.DEEP_GREY, (10, -14, -4), (6, 8, 6)),
    Blob(T.DEEP_GREY, (27, -3, 3), (5.6, 17, 11), turn=-12),
    Blob(T.DEEP_GREY, (33.5, -2, 2), (0.9, 15, 10), turn=-10),
    Blob(T.PALLIDUM, (19.5, 3, 0), (4.4, 9, 6.5), turn=-25),
    Blob(T.DEEP_GREY, (10.5, 16, 7), (8.6, 14, 9.5), turn=-22),
    Blob(T.DEEP_GREY, (16, 27, 5), (6, 6, 7)),
    Blob(T.DEEP_GREY, (4, 4, -9), (4.5, 9, 6)),
    Blob(T.GREY, (22, 1, -21), (7, 8, 7)),
    Tube(T.GREY, ((24, 12, -20, 4.6), (30, 24, -15, 4), (27, 36, -5, 3.2))),
    Tube(T.NERVE, ((7, 22, -18, 5), (12, 15, -8, 5.5))),
    Blob(T.NERVE, (0, 28, -12), (12, 10, 11), paired=False),
    Blob(T.NERVE, (4.5, 38, -9), (4.5, 4, 7)),
    Tube(T.PALLIDUM, ((5, 19, -14, 1.2), (12, 18, -11, 1.4))),
    Blob(T.PALLIDUM, (5, 26, -11), (2.8, 2.8, 3)),
    Blob(T.NERVE, (0, 24, -33), (17, 13.5, 14), paired=False),
    Tube(T.NERVE, ((13, 31, -34, 6.5), (22, 44, -38, 6))),
    Tube(T.NERVE, ((0, 32, -45, 9), (0, 38, -60, 7), (0, 42, -104, 5.5)), paired=False),
    Blob(T.PALLIDUM, (15, 56, -39), (6.5, 2.6, 4), turn=30),
    Blob(T.CSF, (0, 46, -34), (6.5, 4.5, 11), paired=False),
    Tube(T.CSF, ((0, 24, -3, 1.2), (0, 34, -11, 0.9), (0, 41, -24, 1.4)), paired=False),
    Blob(T.CSF, (0, 9, -2), (1.7, 15, 10), paired=False),
    Tube(
        T.CSF,
        ((5, -4, 8, 1.6), (0, 0, 4, 1.6)),
    ),
    Blob(T.DEEP_GREY, (0, 10, 3), (3, 3, 2.5), paired=False),
    Blob(T.WHITE, (0, -10, 13), (0.8, 24, 11), paired=False),
    Tube(
        T.WHITE,
        ((2, -6, 3, 1.6), (2, 0, 13, 1.8), (6, 24, 16, 2)),
    ),
    Blob(T.PLEXUS, (0, 35, 2), (2.6, 3.6, 2.6), paired=False),
)

VESSELS: tuple[Organ, ...] = (
    Tube(T.NERVE, ((15, -21, -28, 2), (5, -7, -19, 2), (0, -3, -18, 1.8))),
    Tube(T.ARTERY, ((0, 22, -56, 1.6), (1, 9, -44, 1.8), (-0.5, 8, -30, 1.8), (0, 11, -20, 1.6)), paired=False),
    Tube(T.ARTERY, ((1, 11, -20, 1.4), (13, 18, -17, 1.3), (22, 32, -11, 1.2))),
    Tube(T.ARTERY, ((10, -5, -22, 1.9), (22, -6, -20, 1.7), (34, -8, -14, 1.5), (39, 4, -2, 1.2), (40, 16, 8, 1))),
    Tube(
        T.ARTERY, ((9, -6, -21, 1.4), (2.5, -14, -16, 1.3), (1.2, -34, -2, 1.2), (1.2, -38, 16, 1.1), (1.2, -22, 34, 1))
    ),
    Tube(T.VEIN, ((4, 101, -13, 4), (34, 90, -20, 4), (57, 60, -27, 4.2), (55, 42, -42, 5))),
    Tube(T.VEIN, ((0, 44, 6, 1.5), (0, 72, -5, 1.6), (0, 98, -13, 2.8)), paired=False),
    Tube(T.VEIN, ((2, 8, 11.5, 0.5), (2, 34, 8, 0.7), (0, 45, 8, 1.4))),
)

_TEMPORAL: tuple[Knot, ...] = ((38, -16, -29, 16), (45, 8, -25, 20), (48, 40, -14, 21))
_PARAHIPPOCAMPAL: tuple[Knot, ...] = ((24, -2, -23, 9), (24, 18, -18, 9), (21, 34, -9, 8.5))


def _both(s: Space) -> Space:
    return Space(np.abs(s.x), s.y, s.z, s.plain)


def floor(s: Space) -> Field:
    """Height (z, mm) of the underside of the cerebrum: the orbital roofs in front, the tentorium behind."""
    rise = np.interp(s.y, [-60, -20, 0, 20, 40, 70, 100], [-2, 1, 5, 13, 21, 13, 4]).astype(np.float32)
    roof = 5.5 * bell(np.abs(s.x), 30, 14) * np.clip((-12 - s.y) / 20, 0, 1)
    tent = np.exp(-np.sqrt(s.x * s.x + np.float32(4)) / np.float32(25)) * np.float32(1.08)
    return np.asarray(-22 + rise * tent + roof, dtype=np.float32)


def vault(s: Space, margin: float) -> Field:
    """The egg of the upper head, `margin` mm outside the brain: narrower in front, fuller than an ellipsoid."""
    wide = np.float32(1) + np.clip((s.y - 20) / 700, -0.14, 0.06)
    x = (s.x / wide / np.float32(67 + margin)) ** 2
    y = ((s.y - 15) / np.float32(87 + margin)) ** 2
    z = ((s.z - 11) / np.float32(66 + margin)) ** 2
    full = np.sqrt(np.sqrt(x * x + y * y + z * z + 0.6 * (x * z + y * z) + 0.9 * x * y))
    level = 0.45 * np.sqrt(x + y + z) + 0.55 * full
    return np.asarray((level - 1) * np.sqrt(x + y + z) * 72, dtype=np.float32)


def brain(s: Space) -> tuple[Field, Field]:
    """Cerebrum and cerebellum without their folds."""
    both, under = _both(s), floor(s)
    upper = common(vault(s, 0), (under - s.z) * np.float32(0.9), 6)
    temporal = common(chain(both, _TEMPORAL), vault(s, 0), 4)
    cerebrum = joined(joined(upper, temporal, 5), chain(both, _PARAHIPPOCAMPAL), 5)
    lobes = joined(ellipsoid(both, (24, 62, -38), (36, 42, 34)), ellipsoid(s, (0, 62, -30), (15, 36, 36)), 14)
    lobes = common(lobes, _fossa(s) + np.float32(1.8), 4)
    return cerebrum, common(lobes, (s.z - under + 2.2) * np.float32(0.9), 4)


def _fossa(s: Space) -> Field:
    return ellipsoid(s, (0, 55, -32), (60, 48, 39))


def cavity(s: Space) -> Field:
    """The cranial cavity, down into the spinal canal."""
    both = _both(s)
    upper = common(vault(s, 1.4), floor(s) - np.float32(1.6) - s.z, 6)
    temporal = common(chain(both, _TEMPORAL) - np.float32(2.5), vault(s, 1.4), 4)
    middle = ellipsoid(s, (0, 6, -20), (24, 24, 14))
    canal = chain(s, ((0, 36, -50, 15), (0, 40, -75, 12), (0, 42, -110, 11)))
    return joined(joined(joined(upper, temporal, 3), _fossa(s), 5), joined(middle, canal, 3), 5)


def skin(s: Space) -> Field:
    """The surface of the head."""
    face = ellipsoid(s, (0, 4, -52), (74, 97, 66))
    nose = chain(s, ((0, -84, -26, 7), (0, -94, -46, 9), (0, -96, -66, 12)))
    neck = chain(s, ((0, 48, -60, 60), (0, 40, -120, 62)))
    return joined(joined(vault(s, 14.8), face, 14), joined(nose, neck, 5), 10)


def arch(s: Space) -> Field:
    """Distance beyond the upper surface of the corpus callosum, within the sagittal plane; negative under it."""
    y, z = (s.y - 5) / np.float32(41), (s.z - 4) / np.float32(27)
    level = np.sqrt(y * y + z * z) + np.float32(1e-6)
    slope = np.sqrt((y / 41) ** 2 + (z / 27) ** 2) + np.float32(1e-6)
    return np.asarray(level * (level - 1) / slope, dtype=np.float32)


def medial(s: Space) -> Field:
    """Distance to the middle of the fissure between the hemispheres, which ends above the corpus callosum."""
    side, beyond = np.abs(s.x), arch(s)
    return np.asarray(np.where(beyond > 0, side, np.hypot(side, beyond)), dtype=np.float32)


def sylvian(s: Space, wobble: Field) -> Field:
    """Distance to the Sylvian fissures and the fluid over the insulae; `wobble` (mm) bends their sheets."""
    side = np.abs(s.x)
    slant = (s.z + 12 - 0.5 * (s.y + 20) + 2 * wobble) * np.float32(0.8)
    ends = np.maximum(np.abs(s.y - 6) - 32, 36 - side)
    cleft = np.maximum(np.abs(slant) - np.clip((side - 30) / 25, 0.5, 1.4), ends)
    region = (np.sqrt(((s.y - 1) / 22) ** 2 + ((s.z - 3) / 17) ** 2) - 1) * 17
    insula = np.abs(side + wobble - (39 - 0.008 * (s.y - 2) ** 2)) - np.float32(0.8)
    return np.asarray(np.minimum(cleft, np.maximum(insula, region)), dtype=np.float32)
