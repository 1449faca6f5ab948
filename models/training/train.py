"""Training: one command, one recipe, the same result; a killed run goes on from its last epoch."""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.training.recipe import Recipe
from models.training.task import Batch, Task

# As many steps the schedules count an epoch for, so that they do not shift when a bundle gains or loses a patient.
_STEPS = 100


@dataclass(frozen=True)
class Places:
    """Where a run keeps its checkpoint, its best weights and its log."""

    folder: Path

    @classmethod
    def of(cls, recipe: Recipe, fold: int, network: str = "", runs: Path = Path("runs")) -> Places:
        """Where a run goes if nothing is said: RUN-FOLD, or RUN-NETWORK-FOLD for another net than the recipe's."""
        return cls(runs / "-".join(part for part in (recipe.run, network, str(fold)) if part))

    @property
    def checkpoint(self) -> Path:
        """Everything needed to go on."""
        return self.folder / "checkpoint.pt"

    @property
    def best(self) -> Path:
        """The averaged weights of the epoch of the last phase with the best validation score."""
        return self.folder / "best.pt"

    @property
    def log(self) -> Path:
        """One JSON line an epoch."""
        return self.folder / "log.jsonl"


def rate_at(recipe: Recipe, epoch: float) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the rate, in each phase (Loshchilov and Hutter 2017)."""
    phase, start = recipe.phase(epoch)
    since = epoch - start
    if since < recipe.warmup:
        return phase.rate * (since + 0.1) / recipe.warmup
    through = (since - recipe.warmup) / max(1e-9, phase.epochs - recipe.warmup)
    return phase.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, through))) / 2)


class Run:
    """One training: the net, its average, the optimiser, and how far it is."""

    def __init__(self, recipe: Recipe, task: Task, folder: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.task, self.places = recipe, task, Places(folder)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = task.network().to(self.device)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.net)
        self.optimiser = self._fresh()
        self.epoch, self.best, self.waited, self.steps = 0, -math.inf, 0, 0

    def _fresh(self) -> torch.optim.Optimizer:
        # scales and offsets are not drawn to zero: they would only follow the batch norm about
        flat = [p for p in self.net.parameters() if p.ndim <= 1]
        deep = [p for p in self.net.parameters() if p.ndim > 1]
        groups = [{"params": deep, "weight_decay": self.recipe.decay}, {"params": flat, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.recipe.phases[0].rate)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.places.checkpoint.exists():
            state = torch.load(self.places.checkpoint, map_location=self.device, weights_only=True)
            self.net.load_state_dict(state["net"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.epoch, self.best = state["epoch"] + 1, state["best"]
            self.waited, self.steps = state["waited"], state["steps"]

    def one_epoch(self) -> dict[str, float]:
        """Train for an epoch, validate where it is time, and keep everything; returns the line of the log."""
        recipe, epoch, began = self.recipe, self.epoch, time.perf_counter()
        phase, start = recipe.phase(epoch)
        if epoch == start:
            # the weights are those of the last phase: each asks for more than the one before
            self.best, self.waited = -math.inf, 0
            if epoch:
                self.net.load_state_dict(self.average.state_dict())
                self.optimiser = self._fresh()
        line: dict[str, float] = {"epoch": epoch, "loss": self._steps()}
        last = epoch + 1 == start + phase.epochs
        if epoch % recipe.validate_every == recipe.validate_every - 1 or last:
            line |= self.task.validate(self.average)
            self.waited += 1
            if line["score"] > self.best:
                self.best, self.waited = line["score"], 0
                _save(self.places.best, {"net": self.average.state_dict(), "epoch": epoch, "score": self.best})
        line["seconds"] = time.perf_counter() - began
        self.epoch += 1
        if recipe.patience and self.waited >= recipe.patience:
            self.epoch = start + phase.epochs
        _save(
            self.places.checkpoint,
            {
                "net": self.net.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "epoch": self.epoch - 1,
                "best": self.best,
                "waited": self.waited,
                "steps": self.steps,
            },
        )
        return line

    def _steps(self) -> float:
        self.net.train()
        losses: list[float] = []
        for batch in _shown(self.task.batches(self.epoch), f"epoch {self.epoch}"):
            rate = rate_at(self.recipe, self.epoch + min(0.999, len(losses) / _STEPS))
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            losses.append(self._step(batch))
        if not losses:
            raise ValueError("an epoch without a single batch: the bundle is smaller than one batch")
        return float(np.mean(losses))

    def _step(self, batch: Batch) -> float:
        moved = tuple(tensor.to(self.device) for tensor in batch)
        image = moved[0].contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            output = self.net(image)
        loss = self.task.loss(in_float(output), moved)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.steps += 1
        # young averages follow quickly, old ones slowly
        keep = min(self.recipe.average, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for ours, theirs in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
                if ours.dtype.is_floating_point:
                    ours.lerp_(theirs, 1 - keep)
                else:
                    ours.copy_(theirs)
        return float(loss.item())


def train(recipe: Recipe, task: Task, folder: Path, *, resume: bool, threads: int) -> float:
    """Train, or go on; returns the best validation score of the last phase."""
    torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(recipe, task, folder)
    if resume:
        run.resume()
    while run.epoch < recipe.epochs:
        line = json.dumps(run.one_epoch())
        with run.places.log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return run.best


def _shown(batches: Iterator[Batch], name: str) -> Iterator[Batch]:
    """The batches, with a bar that counts them where somebody looks."""
    yield from tqdm(batches, desc=name, leave=False, disable=None)


def in_float(output: Any) -> Any:
    """What a net gives, a tensor or a tuple of tensors, in single precision."""
    return output.float() if isinstance(output, Tensor) else tuple(part.float() for part in output)


def _save(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all: a run killed here still has its last checkpoint."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)
