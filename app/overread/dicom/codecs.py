"""Encoded frames to stored values, for every transfer syntax of PS3.5 that holds images."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid as uids

from overread.domain.study import Encoding

NATIVE = frozenset(
    {
        uids.ImplicitVRLittleEndian,
        uids.ExplicitVRLittleEndian,
        uids.ExplicitVRBigEndian,
        uids.DeflatedExplicitVRLittleEndian,
    }
)


class Undecodable(Exception):
    """The frame cannot be turned into pixels; the text says why."""


def native(data: bytes | bytearray, encoding: Encoding, big_endian: bool = False) -> NDArray[Any]:
    """Uncompressed pixels to an array (rows, columns[, 3]) of stored values."""
    if encoding.bits_allocated not in (8, 16, 32):
        raise Undecodable(f"pixels of {encoding.bits_allocated} bits")
    dtype = encoding.dtype.newbyteorder(">" if big_endian else "<")
    count = encoding.rows * encoding.columns * encoding.samples
    if len(data) < count * dtype.itemsize:
        raise Undecodable("the pixel data is cut off")
    flat: NDArray[Any] = np.frombuffer(data, dtype, count)
    if encoding.samples == 1:
        frame: NDArray[Any] = flat.reshape(encoding.rows, encoding.columns)
    elif encoding.planar:
        frame = np.moveaxis(flat.reshape(encoding.samples, encoding.rows, encoding.columns), 0, -1)
    else:
        frame = flat.reshape(encoding.rows, encoding.columns, encoding.samples)
    return settled(frame, encoding)


def settled(frame: NDArray[Any], encoding: Encoding) -> NDArray[Any]:
    """The values proper: bits above Bits Stored dropped, sign extended, colour as RGB, this machine's byte order."""
    frame = np.ascontiguousarray(frame, dtype=frame.dtype.newbyteorder("="))
    if frame.dtype != encoding.dtype and frame.dtype.itemsize == encoding.dtype.itemsize:
        frame = frame.view(encoding.dtype)
    frame = frame.astype(encoding.dtype, copy=False)
    spare = encoding.dtype.itemsize * 8 - encoding.bits_stored
    if spare > 0 and encoding.samples == 1:
        # Old scanners keep overlays up there; a shift there and back drops them and carries the sign.
        frame = (frame << spare) >> spare
    if encoding.samples == 3:
        frame = _bytes(frame, encoding)
        if encoding.photometric in ("YBR_FULL", "YBR_FULL_422"):
            frame = _ybr_to_rgb(frame)
    return frame


def _bytes(frame: NDArray[Any], encoding: Encoding) -> NDArray[np.uint8]:
    """Colour as the screen shows it, a byte a sample."""
    deeper = encoding.bits_stored - 8 if frame.dtype.itemsize > 1 else 0
    return np.asarray(frame >> max(deeper, 0)).astype(np.uint8, copy=False)


def _ybr_to_rgb(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """YBR_FULL to RGB (PS3.3 C.7.6.3.1.2)."""
    y, b, r = (frame[..., channel].astype(np.float32) for channel in range(3))
    b, r = b - 128, r - 128
    rgb = np.stack((y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b), axis=-1)
    return np.asarray(np.clip(np.rint(rgb), 0, 255), dtype=np.uint8)


def _rle(data: bytes, encoding: Encoding) -> NDArray[Any]:
    shape = (encoding.rows, encoding.columns, encoding.samples)[: 3 if encoding.samples > 1 else 2]
    dtype = np.dtype(f"u{encoding.bits_allocated // 8}")
    count, *offsets = np.frombuffer(data, "<u4", 16).tolist()  # PS3.5 G.5; the decoder ends the program on wrong ones
    places = [*offsets[:count], len(data)]
    if count != encoding.samples * dtype.itemsize or places[0] != 64 or min(np.diff(places)) <= 0:
        raise ValueError("damaged offsets")
    flat = imagecodecs.dicomrle_decode(data, dtype=dtype)
    values = np.frombuffer(flat, dtype) if isinstance(flat, bytes) else np.asarray(flat).reshape(-1).view(dtype)
    if encoding.samples > 1:  # RLE stores one plane a sample
        return np.moveaxis(values.reshape(encoding.samples, *shape[:2]), 0, -1)
    return values.reshape(shape)


def _jpeg(data: bytes, encoding: Encoding) -> NDArray[Any]:
    if encoding.samples == 1:  # 8 and 12 bits
        return np.asarray(imagecodecs.jpeg8_decode(data))
    space = "RGB" if encoding.photometric == "RGB" else "YCBCR"
    return np.asarray(imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace="RGB"))


