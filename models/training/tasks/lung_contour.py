"""The outline of a lung nodule on a crop that is centred on its box: a graph of lung-nodule beside the detector's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training import lung_folder, lung_report, networks, overlap
from models.training.export import Probability, load
from models.training.folds import Fold
from models.training.lung_evaluate import picture
from models.training.measures import best_threshold, dice
from models.training.nodules import F32, READERS, Crops, box_of, followed, grained, moved, read_crops
from models.training.recipe import Recipe
from models.training.score import probabilities
from models.training.task import Batch


def stretched(crop: F32) -> F32:
    """The darkest pixel becomes 0 and the brightest 1, as the engine does it."""
    low, high = float(crop.min()), float(crop.max())
    return (crop - low) / max(high - low, 1e-6)


class Task:
    """See `models.training.task.Task`."""

    def __init__(self, recipe: Recipe, data: Path, fold: int) -> None:
        self.recipe, self.data, self.fold = recipe, data, fold

    @property
    def _size(self) -> int:
        return int(self.recipe.manifest["contour"]["size"][0])

    @cached_property
    def _crops(self) -> Crops:
        crops = read_crops(self.data / "train" / self.recipe.bundle)
        return crops.picked([int(at) for at in crops.agreed])

    @cached_property
    def _parts(self) -> Fold:
        return self._crops.parts(self.recipe.folds, self.recipe.seed, self.fold)

    @cached_property
    def _train(self) -> Crops:
        return self._crops.of(self._parts.train)

    def network(self) -> nn.Module:
        """A CMUNeXt."""
        words = dict(self.recipe.network)
        return networks.build(words.pop("name"), **words)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Crops as the engine cuts them, not quite centred, and the mask that enough readers drew."""
        recipe, crops = self.recipe, self._train
        strength = float(recipe.phase(epoch)[0].settings["strength"])
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(crops.names))

        def one(at: int) -> tuple[F32, F32]:
            rng = np.random.default_rng([recipe.seed, epoch, at])
            truth = crops.readers[at] >= READERS
            row0, column0, row1, column1 = box_of(truth)
            wrong = rng.normal(0, 2.5 * strength, 2)
            centre = (row0 + row1 - 1) / 2 + wrong[0], (column0 + column1 - 1) / 2 + wrong[1]
            scale = float(np.exp(strength * rng.uniform(np.log(0.7), np.log(1.4))))
            angle = float(rng.uniform(-np.pi, np.pi))
            image = crops.images[at].astype(np.float32) / 255
            picture, to_picture = moved(image, self._size, centre, scale, angle, bool(rng.random() < 0.5))
            bent = stretched(picture) ** np.float32(np.exp(strength * rng.normal(0, 0.2)))
            target = followed(truth, to_picture, self._size)
            return stretched(grained(bent, rng, strength)), target.astype(np.float32)

        with ThreadPoolExecutor(1) as pool:
            starts = range(0, len(order) - recipe.batch + 1, recipe.batch)
            coming = [pool.submit(lambda a: [one(at) for at in order[a : a + recipe.batch]], start) for start in starts]
            for future in coming:
                images, targets = zip(*future.result(), strict=True)
                yield torch.from_numpy(np.stack(images)[:, None]), torch.from_numpy(np.stack(targets)[:, None])

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Cross entropy and overlap."""
        return overlap.entropy_and_dice(output, batch[1])

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Mean Dice of the slices."""
        chances, truths = self._answers(net, self._crops.of(self._parts.validation))
        return {"score": float(np.mean([dice(c >= 0.5, t) for c, t in zip(chances, truths, strict=True)]))}

    def export(self, weights: Path, folder: Path) -> None:
        """Add the outline to the folder of the detector, which has to be there.

        The threshold is the one with the best Dice on the validation patients.
        """
        net = load(self.network(), weights)
        contour = dict(self.recipe.manifest["contour"])
        chances, truths = self._answers(net, self._crops.of(self._parts.validation))
        contour["threshold"] = best_threshold(list(chances), truths)
        _, _, rows, columns = picture().shape
        middle = rows // 2 - self._size // 2, columns // 4 - self._size // 2
        crop = stretched(picture()[:, :, middle[0] :, middle[1] :][:, :, : self._size, : self._size])
        lung_folder.add(folder, [lung_folder.made(folder, "contour", contour, Probability(net), crop)])

    def report(self, folder: Path) -> None:
        """All graphs together."""
        lung_report.write(folder, self.data, self.fold)

    def _answers(self, net: nn.Module, crops: Crops) -> tuple[F32, list[NDArray[np.bool_]]]:
        """What the net says of crops centred on the true boxes, and the truth there."""
        images, truths = [], []
        for image, readers in zip(crops.images, crops.readers, strict=True):
            truth = readers >= READERS
            row0, column0, row1, column1 = box_of(truth)
            centre = (row0 + row1 - 1) / 2, (column0 + column1 - 1) / 2
            picture, to_picture = moved(image.astype(np.float32), self._size, centre, 1.0, 0.0, mirror=False)
            images.append(stretched(picture))
            truths.append(followed(truth, to_picture, self._size))
        return probabilities(net, np.stack(images)[:, None], batch=32), truths
