"""Text as letters of a font that can be embedded, and as a picture where that font does not have its script."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Bytes = NDArray[np.uint8]
_RIGHT_TO_LEFT = frozenset({"R", "AL"})


@lru_cache(maxsize=1)
def fonts() -> Path:
    """The folder of the DejaVu fonts, which come with Matplotlib, and that with VTK; under the Bitstream Vera licence.

    They have Latin, Greek, Cyrillic, Hebrew, Arabic and more, and no Chinese, Japanese or Korean.
    """
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        raise FileNotFoundError("Matplotlib, which brings the fonts, is not installed")
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"


def right_to_left(text: str) -> bool:
    """Whether text has letters that run from right to left."""
    return any(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in text)


def lettered(text: str, height: int) -> Bytes:
    """One line of text, black on white, shape (height, columns), for scripts that the embedded font cannot set.

    Pillow orders and joins Hebrew and Arabic; the rest is set by OpenCV, whose own font has Chinese, Japanese and
    Korean.
    """
    size = round(height * 0.72)
    if right_to_left(text):
        font = ImageFont.truetype(str(fonts() / "DejaVuSans.ttf"), size)
        wide = max(1, round(font.getlength(text)))
        line = Image.new("L", (wide + 4, height), 255)
        ImageDraw.Draw(line).text((2, height * 0.76), text, font=font, fill=0, anchor="ls")
        return np.asarray(line, dtype=np.uint8)
    face = cv2.FontFace("uni")
    left, _, wide, _ = cv2.getTextSize((0, 0), text, (0, 0), face, size, 400)
    picture = np.full((height, max(1, left + wide) + 4), 255, np.uint8)
    cv2.putText(picture, text, (2, round(height * 0.76)), (0, 0, 0), face, size, 400)
    return picture
