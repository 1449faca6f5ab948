"""A class activation map over the slice it was computed on."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.heatmap import Heatmap
from overread.render.projection import Projection

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
# How strongly the greatest activation covers the image: what lies beneath can still be seen.
STRENGTH = 0.65


def table() -> Bytes:
    """The colours of a heatmap from 0 to the greatest activation, shape (256, 3), RGB.

    Inferno (van der Walt and Smith, 2015): equal steps of activation look equally far apart, also to the
    colour-blind and in grey.
    """
    ramp = np.arange(256, dtype=np.uint8)[None]
    return np.asarray(cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[0, :, ::-1], np.uint8)


def shares(heatmap: Heatmap) -> Floats:
    """The map between 0 (speaks for nothing, or against the class) and 1 (its greatest activation), shape (h, w)."""
    values = np.maximum(heatmap.values, 0)
    return np.asarray(values / max(float(values.max()), 1e-12), np.float32)


def shown_here(heatmap: Heatmap, projection: Projection) -> bool:
    """Whether a map lies on the slice that a projection shows."""
    return heatmap.plane is projection.axes.plane and heatmap.index == projection.index


def draw_heat(rgb: Bytes, heatmap: Heatmap, projection: Projection, opacity: float = STRENGTH) -> None:
    """Lay a map over a picture (height, width, 3) of the pane, in place.

    Between the middles of its cells the map is interpolated linearly. The cover grows with the activation, up to
    `opacity` (0 to 1) for the greatest: where nothing speaks for the class, the image stays as it is.
    """
    rows, columns, inside = _covered(heatmap, projection)
    if not inside:
        return
    (left, top), (across, down) = projection.corner, projection.scale
    row0, column0, row1, column1 = heatmap.extent
    high, wide = heatmap.shape
    per_column, per_row = wide / ((column1 - column0) * across), high / ((row1 - row0) * down)
    # From screen pixels of the covered part to cells, middles on middles.
    matrix = np.array(
        [
            [per_column, 0, (columns.start + 0.5 - left - column0 * across) * per_column - 0.5],
            [0, per_row, (rows.start + 0.5 - top - row0 * down) * per_row - 0.5],
        ]
    )
    share = cv2.warpAffine(
        shares(heatmap),
        matrix,
        (columns.stop - columns.start, rows.stop - rows.start),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    share = np.clip(share, 0, 1)
    level = cv2.convertScaleAbs(share, alpha=255)
    cover = share * np.float32(opacity)
    part = rgb[rows, columns]
    part[...] = cv2.blendLinear(part, cv2.applyColorMap(level, table()[:, None]), 1 - cover, cover)


def _covered(heatmap: Heatmap, projection: Projection) -> tuple[slice, slice, bool]:
    """The rows and columns of the pane that lie under the map and on the picture, and whether there are any."""
    (left, top), (across, down), (width, height) = projection.corner, projection.scale, projection.size
    row0, column0, row1, column1 = heatmap.extent
    first = max(round(left + max(column0, 0) * across), 0), max(round(top + max(row0, 0) * down), 0)
    last = (
        min(round(left + min(column1, projection.columns) * across), width),
        min(round(top + min(row1, projection.rows) * down), height),
    )
    return slice(first[1], last[1]), slice(first[0], last[0]), first[0] < last[0] and first[1] < last[1]
