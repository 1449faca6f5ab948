"""A second, slower look at the slices that showed something, before findings are made of them.

While a reader scrolls, a slice has to be read within a frame. What is proposed afterwards may cost more: each of these
slices is read mirrored as well, and their probabilities are blended with those of the slices beside them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from overread.domain.ports import Backend, Cancel
from overread.infer.manifest import Refine
from overread.infer.results import require_numbers
from overread.infer.slices import Slicer

Outputs = dict[str, NDArray[np.float32]]


def touched(refine: Refine, seen: frozenset[int], count: int) -> frozenset[int]:
    """The slices, of `count`, on which a second look at those in `seen` may draw: where it blends, their neighbours."""
    return around(seen, 1 if refine.across else 0, count)


def second_look(refine: Refine, slicer: Slicer, backend: Backend, wanted: frozenset[int]) -> dict[int, Outputs]:
    """The network's outputs, each with one slice first, for the slices in `wanted`.

    Maps (1, channels, rows, columns) are blended across slices: `across` of either neighbour and the rest of the slice
    itself; the first and the last slice stand in for what lies beyond. Other outputs (1, classes) are not. UserError
    where the network gives no numbers.
    """
    asked = sorted(touched(refine, wanted, slicer.count))
    read = {index: _both_ways(refine, slicer, backend, index) for index in asked}
    if not refine.across:
        return read
    return {
        index: _blended(read[max(0, index - 1)], read[index], read[min(slicer.count - 1, index + 1)], refine.across)
        for index in sorted(wanted)
    }


def around(indices: frozenset[int], reach: int, count: int) -> frozenset[int]:
    """Slices, of `count`, and those up to `reach` beside them."""
    return frozenset(at for index in indices for at in range(max(0, index - reach), min(count, index + reach + 1)))


def _both_ways(refine: Refine, slicer: Slicer, backend: Backend, index: int) -> Outputs:
    tensor = slicer.tensor(index)
    outputs = backend.run(tensor, Cancel())
    mirrored = backend.run(np.ascontiguousarray(tensor[..., ::-1]), Cancel()) if refine.mirror else {}
    require_numbers([*outputs.values(), *mirrored.values()], f"The second look gave no numbers for slice {index + 1}")
    if not refine.mirror:
        return dict(outputs)
    return {
        name: (answer + (mirrored[name][..., ::-1] if answer.ndim == 4 else mirrored[name])) / np.float32(2)
        for name, answer in outputs.items()
    }


def _blended(before: Mapping[str, NDArray[np.float32]], at: Outputs, after: Outputs, share: float) -> Outputs:
    return {
        name: (1 - 2 * share) * answer + share * (before[name] + after[name]) if answer.ndim == 4 else answer
        for name, answer in at.items()
    }
