"""Stored values → grey on the screen: Modality LUT, then VOI LUT, then polarity (PS3.4 N.2)."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.geometry import PlaneAxes
from overread.domain.study import Stack, Window
from overread.domain.volume import Volume

Bytes = NDArray[np.uint8]


def windowed(real: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Real values to 0 … 1 by a window: LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    center, width = window.center, max(window.width, 1e-9)
    if window.function == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (real - center) / width, -700, 700))))
    if window.function == "LINEAR_EXACT" or width < 1.0:  # LINEAR knows no width below 1
        return np.clip((real - center) / width + 0.5, 0.0, 1.0)
    if width == 1.0:
        return np.where(real > center - 0.5, 1.0, 0.0)
    return np.clip((real - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def grey(real: NDArray[np.float64], stack: Stack, window: Window, invert: bool) -> Bytes:
    """Real values to bytes."""
    if window.function == "LUT" and stack.voi_lut is not None:
        values = stack.voi_lut.apply(real)
        low, high = float(stack.voi_lut.values.min()), float(stack.voi_lut.values.max())
        shade = (values - low) / max(high - low, 1.0)
    else:
        shade = windowed(real, window)
    if invert != (stack.encoding.photometric == "MONOCHROME1"):
        shade = 1.0 - shade
    return np.asarray(np.rint(shade * 255.0), dtype=np.uint8)


@lru_cache(maxsize=64)
def _table(stack: Stack, slope: float, intercept: float, window: Window, invert: bool) -> Bytes:
    """A byte for every stored value an 8- or 16-bit image can hold, in the order of their bit patterns."""
    dtype = stack.encoding.dtype
    codes = np.arange(1 << (8 * dtype.itemsize), dtype=np.dtype(f"u{dtype.itemsize}")).view(dtype)
    stored = codes.astype(np.float64)
    real = stack.modality_lut.apply(stored) if stack.modality_lut else stored * slope + intercept
    return grey(real, stack, window, invert)


def shaded(volume: Volume, axes: PlaneAxes, index: int, window: Window, invert: bool) -> Bytes:
    """A slice as it lies on the screen, in bytes, shape (rows, columns)."""
    stack = volume.stack
    if (axes.through == 0 or volume.uniform) and volume.voxels.dtype.itemsize <= 2:
        k = index if axes.through == 0 else 0
        table = _table(stack, float(volume.slope[k]), float(volume.intercept[k]), window, invert)
        codes = np.ascontiguousarray(axes.picture(volume.voxels, index)).view(f"u{volume.voxels.dtype.itemsize}")
        return np.asarray(cv2.LUT(codes, table), dtype=np.uint8)
    return grey(axes.picture(volume.real(axes.slab(index)), 0), stack, window, invert)
