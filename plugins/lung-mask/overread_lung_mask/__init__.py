"""Both lungs on a chest CT, by threshold and shape: no model, no weights, and an example of a plug-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import SimpleITK as sitk

from overread.api import Code, Detector, Mask, Proposal, Stack, Volume

_LUNG = Code("39607008", "SCT", "Lung")
_ORGAN = Code("123037004", "SCT", "Anatomical Structure")
# Half way between lung (about -750 HU) and soft tissue (about +50 HU).
_AIR_HU = -350.0
_LEAST_ML = 50.0


class LungMask:
    """Air inside the body that is large enough to be a lung, with vessels and nodules closed in."""

    id = "lung-mask"
    title = "Lungs by threshold"
    version = "1.0.0"

    def refuse(self, stack: Stack) -> str:
        """It needs CT numbers and a regular grid."""
        if stack.identity.modality != "CT" or stack.units != "HU":
            return "Lungs by threshold reads CT images in Hounsfield units only."
        if not stack.measurable:
            return "Lungs by threshold needs evenly spaced slices."
        return ""

    def __call__(self, volume: Volume, progress: Callable[[float], None]) -> Sequence[Proposal]:
        """Propose both lungs as one segmentation, or nothing where there are none."""
        below = np.empty(volume.grid.shape, np.uint8)
        for k, (slope, intercept) in enumerate(zip(volume.slope, volume.intercept, strict=True)):
            below[k] = volume.voxels[k] * slope + intercept < _AIR_HU  # a slice at a time: no float copy of the volume
        air = sitk.GetImageFromArray(below)
        progress(0.2)
        labels = sitk.RelabelComponent(sitk.ConnectedComponent(air), sortByObjectSize=True)
        array = sitk.GetArrayViewFromImage(labels)
        progress(0.5)
        lungs = np.zeros(volume.grid.shape, np.bool_)
        outside = self._outside(array)
        least = _LEAST_ML * 1000 / volume.grid.voxel_mm3
        for label in range(1, min(int(array.max()), 8) + 1):
            part = array == label
            if part.sum() < least:
                break
            if label not in outside:
                lungs |= part
        progress(0.7)
        if not lungs.any():
            return []
        radius = max(1, round(4.0 / volume.grid.spacing[2]))
        closed = sitk.BinaryMorphologicalClosing(sitk.GetImageFromArray(lungs.astype(np.uint8)), [radius, radius, 0])
        mask = Mask.of(sitk.GetArrayFromImage(closed).astype(np.bool_))
        progress(1.0)
        return [Proposal("Lungs", _LUNG, _ORGAN, mask, anatomy=_LUNG)]

    @staticmethod
    def _outside(labels: np.ndarray) -> set[int]:
        """The parts that reach the border of a slice: the air around the patient."""
        edges = (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1])
        return {int(label) for edge in edges for label in np.unique(edge)}


DETECTORS: list[Detector] = [LungMask()]
