"""Stack → Volume, the slice being looked at first."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from overread.dicom.codecs import NATIVE, Undecodable, by_gdcm, compressed, native, settled
from overread.domain.study import Encoding, Frame, Stack
from overread.domain.volume import Volume

_UNDEFINED = 0xFFFFFFFF
_EVERY_S = 0.03


@dataclass(frozen=True)
class Arrived:
    """Slices of a volume that are there now, and those that could not be read, with the reason."""

    slices: tuple[int, ...]
    failed: tuple[tuple[int, str], ...] = ()


def empty_volume(stack: Stack) -> tuple[Volume, NDArray[Any]]:
    """A volume without its voxels yet, and the array into which `load` puts them."""
    encoding = stack.encoding
    colour = encoding.samples == 3 or encoding.photometric == "PALETTE COLOR"
    dtype = np.dtype(np.uint8) if colour else encoding.dtype
    shape = (*stack.grid.shape, 3) if colour else stack.grid.shape
    try:
        voxels = np.zeros(shape, dtype)
    except MemoryError as error:
        raise Undecodable(f"{np.prod(shape) * dtype.itemsize / 2**30:.1f} GiB do not fit into memory") from error
    slope = np.array([frame.slope for frame in stack.frames])
    intercept = np.array([frame.intercept for frame in stack.frames])
    return Volume(stack, voxels, slope, intercept), voxels


def load(stack: Stack, voxels: NDArray[Any], wanted: Callable[[], int] = lambda: 0) -> Generator[Arrived, None, None]:
    """Fill `voxels` slice by slice and yield what has arrived.

    The slice `wanted()` comes first, then its neighbours outward; `wanted` is asked again all the time. It runs on a
    worker thread. A slice that cannot be read stays 0 and is reported; the others go on. Closing the generator ends
    the work.
    """
    outstanding = set(range(len(stack.frames)))

    def following() -> int:
        here = wanted()
        k = min(outstanding, key=lambda at: (abs(at - here), at))
        outstanding.remove(k)
        return k

    native = all(frame.transfer_syntax in NATIVE for frame in stack.frames)
    read = (
        _one_by_one(stack, voxels, outstanding, following)
        if native
        else _side_by_side(stack, voxels, outstanding, following)
    )
    arrived: list[int] = []
    failed: list[tuple[int, str]] = []
    told = 0.0
    try:
        for k, reason in read:
            if reason is None:
                arrived.append(k)
            else:
                failed.append((k, reason))
            if time.monotonic() - told > _EVERY_S:
                yield Arrived(tuple(arrived), tuple(failed))
                told = time.monotonic()
                arrived, failed = [], []
        if arrived or failed:
            yield Arrived(tuple(arrived), tuple(failed))
    finally:
        read.close()
        _whole_file.cache_clear()


_Read = Generator[tuple[int, str | None], None, None]


def _one_by_one(stack: Stack, voxels: NDArray[Any], outstanding: set[int], following: Callable[[], int]) -> _Read:
    """Uncompressed frames: the disk is the limit, a second thread gains nothing."""
    while outstanding:
        k = following()
        yield k, _read_into(voxels, k, stack)


def _side_by_side(stack: Stack, voxels: NDArray[Any], outstanding: set[int], following: Callable[[], int]) -> _Read:
    """Compressed frames, decoded on as many threads as there are cores."""
    workers = max(2, os.cpu_count() or 2)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        running: dict[Future[str | None], int] = {}
        while outstanding or running:
            while outstanding and len(running) < workers:
                k = following()
                running[pool.submit(_read_into, voxels, k, stack)] = k
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield running.pop(future), future.result()


def _read_into(voxels: NDArray[Any], k: int, stack: Stack) -> str | None:
    """Read slice k to its place; the reason where that fails."""
    frame, encoding = stack.frames[k], stack.encoding
    try:
        if not _straight(frame, encoding, voxels[k]):
            voxels[k] = read_frame(frame, encoding)
    except Undecodable as error:
        return str(error)
    return None


def _straight(frame: Frame, encoding: Encoding, target: NDArray[Any]) -> bool:
    """Read pixels that lie in the file just as they lie in memory, without a copy between. Returns whether they do."""
    plain = (
        frame.transfer_syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
        and encoding.samples == 1
        and encoding.bits_stored == encoding.bits_allocated
        and encoding.photometric != "PALETTE COLOR"
        and target.dtype == encoding.dtype
        and sys.byteorder == "little"
    )
    if not plain:
        return False
    try:
        with _opened(frame) as file:
            if _to_pixels(file, frame) == _UNDEFINED:
                return False
            file.seek(frame.index * target.nbytes, os.SEEK_CUR)
            if file.readinto(target.data) < target.nbytes:  # type: ignore[attr-defined]
                raise Undecodable("the pixel data is cut off")
    except OSError as error:
        raise Undecodable(error.strerror or str(error)) from error
    return True


def loaded(stack: Stack) -> Volume:
    """The whole volume at once. Undecodable where a slice cannot be read."""
    volume, voxels = empty_volume(stack)
    for arrived in load(stack, voxels):
        for k, reason in arrived.failed:
            raise Undecodable(f"slice {k + 1}: {reason}")
    return volume


@contextmanager
def _opened(frame: Frame) -> Iterator[BinaryIO]:
    """The file of a frame, if it is still the one whose header was read: another may be somebody else's."""
    with open(frame.path, "rb") as file:  # noqa: PTH123  a Path would cost more than the seek
        stat = os.fstat(file.fileno())
        if (stat.st_size, stat.st_mtime_ns) != frame.stamp:
            raise Undecodable("the file changed while it was open; open the study again")
        yield file


