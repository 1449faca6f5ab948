"""What a `model.toml` says of what goes into a network: grey values, series, and the patches of a 3-D model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overread.domain.geometry import Index, Plane
from overread.imaging.intensity import RULES, IntensityRule
from overread.imaging.resample import orientation
from overread.infer import fields

_PLANES = dict(zip("LRPAHF", (Plane.SAGITTAL,) * 2 + (Plane.CORONAL,) * 2 + (Plane.AXIAL,) * 2, strict=True))
AXES = ("k", "j", "i")


@dataclass(frozen=True)
class Input:
    """One of several series that a model reads together: its role, and how its grey values are brought to scale."""

    role: str
    intensity: IntensityRule


@dataclass(frozen=True)
class Patches:
    """How a 3-D model reads a volume.

    The volume is turned so that k, j and i point where the letters of `orientation` say, is brought to `spacing_mm`
    (k, j, i) and read in patches of `size` voxels (k, j, i) that overlap by the fraction `overlap`; each is read
    mirrored along every combination of the axes in `mirror` too. `cubic` is how it is interpolated; with `apart` a far
    coarser axis is resampled by itself, see `lone_axis`.

    With `labels` "softmax" channel 0 is the background, channel n the output n - 1, and the greatest wins; with
    "regions" channel n is output n, and of those above their thresholds the last one wins. `logits` says that the
    network's softmax or sigmoid is still to be taken.
    """

    orientation: str
    spacing_mm: tuple[float, float, float]
    size: Index
    overlap: float
    mirror: tuple[int, ...]
    cubic: bool
    labels: str
    logits: bool
    apart: bool = False

    @property
    def plane(self) -> Plane:
        """The plane through which k runs."""
        return _PLANES[self.orientation[0]]


def intensity(table: Mapping[str, Any]) -> IntensityRule:
    """The rule of an `intensity` table. ValueError or KeyError where it is none."""
    rule = fields.one_of(table, "rule", RULES)
    low, high = fields.interval([table.get("low", 0.0), table.get("high", 1.0)], "low” to “high")
    if rule == "percentile" and not 0 <= low < high <= 100:
        raise ValueError("“low” and “high” are no percentiles")
    if rule == "z-score" and "clip" not in table:
        return IntensityRule(rule, (-math.inf, math.inf))
    # The other rules bring values to 0 … 1 by themselves.
    clip = table["clip"] if rule == "median-spread" else table.get("clip", [0.0, 1.0])
    return IntensityRule(rule, fields.interval(clip, "clip"), low, high)


def inputs(entries: Any, prepare: Mapping[str, Any], gate_roles: tuple[str, ...]) -> tuple[Input, ...]:
    """The `[[inputs]]`, in the order of the channels; what has no `intensity` of its own takes that of `[prepare]`.

    ValueError or KeyError where they do not hold together: two of one role, or a gate that lets in another.
    """
    read = tuple(
        Input(fields.text(entry, "role"), intensity(entry.get("intensity") or prepare["intensity"]))
        for entry in entries
    )
    roles = [each.role for each in read]
    if len(set(roles)) < len(roles):
        raise ValueError("two of “inputs” have one role")
    if not gate_roles or not set(gate_roles) <= set(roles):
        raise ValueError("“gate.role” does not say which of “inputs” the findings are drawn on")
    return read


def patches(table: Mapping[str, Any], labels: Mapping[str, Any]) -> Patches:
    """The `[prepare]` and `[labels]` tables of a 3-D model. ValueError or KeyError where they are none."""
    size = fields.three(table["patch"], "patch")
    if any(n != int(n) for n in size):
        raise ValueError("“patch” is no whole number of voxels")
    overlap = fields.number(table.get("overlap", 0.5), "overlap")
    if not 0 <= overlap < 1:
        raise ValueError("“overlap” is not from 0 up to 1")
    mirror = fields.names(table.get("mirror", []), "mirror")
    if not set(mirror) <= set(AXES) or len(set(mirror)) < len(mirror):
        raise ValueError("“mirror” is no list of k, j and i")
    return Patches(
        orientation=orientation(fields.text(table, "orientation")),
        spacing_mm=fields.three(table["spacing_mm"], "spacing_mm"),
        size=(int(size[0]), int(size[1]), int(size[2])),
        overlap=overlap,
        mirror=tuple(AXES.index(axis) for axis in mirror),
        cubic=fields.one_of(table, "interpolation", ("linear", "cubic"), "linear") == "cubic",
        labels=fields.one_of(labels, "rule", ("softmax", "regions")),
        logits=fields.flag(labels, "logits"),
        apart=fields.flag(table, "separate_z"),
    )