def _lossless_jpeg(data: bytes, encoding: Encoding) -> NDArray[Any]:
    """Not by `ljpeg_decode`, which ends the program on damaged frames."""
    if encoding.samples == 1:
        return np.asarray(imagecodecs.jpeg8_decode(data))
    return np.asarray(imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB"))  # as it is stored


def _jpegls(data: bytes, encoding: Encoding) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpegls_decode(data))


def _jpeg2000(data: bytes, encoding: Encoding) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpeg2k_decode(data))


def _htj2k(data: bytes, encoding: Encoding) -> NDArray[Any]:
    return np.asarray(imagecodecs.htj2k_decode(data))


def _jpegxl(data: bytes, encoding: Encoding) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpegxl_decode(data))


_DECODERS: dict[str, Callable[[bytes, Encoding], NDArray[Any]]] = {
    uids.RLELossless: _rle,
    uids.JPEGBaseline8Bit: _jpeg,
    uids.JPEGExtended12Bit: _jpeg,
    "1.2.840.10008.1.2.4.53": _jpeg,
    "1.2.840.10008.1.2.4.55": _jpeg,
    uids.JPEGLossless: _lossless_jpeg,
    uids.JPEGLosslessSV1: _lossless_jpeg,
    uids.JPEGLSLossless: _jpegls,
    uids.JPEGLSNearLossless: _jpegls,
    uids.JPEG2000Lossless: _jpeg2000,
    uids.JPEG2000: _jpeg2000,
    uids.HTJ2KLossless: _htj2k,
    uids.HTJ2KLosslessRPCL: _htj2k,
    uids.HTJ2K: _htj2k,
    "1.2.840.10008.1.2.4.110": _jpegxl,
    "1.2.840.10008.1.2.4.111": _jpegxl,
    "1.2.840.10008.1.2.4.112": _jpegxl,
}

KNOWN = frozenset(_DECODERS) | NATIVE

# Decoders that hand out colour already turned into RGB, whatever the header calls it.
_GIVES_RGB = frozenset({_jpeg, _jpeg2000, _htj2k, _jpegxl})


def compressed(data: bytes, transfer_syntax: str, encoding: Encoding) -> NDArray[Any]:
    """One compressed frame to an array (rows, columns[, 3]) of stored values. Undecodable where that fails."""
    decode = _DECODERS[transfer_syntax]
    shape = (encoding.rows, encoding.columns)
    stated = _stated_size(data) or shape
    if stated != shape:
        raise Undecodable(f"the picture is {stated}, its header says {shape}")
    try:
        frame = decode(data, encoding)
    except Exception as error:  # each decoder has errors of its own
        raise Undecodable("the compressed pixel data is damaged") from error
    if frame.shape[:2] != shape or (frame.ndim == 3) != (encoding.samples > 1):
        raise Undecodable(f"the picture is {frame.shape}, its header says {shape}")
    if encoding.samples == 3 and decode in _GIVES_RGB:
        return _bytes(np.ascontiguousarray(frame), encoding)
    return settled(frame, encoding)


def _stated_size(data: bytes) -> tuple[int, int] | None:
    """Rows and columns as the frame itself states them, None where it does not; wrong ones may ask for all memory.

    JPEG and JPEG-LS: the frame header (ITU-T T.81 B.2.2, T.87 C.2.2); JPEG 2000: SIZ (T.800 A.5.1).
    """
    if data.startswith(b"\xff\x4f\xff\x51") and len(data) >= 24:
        right, bottom, left, top = struct.unpack(">4I", data[8:24])
        return bottom - top, right - left
    at = 2
    while data.startswith(b"\xff\xd8") and at + 9 <= len(data) and data[at] == 0xFF:
        marker, length, rows, columns = struct.unpack(">xBHxHH", data[at : at + 9])
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return (rows, columns) if rows else None
        at += 2 + length
    return None
