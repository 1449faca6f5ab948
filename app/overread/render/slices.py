"""One slice with all that lies on it → an RGB picture of the pane's size."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Finding
from overread.domain.heatmap import Heatmap
from overread.domain.study import Window
from overread.domain.volume import Volume
from overread.render.boxes import BoxMark, draw_boxes
from overread.render.grey import shaded
from overread.render.heat import STRENGTH, draw_heat, shown_here
from overread.render.measures import MeasureMark, draw_measures
from overread.render.overlay import Layer, draw, finding_layers
from overread.render.projection import Projection, resized

Bytes = NDArray[np.uint8]


def compose(
    volume: Volume,
    projection: Projection,
    window: Window,
    *,
    invert: bool = False,
    findings: Sequence[Finding] = (),
    live: Sequence[Layer] = (),
    boxes: Sequence[BoxMark] = (),
    measures: Sequence[MeasureMark] = (),
    heatmap: Heatmap | None = None,
    heat_opacity: float = STRENGTH,
    selected: str | None = None,
    original: bool = False,
    opacity: float = 0.2,
    thickness: float = 2.0,
) -> Bytes:
    """The pane's picture, shape (height, width, 3), RGB: the slice, findings on it, and a model's fresh answers.

    `live` are layers of slices a model has just read and that are no findings yet; `boxes` those of detections,
    `measures` what was measured, and `heatmap` what to lay beneath, where it belongs to this slice.
    """
    width, height = projection.size
    rgb = np.zeros((height, width, 3), np.uint8)
    if volume.colour:
        picture = projection.axes.picture(volume.voxels, projection.index)
        rows, columns, seen = projection.stretch(picture, cv2.INTER_CUBIC)
        rgb[rows, columns] = 255 - seen if invert else seen
    else:
        grey = shaded(volume, projection.axes, projection.index, window, invert)
        rows, columns, seen = projection.stretch(grey, cv2.INTER_CUBIC)
        if seen.size:
            cv2.cvtColor(seen, cv2.COLOR_GRAY2RGB, dst=rgb[rows, columns])
    if heatmap is not None and shown_here(heatmap, projection):
        draw_heat(rgb, heatmap, projection, heat_opacity)
    layers = [*live, *finding_layers(findings, projection.axes, projection.index, selected, original=original)]
    draw(rgb, layers, projection, opacity, thickness)
    draw_boxes(rgb, boxes, projection, thickness)
    draw_measures(rgb, measures, projection, thickness)
    return rgb


def thumbnail(pixels: NDArray[np.generic], window: Window | None, aspect: float, size: int) -> Bytes:
    """A small picture (size, size, 3) of one frame of stored values or colour; `aspect` is row over column spacing.

    Without a window the middle 98 % of the values are spread over black to white.
    """
    if pixels.ndim == 3:
        shade = np.clip(pixels, 0, 255).astype(np.uint8)
    else:
        values = pixels.astype(np.float32)
        if window is None:
            low, high = (float(v) for v in np.percentile(values[::4, ::4], (1, 99)))
        else:
            low, high = window.center - window.width / 2, window.center + window.width / 2
        shade = np.rint(np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    rows, columns = pixels.shape[0] * aspect, float(pixels.shape[1])
    scale = size / max(rows, columns)
    wide, high_px = max(1, round(columns * scale)), max(1, round(rows * scale))
    small = resized(shade, wide, high_px, cv2.INTER_LINEAR)
    if small.ndim == 2:
        small = np.repeat(small[..., None], 3, axis=2)
    picture = np.zeros((size, size, 3), np.uint8)
    top, left = (size - high_px) // 2, (size - wide) // 2
    picture[top : top + high_px, left : left + wide] = small
    return picture
