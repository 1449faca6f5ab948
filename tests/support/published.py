"""Files in the layouts of the public collections, with made-up content."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import SimpleITK as sitk

SIZE = (12, 16)


def picture(path: Path, seed: int = 0, channels: int = 3) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (*SIZE, channels)).astype(np.uint8)
    encode(path, pixels if channels > 1 else pixels[..., 0])


def mask(path: Path, rows: slice = slice(3, 6)) -> None:
    pixels = np.zeros(SIZE, np.uint8)
    pixels[rows, 4:9] = 255
    encode(path, pixels)


def encode(path: Path, pixels: np.ndarray) -> None:
    encoders = {
        ".png": imagecodecs.png_encode,
        ".jpg": imagecodecs.jpeg_encode,
        ".tif": imagecodecs.tiff_encode,
        ".gif": imagecodecs.gif_encode,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoders[path.suffix](pixels))


def volume(path: Path, voxels: np.ndarray, **geometry: tuple[float, ...]) -> None:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(geometry.get("spacing", (1.0, 1.0, 1.0)))
    image.SetOrigin(geometry.get("origin", (0.0, 0.0, 0.0)))
    image.SetDirection(geometry.get("direction", tuple(np.eye(3).ravel())))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
