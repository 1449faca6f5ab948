"""A recipe: one TOML file that says everything needed to make a model again."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.training.cmunext import CMUNeXt
from overread.imaging.intensity import IntensityRule


@dataclass(frozen=True)
class Recipe:
    """What `train` reads. `crop` is in pixels.

    After `epochs` with everything that a scanner may do to a slice come `calm` more at `calm_rate`, with half of it.
    """

    name: str
    bundle: str
    seed: int
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    stride: int
    epochs: int
    calm: int
    warmup: int
    batch: int
    rate: float
    calm_rate: float
    decay: float
    average: float
    crop: int
    tumour_free: float
    intensity: IntensityRule
    manifest: dict[str, Any]

    def network(self) -> CMUNeXt:
        """The net, with fresh weights."""
        return CMUNeXt(self.dims, self.depths, self.kernels, stride=self.stride)


def read(path: Path) -> Recipe:
    """Read a recipe. KeyError or ValueError where it is not one."""
    table = tomllib.loads(path.read_text("utf-8"))
    net, train, manifest = table["network"], table["train"], table["manifest"]
    intensity = manifest["prepare"]["intensity"]
    low, high = intensity["clip"]
    return Recipe(
        name=manifest["id"],
        bundle=table["bundle"],
        seed=int(table["seed"]),
        dims=tuple(net["dims"]),
        depths=tuple(net["depths"]),
        kernels=tuple(net["kernels"]),
        stride=int(net["stride"]),
        epochs=int(train["epochs"]),
        calm=int(train["calm"]),
        warmup=int(train["warmup"]),
        batch=int(train["batch"]),
        rate=float(train["rate"]),
        calm_rate=float(train["calm_rate"]),
        decay=float(train["decay"]),
        average=float(train["average"]),
        crop=int(train["crop"]),
        tumour_free=float(train["tumour_free"]),
        intensity=IntensityRule(intensity["rule"], (float(low), float(high))),
        manifest=manifest,
    )
