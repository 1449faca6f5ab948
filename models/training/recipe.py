"""A recipe: one TOML file that says everything needed to make a model again."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from overread.imaging.intensity import IntensityRule


@dataclass(frozen=True)
class Phase:
    """A part of the training: half a cosine of the learning rate, from `rate` down to 1 % of it.

    It starts from the averaged weights of the phase before with a fresh optimiser. `settings` is everything else that
    the recipe says of the phase, for the task to read.
    """

    epochs: int
    rate: float
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """What `train` reads: `warmup` counts epochs of each phase; `average` is the decay of the averaged weights.

    `task` names a module of `models.training.tasks`; `network` are the words for the net, `data` for the batches, both
    read by the task. With `patience` above 0 a phase ends after so many validations without a better score.
    `compare` are the words of `data` that are others where nets are trained to be compared, `compare_phases` the
    shorter way that each of them goes then; where there is none they go the way of the model.
    `remark` is what who reads the card has to know of how the weights came about. `run` names the folder of its runs.
    `hold` is why no variant of the model ships, however small and fast; "" where one may.
    `parts` are the recipes, files beside this one, of graphs that are added to the same model folder.
    """

    name: str
    task: str
    bundle: str
    seed: int
    folds: int
    network: Mapping[str, Any]
    data: Mapping[str, Any]
    phases: tuple[Phase, ...]
    warmup: float
    batch: int
    decay: float
    average: float
    validate_every: int
    patience: int
    manifest: Mapping[str, Any]
    compare: Mapping[str, Any] = field(default_factory=dict)
    compare_phases: tuple[Phase, ...] = ()
    remark: str = ""
    hold: str = ""
    run: str = ""
    parts: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """All phases together."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def intensity(self) -> IntensityRule:
        """The grey values that the engine will give to the model."""
        return rule_of(self.manifest["prepare"]["intensity"])

    def phase(self, epoch: float) -> tuple[Phase, int]:
        """The phase that an epoch belongs to, and the epoch in which that began."""
        start = 0
        for phase in self.phases[:-1]:
            if epoch < start + phase.epochs:
                return phase, start
            start += phase.epochs
        return self.phases[-1], start

    def with_network(self, name: str) -> Recipe:
        """The same recipe for the net that `networks` calls so, as that is when nothing more is said of it."""
        return replace(
            self,
            network={"name": name},
            data={**self.data, **self.compare},
            phases=self.compare_phases or self.phases,
        )


def rule_of(table: Mapping[str, Any]) -> IntensityRule:
    """The intensity rule of a manifest's table."""
    low, high = table["clip"]
    return IntensityRule(
        table["rule"], (float(low), float(high)), float(table.get("low", 0.0)), float(table.get("high", 1.0))
    )


def _phases(entries: Sequence[Mapping[str, Any]]) -> tuple[Phase, ...]:
    return tuple(
        Phase(
            int(entry["epochs"]),
            float(entry["rate"]),
            {key: value for key, value in entry.items() if key not in ("epochs", "rate")},
        )
        for entry in entries
    )


def of(table: Mapping[str, Any]) -> Recipe:
    """Build a recipe from its parsed table. KeyError or ValueError where it is not one."""
    train, manifest, compare = table["train"], table["manifest"], table.get("compare", {})
    return Recipe(
        name=str(manifest["id"]),
        task=str(table["task"]),
        bundle=str(table["bundle"]),
        seed=int(table["seed"]),
        folds=int(table.get("folds", 5)),
        network=table["network"],
        data=table.get("data", {}),
        phases=_phases(train["phase"]),
        warmup=float(train["warmup"]),
        batch=int(train["batch"]),
        decay=float(train["decay"]),
        average=float(train["average"]),
        validate_every=int(train.get("validate_every", 3)),
        patience=int(train.get("patience", 0)),
        manifest=manifest,
        compare={key: value for key, value in compare.items() if key != "phase"},
        compare_phases=_phases(compare.get("phase", ())),
        remark=str(table.get("remark", "")),
        hold=str(table.get("hold", "")),
        run=str(table.get("run", manifest["id"])),
        parts=tuple(str(name) for name in table.get("parts", ())),
    )


def read(path: Path) -> Recipe:
    """Read a recipe. KeyError or ValueError where it is not one."""
    return of(tomllib.loads(path.read_text("utf-8")))
