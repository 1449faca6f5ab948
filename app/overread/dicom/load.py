"""Stack → Volume, the slice being looked at first."""

from __future__ import annotations

import math
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
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from overread.dicom.codecs import KNOWN, NATIVE, Undecodable, compressed, native, settled
from overread.dicom.quiet import quiet
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
    except (MemoryError, ValueError) as error:
        raise Undecodable(f"{math.prod(shape) * dtype.itemsize / 2**30:.1f} GiB do not fit into memory") from error
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
        _palette.cache_clear()


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
        and encoding.bits_stored == encoding.bits_allocated >= 8
        and encoding.photometric != "PALETTE COLOR"
        and target.dtype == encoding.dtype
        and sys.byteorder == "little"
    )
    if not plain:
        return False
    try:
        with _opened(frame) as file:
            length = _to_pixels(file, frame)
            if length == _UNDEFINED:
                return False
            _to_frame(file, frame, length, target.nbytes)
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
    start = file.read(4)
    if start[:2] in (b"OW", b"OB", b"UN"):  # no even length looks like these, so files may lie about having VRs
        start = file.read(4)
    return int.from_bytes(start, "big" if frame.transfer_syntax == ExplicitVRBigEndian else "little")


def _to_frame(file: BinaryIO, frame: Frame, length: int, size: int) -> None:
    """Go on to the frame, `size` bytes long, in uncompressed pixel data of so many bytes."""
    if (frame.index + 1) * size > length:
        raise Undecodable("the pixel data is cut off")
    file.seek(frame.index * size, os.SEEK_CUR)


def read_frame(frame: Frame, encoding: Encoding) -> NDArray[Any]:
    """The stored values of one frame, shape (rows, columns[, 3]). Undecodable where that fails."""
    try:
        with _opened(frame) as file:
            picture = _by_pydicom(frame, encoding) if _rare(frame, encoding) else _addressed(file, frame, encoding)
        return _coloured(picture, frame) if encoding.photometric == "PALETTE COLOR" else picture
    except OSError as error:
        raise Undecodable(error.strerror or str(error)) from error
    except Undecodable:
        raise
    except Exception as error:  # a file may hold anything
        raise Undecodable("the pixel data is damaged") from error


def _rare(frame: Frame, encoding: Encoding) -> bool:
    """Whether pixels are laid out in a way that is rare enough to have the whole file read by pydicom."""
    return (
        frame.offset < 0
        or encoding.bits_allocated < 8
        or (frame.transfer_syntax in NATIVE and encoding.photometric == "YBR_FULL_422")
        or (frame.transfer_syntax == ExplicitVRBigEndian and encoding.bits_allocated == 8)
    )


def _addressed(file: BinaryIO, frame: Frame, encoding: Encoding) -> NDArray[Any]:
    """Read the frame from its place in the file."""
    length = _to_pixels(file, frame)
    if frame.transfer_syntax in NATIVE and length != _UNDEFINED:
        size = encoding.rows * encoding.columns * encoding.samples * encoding.dtype.itemsize
        _to_frame(file, frame, length, size)
        return native(file.read(size), encoding, big_endian=frame.transfer_syntax == ExplicitVRBigEndian)
    if frame.transfer_syntax not in KNOWN:
        raise Undecodable(f"transfer syntax {UID(frame.transfer_syntax).name} is not known here")
    try:
        start = file.tell()
        data = get_frame(file, frame.index, number_of_frames=frame.of)
        if frame.index == frame.of - 1:
            _require_end(file, start)
    except (ValueError, EOFError, IndexError) as error:
        raise Undecodable("the compressed pixel data is damaged or cut off") from error
    return compressed(data, frame.transfer_syntax, encoding)


def _require_end(file: BinaryIO, start: int) -> None:
    """EOFError where fragments do not end with their delimiter (PS3.5 A.4): the last frame may have lost a part."""
    file.seek(start)
    while (item := file.read(8))[:4] == b"\xfe\xff\x00\xe0" and len(item) == 8:
        file.seek(int.from_bytes(item[4:], "little"), os.SEEK_CUR)
    if item[:4] != b"\xfe\xff\xdd\xe0":
        raise EOFError


def _by_pydicom(frame: Frame, encoding: Encoding) -> NDArray[Any]:
    """What needs the whole file."""
    pixels = _whole_file(frame.path, frame.stamp)
    picture = pixels[frame.index] if frame.of > 1 else pixels
    return picture if picture.ndim == 3 else settled(picture, encoding)


@lru_cache(maxsize=1)
def _whole_file(path: str, stamp: tuple[int, int]) -> NDArray[Any]:
    """All frames of a file; the last one is kept, since its frames are asked for one by one."""
    try:
        with quiet():
            dataset = pydicom.dcmread(path)
            return dataset.pixel_array  # colour comes as RGB
    except OSError:
        raise
    except Exception as error:  # a file may hold anything
        raise Undecodable("the pixel data is damaged or cut off") from error


def _coloured(picture: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """Numbers of a palette as the colours they stand for."""
    colours = apply_color_lut(picture, _palette(frame.path, frame.stamp))
    return (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours


@lru_cache(maxsize=1)
def _palette(path: str, stamp: tuple[int, int]) -> Dataset:
    """The header that holds a file's palette."""
    return pydicom.dcmread(path, stop_before_pixels=True)
