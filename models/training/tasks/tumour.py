"""A tumour on contrast-enhanced T1, outlined and named: glioma, meningioma or pituitary tumour."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.training import bundles
from models.training.augment import augmented, without_tumour
from models.training.cmunext import CMUNeXt
from models.training.folds import Fold, folds
from models.training.measures import dice
from models.training.recipe import Recipe
from models.training.task import Batch
from models.training.tasks.glioma import overlap_loss
from overread.imaging.intensity import normaliser


class Classified(nn.Module):
    """CMUNeXt with a second head: what kind of tumour it is that it draws.

    Input (n, 1, rows, columns); output the mask's logits, same shape, and the classes' logits (n, classes). The second
    head sees the mean of the deepest features over the slice and over the drawn tumour.
    """

    def __init__(self, net: CMUNeXt, width: int, classes: int) -> None:
        super().__init__()
        self.net = net
        self.name = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * width, classes))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """ValueError where the sides do not divide."""
        levels = self.net.encode(image)
        logits = self.net.head(self.net.decode(levels))
        deep = levels[-1]
        # the mask only points: the classes do not teach it
        chance = functional.adaptive_avg_pool2d(torch.sigmoid(logits.detach()), (deep.shape[2], deep.shape[3])) + 1e-4
        inside = (deep * chance).sum(dim=(2, 3)) / chance.sum(dim=(2, 3))
        return logits, cast("Tensor", self.name(torch.cat([deep.mean(dim=(2, 3)), inside], dim=1)))


class Named(nn.Module):
    """What is shipped: the chance of each pixel and of each class."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 1, rows, columns) and (n, classes), both 0 … 1."""
        logits, names = self.net(image)
        return torch.sigmoid(logits), torch.softmax(names, dim=1)


class Task:
    """See `models.training.task.Task`."""

    def __init__(self, recipe: Recipe, data: Path, fold: int) -> None:
        self.recipe, self.data, self.fold = recipe, data, fold
        self.classes = tuple(str(entry["label"]) for entry in recipe.manifest["classes"])
        self._keys = tuple(recipe.data["labels"])

    @cached_property
    def rows(self) -> tuple[bundles.Row, ...]:
        """The bundle's slices."""
        return bundles.rows(self.data / "train" / self.recipe.bundle)

    @cached_property
    def parts(self) -> Fold:
        """Blocks of neighbouring slices to train on, to choose by, and to be measured on."""
        groups, labels = [row.group for row in self.rows], [row.label for row in self.rows]
        return folds(groups, self.recipe.folds, self.recipe.seed, labels)[self.fold]

    def part(self, groups: tuple[str, ...]) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], int]]:
        """Images, masks and classes of some blocks."""
        wanted = set(groups)
        return [
            (bundles.image(row), bundles.mask(row), self._keys.index(row.label))
            for row in self.rows
            if row.group in wanted
        ]

    def normalised(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Grey values as the engine gives them; each slice of the bundle is scaled by itself."""
        return normaliser(self.recipe.intensity, image)(image.astype(np.float32))

    @cached_property
    def _train(self) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], int]]:
        return self.part(self.parts.train)

    @cached_property
    def _watched(self) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], int]]:
        return self.part(self.parts.validation)

    def network(self) -> nn.Module:
        """CMUNeXt with the second head."""
        net = CMUNeXt(**self.recipe.network)
        return Classified(net, self.recipe.network["dims"][-1], len(self.classes))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Augmented slices, masks, and classes; -1 where the tumour was taken out of the slice."""
        recipe, size = self.recipe, int(self.recipe.data["crop"])
        settings = recipe.phase(epoch)[0].settings
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(self._train))

        def one(at: int) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
            own = np.random.default_rng([recipe.seed, epoch, at])
            image, mask, name = self._train[at]
            if own.random() < float(recipe.data["healthy"]):
                empty = without_tumour(image, mask)
                if empty is not None:
                    image, mask, name = empty, np.zeros_like(mask), -1
            moved, area = augmented(
                self.normalised(image), mask, size, recipe.intensity, own, float(settings["strength"]), strip=0.0
            )
            return moved, area, name

        def some(group: NDArray[np.int64]) -> list[Any]:
            return [one(int(at)) for at in group]

        with ThreadPoolExecutor(1) as pool:
            whole = len(order) // recipe.batch * recipe.batch
            for future in [pool.submit(some, group) for group in order[:whole].reshape(-1, recipe.batch)]:
                images, areas, names = zip(*future.result(), strict=True)
                yield (
                    torch.from_numpy(np.stack(images)[:, None]),
                    torch.from_numpy(np.stack(areas)[:, None]),
                    torch.tensor(names),
                )

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Overlap and cross entropy of the mask, and cross entropy of the class where there is a tumour."""
        logits, names = output
        _, target, truth = batch
        if not bool((truth >= 0).any()):
            return overlap_loss(logits, target)
        return overlap_loss(logits, target) + float(self.recipe.data["class_weight"]) * functional.cross_entropy(
            names, truth, ignore_index=-1, label_smoothing=0.05
        )

    def asked(
        self, net: nn.Module, slices: list[NDArray[np.uint8]], batch: int = 8
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The chance of each pixel and of each class, slice by slice."""
        named = Named(net).eval()
        device = next(net.parameters()).device
        for start in range(0, len(slices), batch):
            images = np.stack([self.normalised(image) for image in slices[start : start + batch]])[:, None]
            with torch.inference_mode():
                chances, names = named(torch.from_numpy(images).to(device))
            yield from zip(chances[:, 0].float().cpu().numpy(), names.float().cpu().numpy(), strict=True)

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Mean Dice of the slices and the share of rightly named ones; the score is their mean."""
        answers = self.asked(net, [image for image, _, _ in self._watched])
        pairs = [
            (dice(chance >= 0.5, mask), int(names.argmax()) == truth)
            for (chance, names), (_, mask, truth) in zip(answers, self._watched, strict=True)
        ]
        overlap, right = np.asarray(pairs, np.float64).mean(axis=0)
        return {"dice": float(overlap), "accuracy": float(right), "score": float(overlap + right) / 2}
