"""A sliding window over a volume: overlapping patches, blended by Gaussian weights, let go plane by plane.

Patches stand where MONAI's `sliding_window_inference` puts them, with its weights: a Gaussian of an eighth of the
patch, nowhere below a thousandth; nnU-Net weighs them alike (Isensee et al., Nat Methods 18:203, 2021).

What is held: the volume itself (float32, a channel for each input) and a slab of answers as thick as one patch. Patches
are read in the order of k; planes that no later patch touches are finished, handed on and forgotten. A running argmax
would hold less still, but overlapping patches have to be averaged before classes can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product
from math import prod

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import UserError
from overread.domain.geometry import Index

F32 = NDArray[np.float32]

# Bytes that the slab of answers may take: above this it is held in half precision, above that the model is refused.
BUDGET = 4 * 2**30
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the window: how many patches are read, and the planes (classes, n, j, i) from `first` on, if any.

    The planes are a view that holds until the next step.
    """

    done: int
    first: int = 0
    planes: NDArray[np.floating] | None = None


def starts(size: int, patch: int, overlap: float) -> list[int]:
    """Where patches begin along an axis; the last one is moved back to end with the volume."""
    step = max(1, int(patch * (1 - overlap)))
    count = 1 + max(0, -(-(size - patch) // step))
    return [max(0, min(n * step, size - patch)) for n in range(count)]


def gaussian(size: Index) -> F32:
    """The weight of each voxel of a patch."""
    lines = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (0.125 * n)) ** 2) for n in size]
    weights = np.einsum("k,j,i->kji", *lines).astype(np.float32)
    return np.asarray(np.maximum(weights, max(float(weights.min()), _LEAST_WEIGHT)), np.float32)


class Windows:
    """A volume (channels, k, j, i), float32, as patches of `size`. One that is smaller than a patch is padded around.

    `fill` is the value around it, one a channel; each patch is also read mirrored along every combination of the axes
    `mirror` (0 = k, 1 = j, 2 = i), and the mean is taken.
    """

    def __init__(
        self, values: F32, size: Index, overlap: float, mirror: tuple[int, ...] = (), fill: tuple[float, ...] = ()
    ) -> None:
        self._inside = values.shape[1:]
        short = [max(0, patch - have) for patch, have in zip(size, self._inside, strict=True)]
        self._pad = [n // 2 for n in short]
        if any(short):
            room = [(before, n - before) for before, n in zip(self._pad, short, strict=True)]
            levels = fill or (0.0,) * len(values)
            padded = [np.pad(v, room, constant_values=level) for v, level in zip(values, levels, strict=True)]
            values = np.stack(padded)
        self._values, self._size = values, size
        self._starts = [starts(n, p, overlap) for n, p in zip(values.shape[1:], size, strict=True)]
        self._mirrors = [axes for n in range(len(mirror) + 1) for axes in combinations(mirror, n)]
        self._weights = gaussian(size)
        self._plain: tuple[bytes, F32] = (b"", self._weights)

    @property
    def count(self) -> int:
        """How many patches there are."""
        return prod(len(along) for along in self._starts)

    def slab_bytes(self, classes: int, number: type[np.floating] = np.float32) -> int:
        """What the slab of answers takes, its weights included."""
        _, rows, columns = self._values.shape[1:]
        return int(self._size[0] * rows * columns * (classes * np.dtype(number).itemsize + 4))

    def steps(self, predict: Callable[[F32], F32]) -> Iterator[Step]:
        """Read all patches; `predict` gets (1, channels, k, j, i) and answers (classes, k, j, i).

        UserError where the slab does not fit into its budget.
        """
        along_k, along_j, along_i = self._starts
        thick, rows, columns = self._size
        slab: NDArray[np.floating] | None = None
        weights = np.zeros((thick, *self._values.shape[2:]), np.float32)
        done = 0
        for k, following in zip(along_k, [*along_k[1:], along_k[-1] + thick], strict=True):
            for j, i in product(along_j, along_i):
                where = slice(j, j + rows), slice(i, i + columns)
                answer = self._answer(self._values[:, k : k + thick, *where], predict)
                if slab is None:
                    slab = np.zeros((len(answer), *weights.shape), self._number(len(answer)))
                slab[:, :, *where] += answer
                weights[:, *where] += self._weights
                done += 1
                yield Step(done)
            if slab is not None:
                yield self._finished(done, k, slab[:, : following - k], weights[: following - k])
                _move_up(slab, following - k)
                _move_up(weights[None], following - k)

    def _number(self, classes: int) -> type[np.floating]:
        for number in (np.float32, np.float16):
            if self.slab_bytes(classes, number) <= BUDGET:
                return number
        need = self.slab_bytes(classes, np.float16) / 2**30
        raise UserError(f"The answers for this series would take {need:.1f} GiB.", "Read a smaller series.")

    def _finished(self, done: int, first: int, slab: NDArray[np.floating], weights: F32) -> Step:
        """The planes that no later patch touches, without what was padded around."""
        np.divide(slab, weights, out=slab, casting="same_kind")
        pad, (slices, rows, columns) = self._pad, self._inside
        start, stop = max(first, pad[0]), min(first + slab.shape[1], pad[0] + slices)
        inner = slab[:, start - first : stop - first, pad[1] : pad[1] + rows, pad[2] : pad[2] + columns]
        return Step(done, start - pad[0], inner)

    def _answer(self, patch: F32, predict: Callable[[F32], F32]) -> F32:
        """The weighted answer for one patch (channels, k, j, i).

        A patch that holds one number a channel is read once: the same input has the same answer.
        """
        levels = np.ascontiguousarray(patch[:, 0, 0, 0])
        plain = bool((patch == levels[:, None, None, None]).all())
        if plain and self._plain[0] == levels.tobytes():
            return self._plain[1]
        total: F32 | None = None
        for axes in self._mirrors:
            turned = tuple(axis + 1 for axis in axes)
            given = predict(np.ascontiguousarray(np.flip(patch, turned))[None])
            back = np.flip(given, turned)
            total = back.astype(np.float32) if total is None else np.add(total, back, out=total)
        assert total is not None  # the empty combination is one
        total *= self._weights / np.float32(len(self._mirrors))
        if plain:
            self._plain = (levels.tobytes(), total)
        return total


def _move_up(slab: NDArray[np.floating], by: int) -> None:
    """Drop the first planes and make room at the end, a plane at a time: no second slab is held."""
    thick = slab.shape[1]
    for plane in range(thick - by):
        slab[:, plane] = slab[:, plane + by]
    slab[:, max(thick - by, 0) :] = 0
