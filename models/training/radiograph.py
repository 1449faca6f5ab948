"""Random change of radiographs while training: other exposures, devices, crops and positions of the same chest."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.imaging.intensity import IntensityRule, normaliser

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]


def normalised(image: U8, rule: IntensityRule) -> F32:
    """A radiograph (rows, columns) as the engine would give it to the model, measured on every third row and column."""
    return normaliser(rule, image[1::3, 1::3])(image.astype(np.float32))


def varied(
    image: U8, rule: IntensityRule, rng: np.random.Generator, strength: float = 1.0, size: int | None = None
) -> F32:
    """Change a radiograph (rows, columns) and normalise it as the engine would do; same shape, or ``size`` × ``size``.

    ``strength`` is 1 for the whole range of positions, exposures and devices, 0 for none but the mirror image.
    """
    image = _moved(image, rng, strength, image.shape if size is None else (size, size))
    image = np.asarray(cv2.LUT(image, _curve(rng, strength)), np.uint8)
    if rng.random() < 0.15 * strength:
        image = np.asarray(cv2.createCLAHE(float(rng.uniform(1, 3)), (8, 8)).apply(image), np.uint8)
    image = _blurred(image, rng, strength)
    if rng.random() < 0.3 * strength:
        image = _shaded(image, rng)
    if rng.random() < 0.4 * strength:
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(0, 14))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4 * strength:
        _covered(image, rng)
    return normalised(image, rule)


def _moved(image: U8, rng: np.random.Generator, strength: float, size: tuple[int, ...]) -> U8:
    """Turn by up to 10°, scale, stretch, shift, mirror; outside lies the edge, black, or some other grey."""
    rows, columns = size
    shrunk = np.array([image.shape[1] / columns, image.shape[0] / rows])
    angle = np.radians(rng.uniform(-10, 10) * strength)
    scale = np.exp(rng.uniform(np.log(0.78), np.log(1.2)) * strength)
    across, down = scale * np.exp(rng.normal(0, 0.08 * strength, 2)) * shrunk
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([across if rng.random() < 0.5 else -across, down])
    middle, centre = np.array([columns - 1, rows - 1]) / 2, np.array(image.shape[::-1]) / 2 - 0.5
    centre = centre + rng.uniform(-0.08, 0.08, 2) * image.shape[::-1] * strength
    if rng.random() < 0.4 * strength:
        linear, centre = _framed(linear, centre, image.shape, rng)
    to_source = np.column_stack([linear, centre - linear @ middle])
    border = cv2.BORDER_REPLICATE if rng.random() < 0.4 else cv2.BORDER_CONSTANT
    fill = 0 if rng.random() < 0.7 else int(rng.integers(256))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(image, to_source, (columns, rows), flags=flags, borderMode=border, borderValue=fill)
    return np.asarray(moved, np.uint8)


def _framed(linear: F64, centre: F64, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[F64, F64]:
    """Each side cut off or given a border by up to 15 % of its length, as plates and their cropping differ."""
    near, far = rng.uniform(-0.15, 0.15, (2, 2))
    return linear * (1 - near - far)[:, None], centre + (near - far) / 2 * shape[::-1]


def _curve(rng: np.random.Generator, strength: float) -> U8:
    """A random monotone curve over the grey values 0 … 255: exposure, gamma, and a device's own look-up table."""
    ramp = np.linspace(0, 1, 256)
    rises = np.exp(rng.normal(0, 0.5 * strength, 5))
    curve = np.interp(ramp, np.linspace(0, 1, 6), np.concatenate([[0], np.cumsum(rises)]) / rises.sum())
    curve = curve ** np.exp(rng.normal(0, 0.35 * strength))
    contrast, shift = np.exp(rng.normal(0, 0.2 * strength)), rng.normal(0, 0.06 * strength)
    return np.asarray(np.clip(((curve - 0.5) * contrast + 0.5 + shift) * 255, 0, 255), np.uint8)


def _blurred(image: U8, rng: np.random.Generator, strength: float) -> U8:
    """Softer, sharper, coarser or compressed: a class must not be known by how its files were made."""
    if rng.random() < 0.35 * strength:
        soft = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.8)))
        # more than the image itself is an unsharp mask
        share = float(rng.uniform(-1.0, 1.0))
        image = cv2.addWeighted(image, 1 - share, soft, share, 0).astype(np.uint8)
    if rng.random() < 0.25 * strength:
        size = int(image.shape[0] * rng.uniform(0.4, 0.9))
        small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    if rng.random() < 0.25 * strength:
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return image


def _shaded(image: U8, rng: np.random.Generator) -> U8:
    """Slow change of brightness over the image: scatter, and a tube that stood off centre."""
    bumps = rng.normal(0, 0.12, (3, 3)).astype(np.float32)
    shade = cv2.resize(bumps, image.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(image * (1 + shade), 0, 255), np.uint8)


def _covered(image: U8, rng: np.random.Generator) -> None:
    """Cover up to three rectangles, in place: no single part of the image may decide (DeVries & Taylor 2017)."""
    rows, columns = image.shape
    for _ in range(int(rng.integers(1, 4))):
        high, wide = int(rows * rng.uniform(0.05, 0.3)), int(columns * rng.uniform(0.05, 0.3))
        top, left = int(rng.integers(rows - high)), int(rng.integers(columns - wide))
        image[top : top + high, left : left + wide] = int(rng.integers(256))


def phantom(rows: int, columns: int) -> F32:
    """A made-up chest for a self-test: a bright body with two dark lungs and ribs, 0 … 1; (1, 1, rows, columns)."""
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    picture = 0.75 - 0.15 * y**2
    for side in (-0.42, 0.42):
        lung = np.hypot((x - side) / 0.32, (y + 0.05) / 0.68)
        picture -= 0.5 / (1 + np.exp(14 * (lung - 1))) * (1 - 0.15 * np.cos(18 * y + 3 * np.abs(x)))
    picture[np.abs(x) > 0.93] = 0.0
    # 256 steps, so that the file is small
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255)[None, None] / 255, np.float32)