def _to_pixels(file: BinaryIO, frame: Frame) -> int:
    """Go to the first byte of the pixel data; returns its length, `_UNDEFINED` where it is encapsulated."""
    file.seek(frame.offset + 4)
    if frame.transfer_syntax == ImplicitVRLittleEndian:
        return int.from_bytes(file.read(4), "little")
    file.seek(4, os.SEEK_CUR)
    return int.from_bytes(file.read(4), "big" if frame.transfer_syntax == ExplicitVRBigEndian else "little")


def read_frame(frame: Frame, encoding: Encoding) -> NDArray[Any]:
    """The stored values of one frame, shape (rows, columns[, 3]). Undecodable where that fails."""
    try:
        with _opened(frame) as file:
            if frame.offset < 0 or encoding.photometric == "PALETTE COLOR" or encoding.bits_allocated < 8:
                return _by_pydicom(frame, encoding)
            return _addressed(file, frame, encoding)
    except OSError as error:
        raise Undecodable(error.strerror or str(error)) from error


def _addressed(file: BinaryIO, frame: Frame, encoding: Encoding) -> NDArray[Any]:
    """Read the frame from its place in the file."""
    length = _to_pixels(file, frame)
    if frame.transfer_syntax in NATIVE and length != _UNDEFINED:
        size = encoding.rows * encoding.columns * encoding.samples * encoding.dtype.itemsize
        file.seek(frame.index * size, os.SEEK_CUR)
        return native(file.read(size), encoding, big_endian=frame.transfer_syntax == ExplicitVRBigEndian)
    try:
        data = get_frame(file, frame.index, number_of_frames=frame.of)
    except (ValueError, EOFError, IndexError) as error:
        raise Undecodable("the compressed pixel data is damaged or cut off") from error
    try:
        return compressed(data, frame.transfer_syntax, encoding)
    except Undecodable as error:
        try:
            return by_gdcm(frame.path, frame.index, encoding)
        except Undecodable:
            raise error from None


def _by_pydicom(frame: Frame, encoding: Encoding) -> NDArray[Any]:
    """Deflated files, palettes and single bits: rare enough to read the whole file."""
    pixels = _whole_file(frame.path, frame.stamp)
    picture = pixels[frame.index] if frame.of > 1 else pixels
    return picture if picture.ndim == 3 else settled(picture, encoding)


@lru_cache(maxsize=1)
def _whole_file(path: str, stamp: tuple[int, int]) -> NDArray[Any]:
    """All frames of a file; the last one is kept, since its frames are asked for one by one."""
    try:
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array  # colour comes as RGB
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, dataset)
            pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    except (RuntimeError, ValueError, AttributeError, EOFError, NotImplementedError) as error:
        raise Undecodable(str(error).splitlines()[0]) from error
    return pixels
