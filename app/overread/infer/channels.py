"""The series that a model reads together, as values on one grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from overread.domain.geometry import Floats, Grid
from overread.domain.ports import Cancel
from overread.domain.volume import Volume
from overread.imaging.intensity import IntensityRule, Normaliser, normaliser
from overread.imaging.registration import Registration
from overread.imaging.resample import moved, require_wanted
from overread.infer.slices import real_sample, real_values

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Channel:
    """A series beside the one that is read: its voxels on their own grid, and how that lies to the other.

    Without a registration it lies as its header says.
    """

    volume: Volume
    registration: Registration | None = None

    @property
    def motion(self) -> Floats:
        """What takes LPS mm of the series that is read to LPS mm of this one, 4×4."""
        return np.eye(4) if self.registration is None else self.registration.motion


Channels = Mapping[str, Channel]
"""The series beside the one that is read, by role."""
NO_CHANNELS: Channels = MappingProxyType({})


def values_of(volume: Volume, cancel: Cancel) -> F32:
    """All real values of a grey volume, bright where the image is bright, shape (k, j, i), float32.

    Slice by slice, so that no second copy of double size is made. Cancelled where the work was called off.
    """
    floor = float(real_sample(volume).min())
    out = np.empty(volume.grid.shape, np.float32)
    for k in range(len(out)):
        require_wanted(cancel)
        out[k] = real_values(volume, (slice(k, k + 1), slice(None), slice(None)), floor)[0]
    return out


def normalised(volume: Volume, rule: IntensityRule, cancel: Cancel) -> tuple[F32, Normaliser]:
    """A volume's values on the model's scale, shape (k, j, i), and what brought them there.

    The z-score is measured on every voxel, since its region may be small; the other rules on an even sample, as for
    slices. Cancelled where the work was called off.
    """
    values = values_of(volume, cancel)
    scale = normaliser(rule, values if rule.rule == "z-score" else real_sample(volume))
    for k, plane in enumerate(values):
        require_wanted(cancel)
        values[k] = scale(plane)
    return values, scale


def laid(channel: Channel, grid: Grid, cancel: Cancel) -> Volume:
    """A channel's real values on the grid of the series that is read, 0 or darker where it shows nothing."""
    values = values_of(channel.volume, cancel)
    fill = min(0.0, float(values.min()))
    there = moved(values, channel.volume.grid, grid, channel.motion, cancel, fill)
    stack = channel.volume.stack
    encoding = replace(stack.encoding, photometric="MONOCHROME2")
    stack = replace(stack, grid=grid, encoding=encoding, padding=None, modality_lut=None)
    slices = grid.shape[0]
    return Volume(stack, there, np.ones(slices), np.zeros(slices))
