"""What a scanner makes of the phantom: signal equations, coil shading, slices, k-space, noise.

Signals are those of spin echo and inversion recovery, S = ρ (1 - exp(-TR/T1)) exp(-TE/T2) and
S = ρ |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2) (Hornak, The Basics of MRI, chapter 4). Noise is complex and
Gaussian before the magnitude is taken, so Rician after (Gudbjartsson & Patz, Magn Reson Med 34:910, 1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from overread.domain.geometry import Grid
from overread.imaging.phantom import Head
from overread.imaging.phantom_atlas import Tissue
from overread.imaging.phantom_shapes import Field, doubled, noise


class Relaxation(NamedTuple):
    """T1 and T2 in ms at 1.5 T, proton density (water 1), and T1 in ms after gadolinium."""

    t1: float
    t2: float
    density: float
    t1_contrast: float


# Rounded from the usual ranges; fat, muscle and blood as they look in fast spin echo (long T2 of fat, flow voids).
RELAXATION: dict[Tissue, Relaxation] = {
    Tissue.AIR: Relaxation(1000, 50, 0, 1000),
    Tissue.SKIN: Relaxation(700, 60, 0.75, 500),
    Tissue.FAT: Relaxation(210, 130, 0.95, 210),
    Tissue.MUSCLE: Relaxation(950, 48, 0.75, 750),
    Tissue.BONE: Relaxation(600, 15, 0.06, 600),
    Tissue.MARROW: Relaxation(420, 75, 0.42, 400),
    Tissue.MUCOSA: Relaxation(1000, 110, 0.75, 500),
    Tissue.VITREOUS: Relaxation(3600, 700, 1.0, 3600),
    Tissue.CSF: Relaxation(3800, 500, 1.0, 3800),
    Tissue.GREY: Relaxation(1150, 92, 0.81, 1080),
    Tissue.WHITE: Relaxation(610, 76, 0.70, 590),
    Tissue.DEEP_GREY: Relaxation(930, 82, 0.76, 880),
    Tissue.PALLIDUM: Relaxation(750, 65, 0.72, 720),
    Tissue.NERVE: Relaxation(720, 80, 0.72, 690),
    Tissue.DURA: Relaxation(900, 40, 0.5, 450),
    Tissue.ARTERY: Relaxation(1800, 20, 0.60, 160),
    Tissue.VEIN: Relaxation(1600, 25, 0.90, 160),
    Tissue.PLEXUS: Relaxation(1300, 140, 0.85, 420),
    Tissue.OEDEMA: Relaxation(1250, 126, 0.83, 1220),
    Tissue.TUMOUR: Relaxation(1450, 160, 0.87, 1250),
    Tissue.RIM: Relaxation(1200, 120, 0.84, 330),
    Tissue.NECROSIS: Relaxation(2000, 330, 0.94, 1900),
}


@dataclass(frozen=True)
class Timing:
    """A pulse sequence by its times in ms; `ti` is 0 for a plain spin echo."""

    tr: float
    te: float
    ti: float = 0.0
    contrast: bool = False

    def signal(self, tissue: Tissue) -> float:
        """Signal of a tissue; 1 would be water at rest."""
        t1, t2, density, t1_contrast = RELAXATION[tissue]
        t1 = t1_contrast if self.contrast else t1
        along = 1 - np.exp(-self.tr / t1)
        if self.ti:
            along = abs(1 - 2 * np.exp(-self.ti / t1) + np.exp(-self.tr / t1))
        return float(density * along * np.exp(-self.te / t2))


def contrast(head: Head, timing: Timing) -> Field:
    """The signal in every voxel of the phantom, before any scanner."""
    out = np.zeros(head.grid.shape, np.float32)
    for layer in head.layers:
        part = out[layer.at]
        part += layer.cover * np.float32(1 / 255) * (np.float32(timing.signal(layer.tissue)) - part)
    return out


_PROFILE = (0.04, 0.09, 0.13, 0.16, 0.16, 0.16, 0.13, 0.09, 0.04)  # of a slice, across its thickness


@dataclass(frozen=True)
class Scan:
    """How a series was acquired: its slices, its gain and the faults of its coil."""

    timing: Timing
    grid: Grid
    thickness_mm: float
    gain: float  # stored value of a signal of 1
    noise: float  # standard deviation of the real and of the imaginary part, in stored values
    seed: int


def acquire(head: Head, scan: Scan) -> NDArray[np.uint16]:
    """The stored values of a series, shape (k, j, i)."""
    rng = np.random.default_rng(scan.seed)
    volume = contrast(head, scan.timing)
    volume *= 1 + _grain(volume.shape)
    slices = slabs(volume, head.grid, scan.grid, scan.thickness_mm) * _shading(scan.grid, rng)
    for k, picture in enumerate(slices):
        slices[k] = _through_k_space(picture * np.float32(scan.gain), scan.noise, rng)
    return np.asarray(np.clip(np.rint(slices), 0, 4095), dtype=np.uint16)


def _grain(shape: tuple[int, ...]) -> Field:
    """Unevenness of all tissues, a few per cent; the same in every series, as it is the patient's."""
    rng = np.random.default_rng(7)
    coarse = (shape[0] // 2, shape[1] // 2, shape[2] // 2)
    grain = doubled(0.02 * noise(coarse, 2.5, rng) + 0.035 * noise(coarse, 0.8, rng))
    grain.setflags(write=False)
    return grain


def slabs(volume: Field, at: Grid, onto: Grid, thickness_mm: float) -> Field:
    """Mean of a volume over the thickness of each slice of another grid, from planes within it."""
    image = sitk.GetImageFromArray(volume)
    image.SetOrigin(at.origin.tolist())
    image.SetSpacing(at.spacing[::-1])
    image.SetDirection(at.directions[:, ::-1].ravel().tolist())
    total = np.zeros(onto.shape, np.float32)
    for plane, weight in enumerate(_PROFILE):
        off = (plane - len(_PROFILE) // 2) * thickness_mm / len(_PROFILE)
        resampled = sitk.Resample(
            image,
            onto.shape[::-1],
            sitk.Transform(),
            sitk.sitkLinear,
            (onto.origin + onto.directions[:, 0] * off).tolist(),
            onto.spacing[::-1],
            onto.directions[:, ::-1].ravel().tolist(),
            0.0,
            sitk.sitkFloat32,
        )
        total += np.float32(weight) * sitk.GetArrayViewFromImage(resampled)
    return total


def _shading(grid: Grid, rng: np.random.Generator) -> Field:
    """Sensitivity of a head coil: brighter near its elements, weaker past its end, a slope of its own each time."""
    k, j, i = grid.shape
    centre = grid.to_lps((np.array(grid.shape) - 1) / 2)
    index = np.stack(np.meshgrid(np.arange(k), np.linspace(0, j - 1, 17), np.linspace(0, i - 1, 17), indexing="ij"), -1)
    x, y, z = np.moveaxis((grid.to_lps(index) - centre) / 100, -1, 0)
    a, b, c, d = rng.uniform(-0.06, 0.06, 4)
    field = 1 + 0.28 * (x * x + y * y - 0.7 * np.clip(z, 0, None) ** 2) + a * x + b * y + c * z + d * x * y
    out = np.empty(grid.shape, np.float32)
    for n, sheet in enumerate(field.astype(np.float32)):
        out[n] = cv2.resize(sheet, (i, j), interpolation=cv2.INTER_CUBIC)
    return out


def _through_k_space(picture: Field, sigma: float, rng: np.random.Generator) -> Field:
    """Acquire a slice on fewer phase-encoding lines than the matrix has, with noise, and take the magnitude."""
    rows, columns = picture.shape
    fy, fx = np.abs(np.fft.fftfreq(rows))[:, None] * 2, np.abs(np.fft.fftfreq(columns))[None, :] * 2
    keep = np.clip((1 - fy) / 0.25, 0, 1) * np.clip((0.95 - fx) / 0.25, 0, 1)
    sharpen = 1 + 0.9 * (fx * fx + fy * fy)
    dirt = rng.standard_normal((2, rows, columns), dtype=np.float32) * np.float32(sigma)
    spectrum = np.fft.fft2(picture) * sharpen + np.fft.fft2(dirt[0] + 1j * dirt[1])
    return np.asarray(np.abs(np.fft.ifft2(spectrum * keep)), dtype=np.float32)
