"""Training: one command, one recipe, the same result; a killed run goes on from its last epoch."""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training import lgg
from models.training.augment import augmented
from models.training.recipe import Recipe
from models.training.score import dice, probabilities

# As many steps the schedules count an epoch for, so that they do not shift when a bundle gains or loses a patient.
_STEPS = 100


@dataclass(frozen=True)
class Places:
    """Where a run keeps its checkpoint, its best weights and its log."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """Everything needed to go on."""
        return self.folder / "checkpoint.pt"

    @property
    def best(self) -> Path:
        """The averaged weights of the epoch of the last phase with the best validation Dice."""
        return self.folder / "best.pt"

    @property
    def log(self) -> Path:
        """One JSON line an epoch."""
        return self.folder / "log.jsonl"


def loss_of(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross entropy + soft Dice over the batch (Milletari et al. 2016), both on (n, 1, rows, columns)."""
    entropy = functional.binary_cross_entropy_with_logits(logits, target)
    chance = torch.sigmoid(logits)
    overlap = 2 * (chance * target).sum() + 1
    return entropy + 1 - overlap / (chance.sum() + target.sum() + 1)


def rate_at(recipe: Recipe, epoch: float) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the rate in each phase."""
    phase, start = recipe.phase(epoch)
    if epoch < recipe.warmup:
        return phase.rate * (epoch + 0.1) / recipe.warmup
    end, start = start + phase.epochs, max(start, recipe.warmup)
    through = (epoch - start) / max(1e-9, end - start)
    return phase.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, through))) / 2)


class Batches:
    """The augmented slices of one epoch; what they are follows from seed and epoch alone."""

    def __init__(self, recipe: Recipe, patients: Sequence[lgg.Patient]) -> None:
        self._recipe = recipe
        self._images = [patient.normalised(recipe.intensity) for patient in patients]
        self._masks = [patient.masks for patient in patients]
        every = [(p, k) for p, masks in enumerate(self._masks) for k in range(len(masks))]
        self._tumour = [(p, k) for p, k in every if self._masks[p][k].any()]
        self._free = [(p, k) for p, k in every if not self._masks[p][k].any()]

    def of(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every slice with tumour once, and some without (the recipe's share of those), as (image, target)."""
        recipe = self._recipe
        phase, _ = recipe.phase(epoch)
        rng = np.random.default_rng([recipe.seed, epoch])
        some = rng.permutation(len(self._free))[: round(recipe.tumour_free * len(self._tumour))]
        chosen = self._tumour + [self._free[at] for at in some]
        order = rng.permutation(len(chosen))
        order = order[: len(order) // recipe.batch * recipe.batch]

        def one(at: int) -> tuple[Any, Any]:
            p, k = chosen[at]
            own = np.random.default_rng([recipe.seed, epoch, int(at)])
            image, mask = self._images[p][k], self._masks[p][k]
            return augmented(image, mask, recipe.crop, recipe.intensity, own, phase.strength, phase.renormalise)

        with ThreadPoolExecutor(1) as pool:
            groups = [order[at : at + recipe.batch] for at in range(0, len(order), recipe.batch)]
            coming = [pool.submit(lambda group: [one(at) for at in group], group) for group in groups]
            for future in coming:
                images, targets = zip(*future.result(), strict=True)
                yield torch.from_numpy(np.stack(images)[:, None]), torch.from_numpy(np.stack(targets)[:, None])


def train(recipe: Recipe, data: Path, folder: Path, *, resume: bool, threads: int) -> float:
    """Train, or go on; returns the best mean per-patient Dice on the validation patients."""
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    places = Places(folder)
    folder.mkdir(parents=True, exist_ok=True)
    patients = {patient.name: patient for patient in lgg.read(data / recipe.bundle)}
    parts = lgg.split(tuple(patients), recipe.seed)
    batches = Batches(recipe, [patients[name] for name in parts.train])
    watched = [patients[name] for name in parts.validation]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net: nn.Module = recipe.network().to(device)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.phases[0].rate, weight_decay=recipe.decay)
    start, best = 0, 0.0
    if resume and places.checkpoint.exists():
        state = torch.load(places.checkpoint, map_location=device, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        start, best = state["epoch"] + 1, state["best"]
    last = recipe.epochs - 1
    for epoch in range(start, recipe.epochs):
        began = time.perf_counter()
        if epoch == recipe.phase(epoch)[1]:
            best = 0.0  # the weights are those of the last phase: each asks for more than the one before
        loss = _epoch(recipe, batches, epoch, net, average, optimiser, device)
        line: dict[str, float] = {"epoch": epoch, "loss": loss, "seconds": time.perf_counter() - began}
        if epoch % 3 == 2 or epoch == last:
            scores = [dice(probabilities(average, p.normalised(recipe.intensity)) >= 0.5, p.masks) for p in watched]
            line["validation_dice"] = float(np.mean(scores))
            if line["validation_dice"] > best:
                best = line["validation_dice"]
                _save(places.best, {"net": average.state_dict(), "epoch": epoch, "dice": best})
        _save(
            places.checkpoint,
            {
                "net": net.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "epoch": epoch,
                "best": best,
            },
        )
        with places.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    return best


def _epoch(
    recipe: Recipe,
    batches: Batches,
    epoch: int,
    net: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    device: torch.device,
) -> float:
    net.train()
    losses: list[float] = []
    for image, target in batches.of(epoch):
        rate = rate_at(recipe, epoch + len(losses) / _STEPS)
        for group in optimiser.param_groups:
            group["lr"] = rate
        image = image.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            logits = net(image)
        loss = loss_of(logits.float(), target.to(device))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        # young averages follow quickly, old ones slowly
        keep = min(recipe.average, (1 + epoch * _STEPS + len(losses)) / (10 + epoch * _STEPS + len(losses)))
        with torch.no_grad():
            for ours, theirs in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                if ours.dtype.is_floating_point:
                    ours.lerp_(theirs, 1 - keep)
                else:
                    ours.copy_(theirs)
        losses.append(loss.item())
    return float(np.mean(losses))


def _save(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all: a run killed here still has its last checkpoint."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)
