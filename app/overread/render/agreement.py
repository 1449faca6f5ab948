"""Where two masks agree, on a picture: told apart by line and hatch as well as by colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Status
from overread.imaging.compare import Agreement
from overread.render.overlay import at_screen_size, dashes, mask_layer
from overread.render.projection import Projection

Bytes = NDArray[np.uint8]
_EVERY, _WIDE = 9, 3  # screen pixels from one line of a hatch to the next, and of the line


@dataclass(frozen=True)
class Region:
    """How a part of the map looks. `slant` is the way its hatch leans, +1 or -1, 0 where it is filled.

    `dash` is pixels of line and gap, None where the line is solid. Colours are those of Okabe and Ito (2008), which
    people with any colour vision tell apart.
    """

    name: str
    colour: tuple[int, int, int]
    slant: int
    dash: tuple[int, int] | None


BOTH = Region("both", (0xF0, 0xF0, 0xF0), 0, None)
ONLY_A = Region("only A", (0x56, 0xB4, 0xE9), 1, (9, 6))
ONLY_B = Region("only B", (0xE6, 0x9F, 0x00), -1, (2, 5))
REGIONS = (BOTH, ONLY_A, ONLY_B)


def draw_agreement(rgb: Bytes, found: Agreement, projection: Projection, opacity: float, thickness: float) -> None:
    """Draw the map onto a picture (height, width, 3) of the pane, in place: what both hold, what one alone holds."""
    for region, mask in zip(REGIONS, (found.both, found.only_a, found.only_b), strict=True):
        layer = mask_layer(mask, projection.axes, projection.index, Status.PROPOSED)
        if layer is None:
            continue
        x, y, inside = at_screen_size(layer, projection)
        if inside.size:
            _fill(rgb, x, y, inside > 0, region, opacity)
            _outline(rgb, x, y, inside, region, thickness)


def hatched(height: int, width: int, x: int, y: int, region: Region) -> NDArray[np.bool_]:
    """Which pixels of a patch at (x, y) of the pane its hatch covers; lines of neighbouring patches go on."""
    if region.slant == 0:
        return np.ones((height, width), np.bool_)
    rows, columns = np.arange(y, y + height)[:, None], np.arange(x, x + width)
    return np.asarray((columns + region.slant * rows) % _EVERY < _WIDE)


def _fill(rgb: Bytes, x: int, y: int, inside: NDArray[np.bool_], region: Region, opacity: float) -> None:
    cut = inside[max(0, -y) :, max(0, -x) :]
    target = rgb[max(0, y) :, max(0, x) :][: cut.shape[0], : cut.shape[1]]
    cut = cut[: target.shape[0], : target.shape[1]]
    if target.size == 0 or opacity <= 0:
        return
    cover = cut & hatched(cut.shape[0], cut.shape[1], max(0, x), max(0, y), region)
    # A hatch covers a third of its ground, so its lines are stronger.
    strength = min(1.0, opacity * (1 if region.slant == 0 else 3))
    target[cover] = np.rint(target[cover] * (1 - strength) + np.array(region.colour) * strength).astype(np.uint8)


def _outline(rgb: Bytes, x: int, y: int, inside: Bytes, region: Region, thickness: float) -> None:
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = [np.asarray(contour[:, 0] + np.array([[x, y]]), np.int32) for contour in contours]
    width = max(1, round(thickness))
    if region.dash is not None:
        on, off = region.dash
        lines = [piece for line in lines for piece in dashes(line, on, off)]
    closed = region.dash is None
    cv2.polylines(rgb, lines, closed, (0, 0, 0), width + 2, cv2.LINE_AA)
    cv2.polylines(rgb, lines, closed, region.colour, width, cv2.LINE_AA)
