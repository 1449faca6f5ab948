"""Decoding of the pictures that data sets hold, by the codec that their name says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

import imagecodecs
import numpy as np
from numpy.typing import NDArray

# One codec a suffix: trying them all in turn, as `imagecodecs.imread` does, dies on an empty file.
_CODECS: dict[str, Callable[[bytes], object]] = {
    ".jxl": imagecodecs.jpegxl_decode,
    ".jpg": imagecodecs.jpeg_decode,
    ".jpeg": imagecodecs.jpeg_decode,
    ".png": imagecodecs.png_decode,
    ".gif": imagecodecs.gif_decode,
    ".tif": imagecodecs.tiff_decode,
}


def decoded(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode one 8-bit picture: (rows, columns), or (rows, columns, 3) RGB where the channels differ; no alpha.

    ValueError, one line, where the bytes are not what the name says or are not 8 bits deep.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in _CODECS:
        raise ValueError(f"{name} is a kind of picture that is not read here")
    if not data:
        raise ValueError(f"{name} is empty")
    try:
        pixels = np.squeeze(np.asarray(_CODECS[suffix](data)))
    except (ValueError, RuntimeError) as error:  # the codecs' own errors are RuntimeErrors
        raise ValueError(f"{name} is damaged") from error
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise ValueError(f"{name} is not an 8-bit picture")
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[-1] in (2, 4):
        pixels = pixels[..., :-1]
    return pixels[..., 0] if (pixels == pixels[..., :1]).all() else pixels
