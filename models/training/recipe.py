"""A recipe: one TOML file that says everything needed to make a model again."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.training.cmunext import CMUNeXt
from overread.imaging.intensity import IntensityRule


@dataclass(frozen=True)
class Phase:
    """A part of the training: half a cosine of the learning rate, from `rate` down to 1 % of it.

    `strength` says how much is done to the slices (see `augment`); with `renormalise` those whose skull was taken away
    get the grey values that the engine gives to a volume without one.
    """

    epochs: int
    rate: float
    strength: float
    renormalise: bool


@dataclass(frozen=True)
class Recipe:
    """What `train` reads. `crop` is in pixels; `warmup` counts epochs of the first phase."""

    name: str
    bundle: str
    seed: int
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    stride: int
    phases: tuple[Phase, ...]
    warmup: int
    batch: int
    decay: float
    average: float
    crop: int
    tumour_free: float
    intensity: IntensityRule
    manifest: dict[str, Any]

    @property
    def epochs(self) -> int:
        """All phases together."""
        return sum(phase.epochs for phase in self.phases)

    def phase(self, epoch: float) -> tuple[Phase, int]:
        """The phase that an epoch belongs to, and the epoch in which that began."""
        start = 0
        for phase in self.phases[:-1]:
            if epoch < start + phase.epochs:
                return phase, start
            start += phase.epochs
        return self.phases[-1], start

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
        phases=tuple(
            Phase(int(p["epochs"]), float(p["rate"]), float(p["strength"]), bool(p["renormalise"]))
            for p in train["phase"]
        ),
        warmup=int(train["warmup"]),
        batch=int(train["batch"]),
        decay=float(train["decay"]),
        average=float(train["average"]),
        crop=int(train["crop"]),
        tumour_free=float(train["tumour_free"]),
        intensity=IntensityRule(intensity["rule"], (float(low), float(high))),
        manifest=manifest,
    )
