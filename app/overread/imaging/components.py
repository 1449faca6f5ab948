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
    if not voxels.any():
        return
    import SimpleITK as sitk  # a slow import, wanted with the first finding and not at start-up

    image = sitk.GetImageFromArray(voxels.astype(np.uint8))
    labels = sitk.RelabelComponent(sitk.ConnectedComponent(image, True), sortByObjectSize=True)
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(labels)
    array = sitk.GetArrayViewFromImage(labels)
    least = min_volume_ml * 1000 / grid.voxel_mm3
    least = max(least, keep * max(map(shapes.GetNumberOfPixels, shapes.GetLabels())))
    for label in shapes.GetLabels():
        if shapes.GetNumberOfPixels(label) < least:
            return
        i, j, k, columns, rows, slices = shapes.GetBoundingBox(label)
        box = array[k : k + slices, j : j + rows, i : i + columns]
        yield Mask.of(box == label, offset=(k, j, i), shape=grid.shape)


def joined(parts: Iterable[Mask]) -> Iterator[Mask]:
    """All parts of one grid as one mask; none where there is none."""
    masks = tuple(parts)
    if masks:
        whole = np.zeros(masks[0].shape, np.bool_)
        for mask in masks:
            whole[mask.box] |= mask.inner
        yield Mask.of(whole)
