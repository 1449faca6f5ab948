"""A model's voxels → the separate things in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Mask
from overread.domain.geometry import Grid


def components(voxels: NDArray[np.bool_], grid: Grid, min_volume_ml: float, keep: float = 0.0) -> Iterator[Mask]:
    """The connected parts (26 neighbours) of a (k, j, i) mask, largest first.

    Parts smaller than the limit, or than the fraction `keep` of the largest, are left out.
    """
    from scipy import ndimage  # a slow import, wanted with the first finding and not at start-up

    whole = Mask.of(voxels)
    if not whole:
        return
    labels, sizes = labelled(whole)
    boxes = ndimage.find_objects(labels)
    least = max(min_volume_ml * 1000 / grid.voxel_mm3, keep * int(sizes.max()))
    for at in np.argsort(-sizes, kind="stable"):
        if sizes[at] < least:
            return
        box = boxes[at]
        k, j, i = (part.start + first for part, first in zip(box, whole.start, strict=True))
        yield Mask.of(labels[box] == at + 1, offset=(k, j, i), shape=grid.shape)


def labelled(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """The connected parts (26 neighbours) of a mask, numbered from 1 within its box, and the voxels of each."""
    from scipy import ndimage  # as above

    # within the box that holds everything: to number empty space takes longer than all else
    labels, _ = ndimage.label(mask.inner, np.ones((3, 3, 3), np.bool_))
    return labels, np.bincount(labels.reshape(-1))[1:]


def joined(parts: Iterable[Mask]) -> Iterator[Mask]:
    """All parts of one grid as one mask; none where there is none."""
    masks = tuple(parts)
    if masks:
        whole = np.zeros(masks[0].shape, np.bool_)
        for mask in masks:
            whole[mask.box] |= mask.inner
        yield Mask.of(whole)
