"""What is learnt from what: the part of a model's making that `train` does not know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training.recipe import Recipe

Batch = tuple[Tensor, ...]


class Task(Protocol):
    """One model's data, net, loss and measures. Everything follows from recipe, data, fold and epoch alone."""

    def __init__(self, recipe: Recipe, data: Path, fold: int) -> None:
        """`data` is the folder that holds train/ and nifti/; nothing is read before it is needed."""

    def network(self) -> nn.Module:
        """The net with fresh weights."""

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch: the net's input (n, channels, rows, columns), then what it shall learn from."""

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """How wrong an output (float32, or a tuple of such) is on its batch."""

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Measures on the validation part; `score` chooses the weights, the greater the better."""

    def export(self, weights: Path, folder: Path) -> None:
        """Write model.onnx, model.toml and selftest.npz. ValueError where ONNX Runtime and torch disagree."""

    def report(self, folder: Path) -> None:
        """Measure the folder through the engine, as shipped; write its results and CARD.md."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Dice of each held-out item (a patient or a slice), and the name of the patient or block that it belongs to.

    ``kind`` says what the groups are, in the plural; ``threshold`` is where the chance became a mask.
    """

    kind: str
    groups: tuple[str, ...]
    dice: NDArray[np.float64]
    threshold: float


@runtime_checkable
class Comparable(Task, Protocol):
    """A task whose nets can be compared by their masks."""

    def held_out(self, net: nn.Module) -> HeldOut:
        """What a trained net is worth on the held-out part: the net alone, each slice read once, no part dropped."""


@runtime_checkable
class Explained(Task, Protocol):
    """A task whose model comes with a graph that explains it, which can be made again from the model's own file."""

    def shipped(self) -> nn.Module:
        """What `export` writes, with fresh weights; its part ``net`` gives the logits."""


def create(recipe: Recipe, data: Path, fold: int = 0) -> Task:
    """The task of a recipe: class `Task` of the module of that name. ValueError where the fold is none of its folds."""
    if not 0 <= fold < recipe.folds:
        raise ValueError(f"{recipe.name} has the folds 0 to {recipe.folds - 1}, not {fold}")
    module = import_module(f"models.training.tasks.{recipe.task}")
    return cast("Task", module.Task(recipe, data, fold))
